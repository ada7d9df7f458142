//! What a configuration that is right means.

use std::time::Duration;

use super::*;

#[test]
fn the_identity_that_follows_is_used_from_its_moment_on() {
    let next = "[identity.next]\nfrom = 2027-01-31T00:00:00+01:00\npkcs12 = \"client-secret\"\n";
    let config = load(&format!("{IDENTITY}{next}{BANK}")).expect("a configuration");
    let identity = config.banks[0].identity.as_ref().expect("an identity");
    let from = identity.next.as_ref().expect("one that follows").from;
    assert_eq!(from.to_string(), "2027-01-30T23:00:00Z");
    let just_before = crate::words::Timestamp::from_millis(from.millis() - 1);
    assert!(matches!(identity.at(just_before).source, IdentitySource::Pem { .. }));
    assert!(matches!(identity.at(from).source, IdentitySource::Pkcs12 { .. }));
    assert!(config.files.iter().any(|file| file.ends_with("client-secret")), "it is watched, too");
}

#[test]
fn files_that_matter_are_told_of_a_configuration_that_is_wrong() {
    let directory = directory();
    write(directory.path(), "bankside.toml", &format!("{IDENTITY}{BANK}").replace("qwac.pem", "missing.pem"));
    let reading = Config::read(&directory.path().join("bankside.toml"), &nothing);
    assert!(reading.outcome.is_err());
    for name in ["bankside.toml", "missing.pem", "qwac-key.pem", "secret"] {
        assert!(reading.files.contains(&directory.path().join(name)), "{name}: {:?}", reading.files);
    }
}

#[test]
fn what_is_left_out_has_the_defaults_of_the_contract() {
    let directory = directory();
    let config = load_in(directory.path(), &format!("{IDENTITY}{BANK}")).expect("it is valid");
    assert_eq!(config.log, Log { format: LogFormat::Auto, level: "info".to_owned() });
    assert_eq!(config.admin, Some("127.0.0.1:9090".parse().expect("an address")));
    assert!(matches!(&config.store.url, StoreUrl::Sqlite(path) if *path == directory.path().join("bankside.db")));
    assert!(matches!(&config.store.key, StoreKey::Make(path) if *path == directory.path().join("bankside.key")));
    assert!((1..=4).contains(&config.workers));
    let bank = &config.banks[0];
    assert_eq!(bank.title, "examplebank");
    assert_eq!((bank.base_url.host.as_str(), bank.base_url.path.as_str()), ("api.bank.example", "/psd2"));
    assert_eq!(bank.timeouts.connect, Duration::from_secs(5));
    assert_eq!(bank.limits.replay_body, 65536);
    assert!((bank.renewal.at - 0.8).abs() < f64::EPSILON);
    assert_eq!(bank.tls.alpn, [Alpn::H2, Alpn::Http11]);
    assert!(bank.tls.system_roots && bank.tls.client_certificate);
    let GrantType::AuthorizationCode(code) = &bank.grant_type else { panic!("a code grant") };
    assert_eq!(code.token.client_auth, ClientAuth::ClientSecretBasic(BasicEncoding::Form));
    assert_eq!(code.token.client_secret.as_ref().and_then(|secret| secret.expose_str()), Some("from-a-file"));
    // The store's key will be read once it is made.
    let read = ["bankside.key", "qwac-key.pem", "qwac.pem", "secret"].map(|name| directory.path().join(name));
    let mut expected = vec![PathBuf::from("bankside.toml")];
    expected.extend(read);
    expected.sort();
    assert_eq!(config.files, expected);
}

#[test]
fn a_profile_in_a_file_lies_below_the_bank_and_its_paths_are_its_own() {
    let directory = directory();
    fs::create_dir(directory.path().join("profiles")).expect("made");
    let profile = "title = \"Theirs\"\nlisten = \"127.0.0.1:1\"\ngrant_type = \"fixed\"\n\
                   token = { file = \"token\" }\n[tls]\nclient_certificate = false\nca = [\"../bank-ca.pem\"]\n\
                   [headers.set]\nX-A = \"1\"\n";
    write(directory.path(), "profiles/mine.toml", profile);
    write(directory.path(), "profiles/token", "theirs\r\n");
    let text = "[banks.examplebank]\nprofile = \"profiles/mine.toml\"\nlisten = \"127.0.0.1:2\"\n\
                base_url = \"https://api.bank.example\"\n[banks.examplebank.headers.set]\nX-B = \"2\"\n\
                [banks.examplebank.tls]\nsystem_roots = false\n";
    let config = load_in(directory.path(), text).expect("it is valid");
    let bank = &config.banks[0];
    assert_eq!(bank.title, "Theirs");
    assert_eq!(bank.listen, ["127.0.0.1:2".parse().expect("an address")]);
    assert_eq!(bank.headers.set.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["X-B", "X-A"]);
    let GrantType::Fixed(tokens) = &bank.grant_type else { panic!("fixed tokens") };
    assert!(tokens["default"].matches(b"theirs"));
    assert!(!bank.tls.system_roots);
    assert_eq!(bank.tls.ca.len(), 1);
    assert!(config.files.contains(&directory.path().join("profiles/mine.toml")));
    assert!(config.files.contains(&directory.path().join("profiles/token")));
}

#[test]
fn a_profile_may_stand_on_another_but_not_on_itself() {
    let directory = directory();
    write(directory.path(), "base.toml", "title = \"Base\"\ngrant_type = \"fixed\"\ntls.client_certificate = false\n");
    write(directory.path(), "upper.toml", "profile = \"base.toml\"\nbase_url = \"https://bank.example\"\n");
    write(directory.path(), "loop.toml", "profile = \"loop.toml\"\n");
    let with = |profile: &str| {
        let text = format!(
            "[banks.examplebank]\nprofile = \"{profile}\"\nlisten = \"127.0.0.1:0\"\ntoken = {{ file = \"secret\" }}\n"
        );
        load_in(directory.path(), &text)
    };
    assert_eq!(with("upper.toml").expect("it is valid").banks[0].title, "Base");
    let Problems(problems) = with("loop.toml").expect_err("it has no end");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].place.file.as_path(), directory.path().join("loop.toml"));
}

#[test]
fn the_environment_fills_strings_and_secrets() {
    let environment = |name: &str| match name {
        "PORT" => Some("1234".to_owned()),
        "TOKEN" => Some("hunter2".to_owned()),
        _ => None,
    };
    let text = "[admin]\nlisten = \"${ADMIN:-off}\"\n[banks.examplebank]\nlisten = \"127.0.0.1:${PORT}\"\n\
                base_url = \"https://bank.example\"\ngrant_type = \"fixed\"\ntoken = { env = \"TOKEN\" }\n\
                tls.client_certificate = false\n";
    let config = Config::parse(text, Path::new("x.toml"), Path::new(""), &environment).expect("it is valid");
    assert_eq!(config.admin, None);
    assert_eq!(config.banks[0].listen[0].to_string(), "127.0.0.1:1234");
    let GrantType::Fixed(tokens) = &config.banks[0].grant_type else { panic!("fixed tokens") };
    assert!(tokens["default"].matches(b"hunter2"));
}

#[test]
fn the_banks_own_identity_comes_before_the_global_one() {
    let directory = directory();
    write(directory.path(), "qwac.p12", "x");
    let text = format!("{IDENTITY}{BANK}identity.pkcs12 = \"qwac.p12\"\n");
    let config = load_in(directory.path(), &text).expect("it is valid");
    let identity = config.banks[0].identity.as_ref().expect("an identity");
    assert!(matches!(identity.source, IdentitySource::Pkcs12 { .. }));
    let config = load_in(directory.path(), &format!("{IDENTITY}{BANK}")).expect("it is valid");
    let identity = config.banks[0].identity.as_ref().expect("an identity");
    assert!(matches!(identity.source, IdentitySource::Pem { .. }));
}

#[test]
fn the_key_of_the_store_is_read_where_it_is_and_made_where_not() {
    let directory = directory();
    let text = format!("[store]\nkey = {{ file = \"store.key\" }}\n{IDENTITY}{BANK}");
    let key = |text: &str| load_in(directory.path(), text).map(|config| config.store.key);
    assert!(matches!(key(&text), Ok(StoreKey::Make(_))));
    write(directory.path(), "store.key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    let Ok(StoreKey::Given(keys)) = key(&text) else { panic!("a key") };
    assert_eq!(keys[0].expose(), (0..32).collect::<Vec<u8>>());
    write(directory.path(), "store.key", "c2hvcnQ=");
    assert!(key(&text).is_err());
}

#[test]
fn what_works_but_somebody_should_know_is_a_warning() {
    let directory = directory();
    set_mode(&directory.path().join("secret"), 0o644);
    let text = format!(
        "[admin]\nlisten = \"0.0.0.0:9090\"\n{IDENTITY}{}access.uids = [1]\naccess.key = {{ value = \"k\" }}\n",
        BANK.replace("https://example.com/callback", "http://example.com/callback")
    );
    let config = load_in(directory.path(), &text).expect("it is valid");
    let warned: Vec<_> = config.warnings.iter().map(|one| (one.severity, &*one.place.key)).collect();
    let expected = [
        "admin.listen",
        "banks.examplebank.client_secret.file",
        "banks.examplebank.redirect_uri",
        "banks.examplebank.access.uids",
        "banks.examplebank.access.key.value",
    ];
    assert_eq!(warned, expected.map(|key| (Severity::Warning, key)));
}

#[test]
fn a_sockets_folder_that_others_may_write_is_a_warning_unless_they_can_remove_only_their_own() {
    let directory = directory();
    let folder = directory.path().join("sockets");
    fs::create_dir(&folder).expect("a folder");
    let bank = BANK.replace("listen = \"127.0.0.1:0\"", "listen = \"unix:sockets/bank.sock\"");
    let text = format!("[admin]\nlisten = \"unix:sockets/admin.sock\"\n{IDENTITY}{bank}");
    for (mode, warned) in [(0o755, false), (0o777, true), (0o2775, true), (0o1777, false)] {
        set_mode(&folder, mode);
        let config = load_in(directory.path(), &text).expect("it is valid");
        let keys: Vec<_> = config.warnings.iter().map(|one| &*one.place.key).collect();
        let expected: &[&str] = if warned { &["admin.listen", "banks.examplebank.listen"] } else { &[] };
        assert_eq!(keys, expected, "{mode:o}");
    }
}

#[test]
fn what_an_editor_left_in_a_secret_is_a_warning_that_does_not_tell_it() {
    let directory = directory();
    for (content, words) in [
        ("\u{feff}hunter2", "byte order mark"),
        ("hunter2 ", "space"),
        (" hunter2\n", "space"),
        ("hunter2\n\n", "line end"),
        ("hun\tter2", "tab"),
    ] {
        write(directory.path(), "secret", content);
        let config = load_in(directory.path(), &format!("{IDENTITY}{BANK}")).expect("it is valid");
        let [warning] = &config.warnings[..] else { panic!("{content:?}: {:?}", config.warnings) };
        assert_eq!(&*warning.place.key, "banks.examplebank.client_secret");
        assert!(warning.reason.contains(words) && !warning.to_string().contains("ter2"), "{warning}");
    }
    write(directory.path(), "secret", "a good one\r\n");
    assert_eq!(load_in(directory.path(), &format!("{IDENTITY}{BANK}")).expect("it is valid").warnings, []);
}

#[test]
fn a_route_that_nothing_is_left_to_is_a_warning() {
    let (all, reads) = ("path = \"/v1/**\"", "path = \"/v1/**\"\nmethods = [\"GET\"]");
    let denial = "path = \"/v1/payments/**\"\ndeny = true";
    for (routes, is_warned) in [([all, denial], true), ([denial, all], false), ([reads, denial], false)] {
        let routes = routes.map(|route| format!("[[banks.examplebank.routes]]\n{route}\n")).concat();
        let text = format!("{IDENTITY}{BANK}{routes}");
        let second = text.lines().count() - 2;
        let warned: Vec<_> = loaded(&text).warnings.iter().map(|warning| warning.place.line).collect();
        assert_eq!(warned, if is_warned { vec![second] } else { vec![] }, "{routes}");
    }
}

#[test]
fn routes_pick_grants_and_say_which_are_needed() {
    let text = format!(
        "{IDENTITY}{BANK}[banks.examplebank.grants]\npay = {{ scopes = [\"pis\"] }}\n\
         [[banks.examplebank.routes]]\npath = \"/pay/**\"\nmethods = [\"POST\"]\ngrant = \"pay\"\ntimeout = \"1m\"\n\
         [[banks.examplebank.routes]]\npath = \"/**\"\ndeny = true\n"
    );
    let config = loaded(&text);
    let bank = &config.banks[0];
    let pay = "pay".parse().expect("a name");
    assert_eq!(bank.scopes(&pay), ["pis"]);
    assert_eq!(bank.required_grants().into_iter().collect::<Vec<_>>(), [pay]);
    assert!(
        matches!(&bank.routes[0].action, RouteAction::Allow { timeout: Some(minute), .. } if minute.as_secs() == 60)
    );
    assert!(matches!(bank.routes[1].action, RouteAction::Deny));
}

#[test]
fn a_bank_that_registers_apps_may_lack_credentials() {
    let without = BANK.replace("client_id = \"id\"\nclient_secret = { file = \"secret\" }\n", "");
    assert_eq!(
        wrong_keys(&format!("{IDENTITY}{without}")),
        ["banks.examplebank.client_id", "banks.examplebank.client_secret"]
    );
    let text = format!("{IDENTITY}{without}registration.url = \"https://bank.example/apps\"\n");
    let config = loaded(&text);
    assert!(config.banks[0].registration.is_some());
}

#[test]
fn a_file_that_is_not_there_is_one_problem() {
    let Problems(problems) = Config::load(Path::new("/nowhere/bankside.toml"), &nothing).expect_err("not there");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].to_string().starts_with("/nowhere/bankside.toml:1: cannot be read: "), "{}", problems[0]);
}

#[test]
fn a_token_endpoint_is_waited_for_as_long_as_an_answer_and_eight_seconds_at_most_unless_told() {
    let token = |lines: &str| loaded(&format!("{IDENTITY}{BANK}{lines}")).banks[0].timeouts.token.as_secs();
    assert_eq!(token(""), 8);
    assert_eq!(token("timeouts.response = \"3s\""), 3);
    assert_eq!(token("timeouts.token = \"20s\""), 20);
}

#[test]
fn a_field_of_a_registration_that_is_empty_is_left_out() {
    let lines = "[banks.examplebank.registration]\nurl = \"https://bank.example/apps\"\n\
                 fields = { client_name = \"{name}\", contact = \"\" }\n";
    let config = loaded(&format!("{IDENTITY}{BANK}{lines}"));
    let fields = &config.banks[0].registration.as_ref().expect("a registration").fields;
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["client_name"]);
}
