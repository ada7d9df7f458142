//! Whatever text a configuration is, it is answered: never a panic, and never a secret in the answer.

use proptest::prelude::*;

use super::*;

/// The longest value that no problem may show: long enough that no other word holds it by chance.
const SECRET: &str = "q7Zk2xV9wL4m";

fn seeds() -> Vec<String> {
    files_in("config").into_iter().chain(files_in("config/banks")).map(|(_, text)| text).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = load_in(Path::new("/nowhere"), &text);
    }

    #[test]
    fn no_change_to_an_example_makes_it_panic(
        seed in prop::sample::select(seeds()),
        at in any::<prop::sample::Index>(),
        length in 0_usize..40,
        put in prop_oneof!["[\\PC\n]{0,12}", Just("= [[".to_owned()), Just("{ value = \"".to_owned()), Just("${".to_owned())],
    ) {
        let mut characters: Vec<char> = seed.chars().collect();
        let from = at.index(characters.len());
        let to = (from + length).min(characters.len());
        characters.splice(from..to, put.chars());
        let text: String = characters.into_iter().collect();
        let _ = load_in(Path::new("/nowhere"), &text);
    }

    #[test]
    fn a_secret_at_any_key_is_never_shown(
        key in prop::sample::select(every_key()),
        form in prop::sample::select(vec!["'S'", "['S']", "{ value = 'S' }", "{ valu = 'S' }", "[{ x = 'S' }]", "S", "\"S", "'x:S@y'", "'https://a:S@b/'", "'postgres://u:S@h'"]),
    ) {
        let text = format!("{key} = {}\n", form.replace('S', SECRET));
        if let Err(problems) = load_in(Path::new("/nowhere"), &text) {
            prop_assert!(!problems.to_string().contains(SECRET), "{}\n{}", text, problems);
        }
    }
}

/// The dotted name of every key that the schema has; a bank's below `banks.b`.
fn every_key() -> Vec<String> {
    let schema = schema();
    let mut keys = Vec::new();
    for (table, prefix) in [
        ("/$defs/Bank", "banks.b"),
        ("/$defs/Identity", "identity"),
        ("/$defs/Store", "store"),
        ("/$defs/Oauth", "banks.b.oauth"),
        ("/$defs/Access", "banks.b.access"),
        ("/$defs/Tls", "banks.b.tls"),
        ("/$defs/Registration", "banks.b.registration"),
        ("/$defs/Session", "banks.b.oauth.session"),
        ("/$defs/Headers", "banks.b.headers"),
        ("/$defs/Log", "log"),
        ("/$defs/Admin", "admin"),
        ("/$defs/Limits", "banks.b.limits"),
    ] {
        let properties = schema.pointer(&format!("{table}/properties")).expect("a table").as_object().expect("keys");
        keys.extend(properties.keys().map(|key| format!("{prefix}.{key}")));
    }
    // A path is no secret: it is shown, so that a person sees where the file was looked for.
    let is_path = |key: &str| {
        ["certificate", "private_key", "pkcs12", "ca", "profile"].iter().any(|path| key.ends_with(&format!(".{path}")))
    };
    keys.retain(|key| !is_path(key));
    keys.extend(["banks.b.headers.set.X-A", "banks.b.grants.x.token", "unknown"].map(str::to_owned));
    keys
}
