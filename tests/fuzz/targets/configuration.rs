//! Whatever text a configuration is, or a profile below it, it is valid or every problem is told.
#![no_main]

use bankside::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let environment = |name: &str| (name == "NAME").then(|| "value".to_owned());
    if let Err(problems) = Config::parse(text, "bankside.toml".as_ref(), "/nowhere".as_ref(), &environment) {
        assert!(!problems.to_string().is_empty());
    }
});
