//! A token that no person gave, when the configuration asks for another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::support::{Bench, Reply, bank, by_code, by_credentials, default, sent};
use crate::config::{Bank, GrantType, HeaderTemplate};
use crate::oauth::{Removal, TokenError, Tokens};
use crate::store::Store;

/// The bank by client credentials at this host.
fn at(host: &str) -> Arc<Bank> {
    let mut bank = bank(by_credentials());
    bank.base_url.host = host.into();
    Arc::new(bank)
}

fn bench() -> Bench {
    let bench = Bench::with(bank(by_credentials()));
    bench.script.always(|| Reply::Tokens(3600));
    bench
}

/// The tokens of the bank as another process has them that is configured so.
fn process(bench: &Bench, bank: Arc<Bank>) -> Arc<Tokens> {
    Tokens::new(bank, bench.tokens.parts.clone())
}

fn reloaded(bench: &Bench, bank: Arc<Bank>) -> Arc<Tokens> {
    bench.tokens.succeed(bank, bench.tokens.parts.clone())
}

async fn token(tokens: &Arc<Tokens>) -> String {
    sent(&tokens.get(&default()).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_token_is_not_used_for_another_host_whether_reloaded_or_restarted() {
    for restarted in [false, true] {
        let bench = bench();
        assert_eq!(token(&bench.tokens).await, "access-1");
        let next = if restarted { process(&bench, at("bank2.example")) } else { reloaded(&bench, at("bank2.example")) };
        assert_eq!(token(&next).await, "access-2");
        assert_eq!(token(&process(&bench, at("bank2.example"))).await, "access-2");
        assert_eq!(bench.script.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_host_is_forgotten_without_being_shown_to_this_one_and_the_person_hears_of_it() {
    let bench = bench();
    token(&bench.tokens).await;
    let moved = process(&bench, at("bank2.example"));
    assert_eq!(moved.remove(&default(), false).await.unwrap(), Removal::AskedOtherwise);
    assert_eq!(bench.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_configuration_asks_for_nothing() {
    let bench = bench();
    token(&bench.tokens).await;
    assert_eq!(token(&reloaded(&bench, at("bank.example"))).await, "access-1");
    assert_eq!(token(&process(&bench, at("bank.example"))).await, "access-1");
    assert_eq!(bench.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_former_release_is_used_until_the_configuration_is_seen_to_change() {
    let bench = bench();
    token(&bench.tokens).await;
    bench.execute("UPDATE grants SET certificate = 'fingerprint'");
    let started = process(&bench, at("bank.example"));
    assert_eq!(token(&started).await, "access-1");
    let next = started.succeed(at("bank2.example"), bench.tokens.parts.clone());
    assert_eq!(token(&next).await, "access-2");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_asked_for_with_other_field_lines_is_not_used_and_none_of_them_is_stored() {
    let with = |tenant: &'static str| {
        let GrantType::ClientCredentials(mut credentials) = by_credentials() else { panic!() };
        credentials.token.token_headers.push(("X-Tenant".into(), HeaderTemplate(tenant.into())));
        Arc::new(bank(GrantType::ClientCredentials(credentials)))
    };
    let bench = bench();
    let former = process(&bench, with("one-secret"));
    assert_eq!(token(&former).await, "access-1");
    assert_eq!(token(&process(&bench, with("one-secret"))).await, "access-1");
    let next = former.succeed(with("another-secret"), bench.tokens.parts.clone());
    assert_eq!(token(&next).await, "access-2");
    let facts = bench.store.facts(&bench.tokens.key(&default())).await.unwrap().unwrap();
    assert!(!facts.certificate.unwrap().contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn the_mark_is_not_taken_for_another_certificate() {
    let bench = bench();
    let young = bench.tokens.get(&default()).await.unwrap();
    assert!(bench.tokens.after_unauthorized(&default(), &young, false).await.unwrap().is_none());
    assert_eq!(bench.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_imported_token_is_for_the_bank_that_it_was_imported_for() {
    let bench = bench();
    bench.import(3600).await;
    assert_eq!(token(&bench.tokens).await, "access-0");
    assert_eq!(token(&process(&bench, at("bank2.example"))).await, "access-1");
}

#[tokio::test(start_paused = true)]
async fn a_consent_outlives_every_change_and_needs_no_other_token() {
    let bench = Bench::new();
    bench.import(3600).await;
    let mut moved = bank(GrantType::AuthorizationCode(Box::new(by_code())));
    moved.base_url.host = "bank2.example".into();
    let moved = Arc::new(moved);
    assert_eq!(token(&reloaded(&bench, Arc::clone(&moved))).await, "access-0");
    assert_eq!(token(&process(&bench, moved)).await, "access-0");
}

#[tokio::test(start_paused = true)]
async fn a_consent_comes_back_after_a_time_of_client_credentials() {
    let bench = Bench::new();
    bench.import(3600).await;
    bench.script.always(|| Reply::Say(200, &[], r#"{"access_token":"app","expires_in":3600}"#));
    let between = reloaded(&bench, at("bank.example"));
    assert_eq!(token(&between).await, "app");
    bench.script.always(|| Reply::Tokens(3600));
    let after = between.succeed(Arc::clone(&bench.bank), bench.tokens.parts.clone());
    assert_eq!(token(&after).await, "access-2");
    assert!(bench.script.last(|seen| seen.content.contains("refresh_token=refresh-0")));
}

#[tokio::test(start_paused = true)]
async fn a_token_by_client_credentials_is_not_used_where_a_person_has_to_consent() {
    let bench = bench();
    bench.script.then(Reply::Say(200, &[], r#"{"access_token":"app","expires_in":3600}"#));
    assert_eq!(token(&bench.tokens).await, "app");
    let by_code = Arc::new(bank(GrantType::AuthorizationCode(Box::new(by_code()))));
    assert_eq!(reloaded(&bench, by_code).get(&default()).await.unwrap_err(), TokenError::NeedsAuthorization);
}

#[tokio::test(start_paused = true)]
async fn replicas_that_are_configured_otherwise_take_turns_no_faster_than_their_tokens_end() {
    let bench = Bench::with(bank(by_credentials()));
    bench.script.always(|| Reply::After(Duration::from_millis(50), Box::new(Reply::Tokens(10))));
    let others = [process(&bench, at("bank2.example")), process(&bench, at("bank2.example"))];
    let replicas = [&bench.tokens, &others[0], &others[1]];
    for tokens in replicas {
        tokens.start(CancellationToken::new());
    }
    for _ in 0..1000 {
        for tokens in replicas {
            token(tokens).await;
        }
        sleep(Duration::from_millis(100)).await;
    }
    // Some 8 s after each of its tokens one is due, and each of the three may then ask once.
    let calls = bench.script.calls();
    assert!((20..=3 * 13).contains(&calls), "{calls}");
}
