//! Client assertions that the simulated banks take, and everything that may be wrong with one.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::{Qwac, QwacOptions};
use super::client::{Answer, Client, sandbox};
use crate::sandbox::record::sha256;
use crate::words::{Clock, Random};

/// The header that names this certificate.
fn header(of: &Qwac) -> Value {
    json!({ "alg": "ES256", "kid": "key", "x5t#S256": URL_SAFE_NO_PAD.encode(sha256(&of.chain()[0])) })
}

fn signed(header: &Value, claims: &Value, by: &Qwac) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let text = format!("{header}.{claims}");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, by.key().secret_der()).expect("a key");
    let signature = key.sign(&SystemRandom::new(), text.as_bytes()).expect("a signature");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn an_assertion_is_taken_once_and_only_if_all_of_it_is_right() {
    let sandbox = sandbox().await;
    let (bank, client, own) = (sandbox.cnb(), Client::licensed(&sandbox), sandbox.qwac());
    bank.control().change_rules(|rules| {
        rules.client_credentials = true;
        rules.private_key_jwt = true;
    });
    let send = async |assertion: &str, fields: &[(&str, &str)]| {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let mut all = vec![("grant_type", "client_credentials"), ("scope", "aisp"), ("client_assertion_type", kind)];
        all.push(("client_assertion", assertion));
        all.extend(fields);
        client.form(&bank.urls().token, &[], &all).await
    };
    let said = |answer: &Answer| (answer.status, answer.text_at("/error_description"));
    let random = Random::system();
    let now = || Clock::system().now().seconds();
    let claims = || {
        let (id, audience) = (bank.client_id(), &bank.urls().token);
        json!({ "iss": id, "sub": id, "aud": audience, "jti": random.token(), "iat": now(), "exp": now() + 60 })
    };
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        claims
    };

    let good = signed(&header(own), &claims(), own);
    assert_eq!(send(&good, &[]).await.status, 200);
    assert_eq!(said(&send(&good, &[]).await), (401, "the assertion was used before".to_owned()));

    let other = sandbox.pki().qwac(&QwacOptions::default()).expect("a QWAC");
    let mut unsigned = header(own);
    unsigned["alg"] = "none".into();
    let wrong = [
        (signed(&header(own), &claims(), &other), "was not signed by the client's key"),
        (signed(&header(&other), &claims(), &other), "names another certificate"),
        (signed(&unsigned, &claims(), own), "algorithm is not known"),
        (signed(&header(own), &with("iss", "somebody".into()), own), "iss and sub are not the same"),
        (signed(&header(own), &with("aud", "https://other.example".into()), own), "meant for another server"),
        (signed(&header(own), &with("jti", "1".into()), own), "jti can be guessed"),
        (signed(&header(own), &with("exp", now().into()), own), "has ended"),
        (signed(&header(own), &with("exp", (now() + 3600).into()), own), "lives too long"),
        (signed(&header(own), &with("iat", (now() + 30).into()), own), "is from the future"),
        (signed(&header(own), &with("sub", Value::Null), own), "lacks what it needs"),
        ("n!.o!.jwt".to_owned(), "no base64url"),
        ("nothing".to_owned(), "is no JWT"),
    ];
    for (assertion, reason) in wrong {
        let (status, description) = said(&send(&assertion, &[]).await);
        assert!(status == 401 && description.contains(reason), "{reason}: {status} {description}");
    }
    let foreign = send(&signed(&header(own), &claims(), own), &[("client_id", "somebody")]).await;
    assert_eq!(said(&foreign), (401, "client_id is not sub".to_owned()));
    let secret = bank.client_secret().expose_str().expect("text");
    let by_secret = [("grant_type", "client_credentials"), ("client_id", bank.client_id()), ("client_secret", secret)];
    let by_secret = client.form(&bank.urls().token, &[], &by_secret).await;
    assert_eq!(by_secret.text_at("/error"), "invalid_client", "nothing else will do");
    assert_eq!(send(&signed(&header(own), &claims(), own), &[]).await.status, 200, "a further one is taken");
}
