//! Whatever a token endpoint answers, it is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    bankside::oauth::fuzzing::token_answer(data);
});
