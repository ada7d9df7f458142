//! Client assertions: what they say, who signed them, and that each call has its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519};
use tokio::time::sleep;

use super::identity::{identity, identity_of, verified};
use super::support::{Bench, Reply, START, bank, by_code, default, place, url};
use crate::certificate::pki::Kind;
use crate::config::{ClientAssertion, ClientAuth, GrantType, Revocation, SigningAlgorithm};
use crate::oauth::assertion::{self, AssertionError};
use crate::oauth::request::Means;
use crate::oauth::{Parts, TokenError, Tokens};
use crate::upstream::{Identity, SignatureError};
use crate::words::{Clock, Random, Secret};

const AUDIENCE: &str = "https://bank.example/token";

fn what(algorithm: Option<SigningAlgorithm>) -> ClientAssertion {
    ClientAssertion { place: place(), audience: AUDIENCE.into(), algorithm, key_id: None }
}

async fn make(what: &ClientAssertion, id: &str, identity: Option<&Identity>) -> Result<Secret, AssertionError> {
    let (clock, _) = Clock::manual(START);
    let means = Means { clock: &clock, random: &Random::seeded(1), identity, patience: Duration::from_secs(1) };
    assertion::make(what, id, &means).await
}

fn text(secret: &Secret) -> &str {
    secret.expose_str().expect("text")
}

#[tokio::test]
async fn it_says_who_calls_whom_when_and_once_and_names_the_key() {
    let identity = identity(Kind::P256);
    let assertion = make(&what(None), "xxxx1234", Some(&identity)).await.expect("an assertion");
    let (header, claims) = verified(text(&assertion), &identity);
    let facts = identity.facts();
    let expected = serde_json::json!({
        "alg": "ES256", "typ": "JWT", "kid": facts.jwk_thumbprint().expect("a name"), "x5t#S256": facts.x5t_s256(),
    });
    assert_eq!(header, expected);
    let issued_at = START.seconds() - 5;
    let expected = serde_json::json!({
        "iss": "xxxx1234", "sub": "xxxx1234", "aud": AUDIENCE, "jti": Random::seeded(1).token(),
        "iat": issued_at, "exp": issued_at + 60,
    });
    assert_eq!(claims, expected);
    assert_eq!(format!("{assertion:?}"), "<secret>");
    let named = ClientAssertion { key_id: Some("qwac-2026".into()), ..what(None) };
    let assertion = make(&named, "x", Some(&identity)).await.expect("an assertion");
    assert_eq!(verified(text(&assertion), &identity).0["kid"], "qwac-2026");
}

#[tokio::test]
async fn each_kind_of_key_signs_as_it_can_and_an_rsa_key_with_pss_unless_told() {
    let generated = |algorithm| identity_of(&KeyPair::generate_for(algorithm).expect("a key"));
    let rsa = identity(Kind::Rsa);
    let cases = [
        (&identity(Kind::P256), None, "ES256"),
        (&generated(&PKCS_ECDSA_P384_SHA384), None, "ES384"),
        (&generated(&PKCS_ECDSA_P521_SHA512), None, "ES512"),
        (&generated(&PKCS_ED25519), None, "EdDSA"),
        (&rsa, None, "PS256"),
        (&rsa, Some(SigningAlgorithm::Ps256), "PS256"),
        (&rsa, Some(SigningAlgorithm::Rs256), "RS256"),
    ];
    for (identity, wanted, algorithm) in cases {
        let assertion = make(&what(wanted), "x", Some(identity)).await.expect("an assertion");
        assert_eq!(verified(text(&assertion), identity).0["alg"], algorithm);
    }
}

#[tokio::test]
async fn without_a_key_that_can_there_is_none() {
    let nobody = make(&what(None), "x", None).await.expect_err("nobody signs");
    assert!(matches!(nobody, AssertionError::NoIdentity));
    let unfit = make(&what(Some(SigningAlgorithm::Rs256)), "x", Some(&identity(Kind::P256))).await;
    let unfit = unfit.expect_err("it does not fit");
    let AssertionError::NotSigned(error @ SignatureError::Unfit { .. }) = &unfit else { panic!("{unfit}") };
    assert_eq!(error.to_string(), "the identity's key, P-256, does not sign with RS256");
}

proptest! {
    /// Ids and audiences of any text come out as they went in, and nothing of it is missing in what is signed.
    #[test]
    fn whatever_the_names_are_the_claims_are_theirs(id in ".+", audience in ".+", kid in ".+") {
        thread_local!(static SIGNER: Identity = identity(Kind::P256));
        let what = ClientAssertion { audience: audience.clone(), key_id: Some(kid.clone()), ..what(None) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        SIGNER.with(|signer| {
            let assertion = runtime.block_on(make(&what, &id, Some(signer))).expect("an assertion");
            let (header, claims) = verified(text(&assertion), signer);
            prop_assert_eq!(&claims["sub"], id.as_str());
            prop_assert_eq!(&claims["iss"], id.as_str());
            prop_assert_eq!(&claims["aud"], audience.as_str());
            prop_assert_eq!(&header["kid"], kid.as_str());
            Ok(())
        })?;
    }
}

/// Tokens of a bank whose client authenticates by an assertion of this identity.
fn tokens(bench: &Bench, identity: Option<Identity>) -> Arc<Tokens> {
    let parts = Parts { identity, ..bench.tokens.parts.clone() };
    bench.tokens.succeed(Arc::clone(&bench.bank), parts)
}

fn bench() -> Bench {
    let mut code = by_code();
    code.token.client_auth = ClientAuth::PrivateKeyJwt(Box::new(what(None)));
    code.token.revocation = Some(Revocation::Rfc7009(url("/revoke")));
    Bench::with(bank(GrantType::AuthorizationCode(Box::new(code))))
}

/// The assertion in a form, and its `jti`.
fn proven(content: &str, by: &Identity) -> String {
    let field = |wanted: &str| {
        let found = form_urlencoded::parse(content.as_bytes()).find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.into_owned())
    };
    assert_eq!(field("client_assertion_type").as_deref(), Some(assertion::TYPE));
    assert_eq!((field("client_id").as_deref(), field("client_secret")), (Some("xxxx1234"), None));
    let (_, claims) = verified(&field("client_assertion").expect("an assertion"), by);
    assert_eq!(claims["aud"], AUDIENCE);
    claims["jti"].as_str().expect("text").to_owned()
}

#[tokio::test(start_paused = true)]
async fn each_call_has_its_own_whether_the_one_before_arrived_or_not() {
    let (bench, identity) = (bench(), identity(Kind::P256));
    let tokens = tokens(&bench, Some(identity.clone()));
    let authorization = tokens.begin_login(&default()).await.unwrap();
    let (_, query) = authorization.url.split_once('?').unwrap();
    let state = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "state").unwrap().1.into_owned();
    bench.script.then(Reply::NotSent).then(Reply::Tokens(1));
    tokens.finish_login(&format!("code=the-code&state={state}")).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::Say(503, &[], "")).then(Reply::Tokens(300));
    tokens.get(&default()).await.unwrap();
    bench.script.then(Reply::Say(200, &[], ""));
    tokens.remove(&default(), false).await.unwrap();
    let contents = bench.script.contents();
    let kinds: Vec<_> = contents.iter().map(|content| content.split(['=', '&']).nth(1).unwrap()).collect();
    let [code, refresh] = ["authorization_code", "refresh_token"];
    assert_eq!(kinds, [code, code, refresh, refresh, "refresh-4"], "the last revokes");
    let names: BTreeSet<_> = contents.iter().map(|content| proven(content, &identity)).collect();
    assert_eq!(names.len(), contents.len());
}

#[tokio::test(start_paused = true)]
async fn after_a_reload_the_new_key_signs() {
    let bench = bench();
    let (first, second) = (identity(Kind::P256), identity(Kind::Rsa));
    let former = tokens(&bench, Some(first.clone()));
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::Tokens(1));
    let _ = former.get(&default()).await;
    let next =
        former.succeed(Arc::clone(&bench.bank), Parts { identity: Some(second.clone()), ..former.parts.clone() });
    sleep(Duration::from_secs(2)).await;
    bench.script.then(Reply::Tokens(300));
    next.get(&default()).await.unwrap();
    let contents = bench.script.contents();
    assert_eq!(contents.len(), 2);
    assert_ne!(proven(&contents[0], &first), proven(&contents[1], &second));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_signed_is_not_sent_and_spends_nothing() {
    let bench = bench();
    let tokens = tokens(&bench, None);
    bench.import(1).await;
    sleep(Duration::from_secs(2)).await;
    let error = tokens.get(&default()).await.unwrap_err();
    let TokenError::Unavailable { cause: Some(cause), .. } = &error else { panic!("{error}") };
    assert!(cause.reason.starts_with("the bank's endpoint was not asked: there is no identity"), "{}", cause.reason);
    assert!(cause.remedy.contains("[identity]"), "{}", cause.remedy);
    assert_eq!((bench.script.calls(), bench.refresh_token().await.as_str()), (0, "refresh-0"));
    assert_eq!(bench.state().await, "expired", "there is no doubt about what the bank did");
}
