//! What is said about configurations that are wrong.

use super::*;

#[test]
fn ten_mistakes_are_ten_problems_in_one_go_and_no_secret_is_in_any() {
    let text = r#"
[stoer]
url = "sqlite:x.db"

[runtime]
workers = "hunter2"

[identity]
certificate = "missing.pem"
private_key = "qwac-key.pem"
passphrase = "hunter2"

[banks.examplebank]
listen = "0.0.0.0:8080"
base_url = "https://bank.example"
grant_type = "authorization_code"
client_id = "id"
client_secrt = { value = "hunter2" }
client_secret = { value = "hunter2", file = "secret" }
redirect_uri = "https://example.com/callback"
oauth.authorize_url = "https://user:hunter2@login.bank.example/authorize"
timeouts.connect = 5
"#;
    let found = problems(text);
    let expected = [
        (2, "stoer", "unknown key"),
        (6, "runtime.workers", "an integer is expected here, not a string"),
        (9, "identity.certificate", "cannot be read"),
        (11, "identity.passphrase", "a secret is expected here, not a string"),
        (13, "banks.examplebank.oauth.token_url", "is missing"),
        (14, "banks.examplebank.listen", "keeps nobody out"),
        (18, "banks.examplebank.client_secrt", "unknown key"),
        (19, "banks.examplebank.client_secret", "exactly one"),
        (21, "banks.examplebank.oauth.authorize_url", "user information"),
        (22, "banks.examplebank.timeouts.connect", "a duration is expected here, not an integer"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((line, key, reason), (expected_line, expected_key, part)) in found.iter().zip(expected) {
        assert_eq!((*line, key.as_str()), (expected_line, expected_key), "{reason}");
        assert!(reason.contains(part), "{key}: {reason}");
    }
    // The whole text as a person sees it, with remedies.
    let shown = load(text).expect_err("it is wrong").to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("bankside.toml:2: stoer: unknown key; did you mean `store`?"), "{shown}");
    assert!(shown.contains("did you mean `client_secret`?"), "{shown}");
}

/// `${NAME}` is for what stands elsewhere in a string; in a secret's table it is the secret already.
#[test]
fn a_secret_that_stands_where_its_name_belongs_is_not_told() {
    let environment = |name: &str| (name == "APP_SECRET").then(|| "hunter2".to_owned());
    for (place, told) in [("env", "variable that \"${APP_SECRET}\" names"), ("file", "${APP_SECRET} cannot be read")] {
        let text = BANK.replace("file = \"secret\"", &format!("{place} = \"${{APP_SECRET}}\""));
        let outcome = Config::parse(&text, Path::new("bankside.toml"), directory().path(), &environment);
        let shown = outcome.expect_err("it is wrong").to_string();
        assert!(shown.contains(told) && !shown.contains("hunter2"), "{shown}");
    }
}

/// Each line, put behind a valid bank, is wrong at the key that it sets.
#[test]
fn each_rule_of_a_bank_is_kept() {
    for line in [
        "listen = []",
        "listen = \"bank.example:8080\"",
        "title = \"\"",
        "base_url = \"https://bank.example/?x=1\"",
        "grant_type = \"implicit\"",
        "redirect_uri = \"/callback\"",
        "token = { file = \"secret\" }",
        "consent_days = 0",
        "scopes = \"ais\"",
        "oauth.client_auth = \"private_jwt\"",
        "oauth.kid = \"\"",
        "oauth.token_endpoint_auth_signing_alg = \"none\"",
        "oauth.issuer = \"bank\"",
        "oauth.authorize_params.state = \"x\"",
        "oauth.token_params.grant_type = \"x\"",
        "oauth.refresh_params.refresh_token = \"x\"",
        "oauth.token_params.client_assertion = \"x\"",
        "oauth.token_headers.Content-Type = \"x\"",
        "headers.set.Host = \"x\"",
        "headers.default.Authorization = \"x\"",
        "headers.set.X-A = \"a\\r\\nb: c\"",
        "headers.remove = [\"Transfer-Encoding\"]",
        "tls.ca = \"bank-ca.pem\"",
        "tls.system_roots = false",
        "tls.min_version = \"1.1\"",
        "tls.min_version = 1.2",
        "tls.alpn = []",
        "tls.server_name = \"a b\"",
        "access.hosts = [\"bank.internal:80\"]",
        "timeouts.idle = \"0s\"",
        "limits.in_flight = 0",
        "limits.replay_body = \"1GiB\"",
        "renewal.at = 1.0",
        "renewal.idle = \"forever\"",
        "session = {}",
        "routes = [{ path = \"accounts\" }]",
        "routes = [{ path = \"/a\", methods = [\"get\"] }]",
        "routes = [{ path = \"/a\", deny = true, grant = \"x\" }]",
        "grants.default.token = { file = \"secret\" }",
        "registration = { url = \"https://b.example\", fields = { name = \"{nmae}\" } }",
    ] {
        let (key, _) = line.split_once(" = ").expect("a key");
        // A key that the bank has already is replaced.
        let bank: Vec<_> = BANK.lines().filter(|had| !had.starts_with(&format!("{key} = "))).collect();
        let found = wrong_keys(&format!("{IDENTITY}{}\n{line}\n", bank.join("\n")));
        assert!(!found.is_empty() && found.iter().all(|at| at.contains(key)), "{line}: {found:?}");
    }
}

#[test]
fn a_key_of_another_table_is_sent_home() {
    let Problems(found) = load(&format!("{IDENTITY}{BANK}token_url = \"x\"\n")).expect_err("it is wrong");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].remedy, "it belongs in the table `oauth`");
}

#[test]
fn names_of_banks_and_grants_are_checked() {
    assert_eq!(wrong_keys(&format!("{IDENTITY}{}", BANK.replace("examplebank", "\"a b\""))), ["banks.\"a b\""]);
    let found = wrong_keys(&format!("{IDENTITY}{BANK}grants.\"a b\".scopes = []\n"));
    assert_eq!(found, ["banks.examplebank.grants.\"a b\""]);
}

#[test]
fn the_moment_of_an_identity_to_come_is_one() {
    let next = "private_key = \"qwac-key.pem\"\nnext = { from = \"soon\", pkcs12 = \"secret\" }";
    assert_eq!(wrong_keys(&format!("[identity]\ncertificate = \"qwac.pem\"\n{next}\n{BANK}")), ["identity.next.from"]);
}

#[test]
fn a_store_in_postgres_needs_a_key_that_is_there_and_files_that_can_be_read() {
    let with = |url: &str, key: &str| {
        wrong_keys(&format!("[store]\nurl = \"postgres://{url}\"\nkey = {{ {key} }}\n{IDENTITY}{BANK}"))
    };
    assert_eq!(with("u@h/d", "file = \"none\""), ["store.key.file"]);
    let text = format!("[store]\nurl = \"postgres://u@h/d\"\nkey = {{ file = \"none\" }}\n{IDENTITY}{BANK}");
    let shown = load(&text).expect_err("it is not made by itself").to_string();
    assert!(shown.contains("make one with `openssl rand -base64 32`, the same for all replicas"), "{shown}");
    let key = "value = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"";
    for url in ["u@h/d?sslmode=require", "u@h/d?sslrootcert=none.pem", "u@h/d?passfile=none", "u@h/d?passfile=secret"] {
        assert_eq!(with(url, key), ["store.url"], "{url}");
    }
}

#[test]
fn a_key_in_an_hsm_is_named_whole_and_stands_beside_a_certificate() {
    let with = |more: &str| wrong_keys(&format!("[identity]\n{more}\n{BANK}"));
    let whole = "pkcs11 = { module = \"m\", token = \"t\", key = \"k\", pin = { file = \"secret\" } }";
    if cfg!(not(feature = "pkcs11")) {
        assert_eq!(with(&format!("certificate = \"qwac.pem\"\n{whole}")), ["identity.pkcs11"]);
        return;
    }
    let text = format!("[identity]\ncertificate = \"qwac.pem\"\n{whole}\n{BANK}");
    let identity = loaded(&text).banks[0].identity.clone().expect("an identity");
    let IdentitySource::Pkcs11 { key, .. } = identity.source else { panic!("{identity:?}") };
    assert!(key.module.is_absolute() && key.module.ends_with("m"), "{key:?}");
    assert_eq!((key.token.as_str(), key.key.to_string()), ("t", "k".to_owned()));
    assert!(!format!("{key:?}").contains("from-a-file"));
    assert_eq!(with(whole), ["identity.certificate"]);
    assert_eq!(
        with(&format!("certificate = \"qwac.pem\"\nprivate_key = \"qwac-key.pem\"\n{whole}")),
        ["identity.private_key"]
    );
    assert_eq!(
        with("certificate = \"qwac.pem\"\npkcs11 = { key = \"id:x\" }"),
        ["identity.pkcs11.key", "identity.pkcs11.module", "identity.pkcs11.pin", "identity.pkcs11.token"]
    );
}

#[test]
fn an_identity_has_one_source_and_is_there_where_it_is_needed() {
    let with = |identity: &str| wrong_keys(&format!("{identity}\n{BANK}"));
    assert_eq!(with(""), ["banks.examplebank.identity"]);
    assert_eq!(with("[identity]"), ["identity"]);
    assert_eq!(with("[identity]\ncertificate = \"qwac.pem\""), ["identity.private_key"]);
    assert_eq!(with("[identity]\ncertificate = \"qwac.pem\"\npkcs12 = \"secret\""), ["identity.pkcs12"]);
    assert_eq!(with("[identity]\npkcs12 = \"none.p12\""), ["identity.pkcs12"]);
    assert!(load(&format!("{BANK}tls.client_certificate = false\n")).is_ok());
}

#[test]
fn fixed_tokens_are_there_and_can_be_sent() {
    let with = |more: &str| {
        let bank = "[banks.examplebank]\nlisten = \"127.0.0.1:0\"\nbase_url = \"https://bank.example\"\n\
                    grant_type = \"fixed\"\ntls.client_certificate = false\n";
        wrong_keys(&format!("{bank}{more}"))
    };
    assert_eq!(with(""), ["banks.examplebank.token"]);
    assert_eq!(
        with("grants.x.scopes = []\n"),
        ["banks.examplebank.grants.x.scopes", "banks.examplebank.grants.x.token"]
    );
    assert_eq!(with("token = { value = \"Bearer x\" }"), ["banks.examplebank.token"]);
    assert_eq!(with("token = { value = \"\" }"), ["banks.examplebank.token"]);
    assert_eq!(with("token = { env = \"UNSET\" }"), ["banks.examplebank.token.env"]);
    assert_eq!(with("token = { valeu = \"x\" }"), ["banks.examplebank.token.valeu"]);
    assert_eq!(
        with("token = { value = \"x\" }\nroutes = [{ path = \"/**\", grant = \"y\" }]"),
        ["banks.examplebank.routes[0].grant"]
    );
}

#[test]
fn two_listeners_cannot_have_one_address() {
    let text = format!("[admin]\nlisten = \"127.0.0.1:1\"\n{IDENTITY}{}", BANK.replace(":0\"", ":1\""));
    assert_eq!(wrong_keys(&text), ["banks.examplebank.listen"]);
}

#[test]
fn listening_beyond_the_machine_needs_a_rule() {
    let open = format!("{IDENTITY}{}", BANK.replace("127.0.0.1:0", "0.0.0.0:0"));
    assert_eq!(wrong_keys(&open), ["banks.examplebank.listen"]);
    assert!(load(&format!("{open}access.allow_remote = true\n")).is_ok());
    assert!(load(&format!("{open}access.key = {{ file = \"secret\" }}\n")).is_ok());
}

#[test]
fn a_problem_in_a_profile_names_the_profile_and_what_lacks_names_the_bank() {
    let directory = directory();
    write(directory.path(), "mine.toml", "grant_type = \"fixed\"\n\n[timeouts]\nconect = \"5s\"\n");
    let text = "\n[banks.examplebank]\nprofile = \"./mine.toml\"\nbase_url = \"https://b.example\"\n\
                listen = \"127.0.0.1:0\"\ntls.client_certificate = false\n";
    let Problems(found) = load_in(directory.path(), text).expect_err("it is wrong");
    let places: Vec<_> = found.iter().map(|one| (one.place.to_string(), one.place.key.to_string())).collect();
    let file = directory.path().join("./mine.toml");
    assert_eq!(
        places,
        [
            ("bankside.toml:2".to_owned(), "banks.examplebank.token".to_owned()),
            (format!("{}:4", file.display()), "timeouts.conect".to_owned()),
        ]
    );
}

#[test]
fn a_misspelt_profile_is_one_problem_with_a_suggestion() {
    let known = profile_names().next().expect("a profile");
    let text = format!("[banks.examplebank]\nprofile = \"{known}x\"\nlisten = \"127.0.0.1:0\"\n");
    let Problems(found) = load(&text).expect_err("it is wrong");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].remedy, format!("did you mean \"{known}\"?"));
}

#[test]
fn roots_must_be_certificates() {
    let directory = directory();
    write(directory.path(), "broken.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    for name in ["secret", "broken.pem", "none.pem", "."] {
        let text = format!("{IDENTITY}{BANK}tls.ca = [\"{name}\"]\n");
        let Problems(found) = load_in(directory.path(), &text).expect_err("no roots");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(&*found[0].place.key, "banks.examplebank.tls.ca[0]");
    }
}

#[test]
fn a_configuration_without_a_bank_is_none() {
    assert_eq!(wrong_keys(""), ["banks"]);
    assert_eq!(wrong_keys("[banks]"), ["banks"]);
    assert_eq!(wrong_keys("banks = 1"), ["banks"]);
}

#[test]
fn a_second_table_of_one_name_brings_no_other_problem() {
    let text = format!("{IDENTITY}{BANK}[identity]\npassphrase = {{ file = \"secret\" }}\n");
    assert_eq!(problems(&text).len(), 1, "{:?}", problems(&text));
}

#[test]
fn roots_that_are_missing_hide_no_other_problem_of_the_table() {
    let tls = "tls.system_roots = false\ntls.alpn = [\"h2\", \"h2\"]\n";
    let found = wrong_keys(&format!("{IDENTITY}{BANK}{tls}"));
    assert_eq!(found, ["banks.examplebank.tls.system_roots", "banks.examplebank.tls.alpn[1]"]);
}
