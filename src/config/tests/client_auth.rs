//! How the client authenticates by an assertion, as it is configured.

use super::*;

/// The bank by an assertion, without a client secret, with more lines.
fn by_assertion(lines: &str) -> String {
    let bank: Vec<_> = BANK.lines().filter(|line| !line.starts_with("client_secret")).collect();
    format!("{IDENTITY}{}\noauth.client_auth = \"private_key_jwt\"\n{lines}\n", bank.join("\n"))
}

fn assertion(lines: &str) -> ClientAssertion {
    let config = loaded(&by_assertion(lines));
    assert_eq!(config.warnings, []);
    let endpoint = config.banks[0].grant_type.token_endpoint().expect("a token endpoint").clone();
    assert!(endpoint.client_secret.is_none());
    let ClientAuth::PrivateKeyJwt(assertion) = endpoint.client_auth else { panic!("{:?}", endpoint.client_auth) };
    *assertion
}

#[test]
fn it_needs_no_secret_and_is_meant_for_the_token_endpoint_or_the_issuer_where_there_is_one() {
    let plain = assertion("");
    assert_eq!((plain.audience.as_str(), plain.algorithm), ("https://login.bank.example/token", None));
    assert_eq!(plain.key_id, None);
    assert_eq!(&*plain.place.key, "banks.examplebank.oauth.client_auth");
    // As it is written: servers compare the text.
    let issuer = "oauth.issuer = \"https://Login.bank.example/realms/psd2/\"";
    assert_eq!(assertion(issuer).audience, "https://Login.bank.example/realms/psd2/");
    let by_credentials = by_assertion(issuer).replace("authorization_code", "client_credentials");
    let config = loaded(&by_credentials);
    let endpoint = config.banks[0].grant_type.token_endpoint().expect("a token endpoint").clone();
    let ClientAuth::PrivateKeyJwt(assertion) = endpoint.client_auth else { panic!("{:?}", endpoint.client_auth) };
    assert_eq!(assertion.audience, "https://Login.bank.example/realms/psd2/");
}

#[test]
fn the_algorithm_and_the_keys_name_can_be_said() {
    let said = assertion("oauth.token_endpoint_auth_signing_alg = \"RS256\"\noauth.kid = \"qwac-2026\"");
    assert_eq!((said.algorithm, said.key_id.as_deref()), (Some(SigningAlgorithm::Rs256), Some("qwac-2026")));
    assert_eq!(&*said.place.key, "banks.examplebank.oauth.token_endpoint_auth_signing_alg");
    for algorithm in SigningAlgorithm::ALL {
        let line = format!("oauth.token_endpoint_auth_signing_alg = \"{}\"", algorithm.name());
        assert_eq!(assertion(&line).algorithm, Some(algorithm));
    }
    for wrong in ["none", "HS256", "es256", ""] {
        let line = format!("oauth.token_endpoint_auth_signing_alg = \"{wrong}\"");
        assert_eq!(
            wrong_keys(&by_assertion(&line)),
            ["banks.examplebank.oauth.token_endpoint_auth_signing_alg"],
            "{wrong}"
        );
    }
}

#[test]
fn it_cannot_be_without_the_identity() {
    let found = problems(&by_assertion("tls.client_certificate = false"));
    assert_eq!(found.len(), 1, "{found:?}");
    let (_, key, reason) = &found[0];
    assert_eq!(key, "banks.examplebank.oauth.client_auth");
    assert!(reason.contains("tls.client_certificate = false"), "{reason}");
}

#[test]
fn what_is_for_assertions_only_is_told_where_there_are_none() {
    let lines = "oauth.token_endpoint_auth_signing_alg = \"PS256\"\noauth.kid = \"x\"\n";
    let warnings = loaded(&format!("{IDENTITY}{BANK}{lines}")).warnings;
    let places: Vec<_> = warnings.iter().map(|problem| &*problem.place.key).collect();
    let of = |key: &str| format!("banks.examplebank.oauth.{key}");
    assert_eq!(places, [of("token_endpoint_auth_signing_alg"), of("kid")]);
}
