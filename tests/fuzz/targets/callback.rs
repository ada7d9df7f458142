//! Whatever address a browser ends on, it is read or refused; what is told of an error is a code and nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some((state, outcome)) = bankside::oauth::fuzzing::callback(text) {
        match outcome {
            Ok(()) => assert!(state.is_some()),
            Err(error) => assert!(!error.contains(['\r', '\n', '\0', '\u{1b}'])),
        }
    }
});
