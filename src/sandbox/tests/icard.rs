//! iCard: the flow to a token, its rotation, and the API's doorkeeper and data.

use serde_json::json;

use super::super::iban::is_iban;
use super::super::{Plan, QwacOptions, Role, UsedRefreshToken};
use super::client::*;

#[tokio::test]
async fn the_whole_flow_ends_with_accounts_of_valid_ibans() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.icard(), Client::licensed(&sandbox));
    let (access, refresh) = icard_tokens(&sandbox, &client).await;
    assert!(access.starts_with("eyJ0eXAi") && refresh.starts_with("def50200"));

    let accounts = client.get(&format!("{}/v1/accounts", bank.urls().base), &access).await;
    assert_eq!(accounts.status, 200);
    let accounts = accounts.json()["accounts"].as_array().expect("a list").clone();
    assert_eq!(accounts.len(), 3);
    for account in &accounts {
        assert!(is_iban(account["iban"].as_str().expect("an IBAN")));
        let links = &account["_links"];
        for link in ["balances", "transactions"] {
            let query = if link == "transactions" { "?bookingStatus=both&dateFrom=2020-01-01" } else { "" };
            let url = format!("{}{}{query}", bank.urls().base, links[link]["href"].as_str().expect("a link"));
            assert_eq!(client.get(&url, &access).await.status, 200, "{url}");
        }
    }
}

#[tokio::test]
async fn the_page_shows_buttons_and_the_apps_wishes_and_uses_nothing_up() {
    let sandbox = sandbox().await;
    let url = icard_authorize_url(&Client::licensed(&sandbox), sandbox.icard(), &[]).await;
    let browser = Client::browser(&sandbox);
    for _ in 0..2 {
        let page = browser.send("GET", &url, &[], "").await.expect("an answer");
        assert_eq!(page.status, 200);
        for part in ["id=\"approve\"", "id=\"deny\"", "see your accounts", "iCard DW"] {
            assert!(page.text().contains(part), "{part}");
        }
    }
    assert!(!approve(&browser, &url).await.is_empty());
}

#[tokio::test]
async fn a_customer_who_denies_gives_no_code() {
    let sandbox = sandbox().await;
    let url = icard_authorize_url(&Client::licensed(&sandbox), sandbox.icard(), &[]).await;
    let answer = Client::browser(&sandbox).form(&url, &[], &[("decision", "deny")]).await;
    assert_eq!(answer.status, 302);
    assert_eq!(answer.location()["error"], "access_denied");
    assert_eq!(answer.location()["state"], "st");
}

#[tokio::test]
async fn an_authorization_that_is_wrong_goes_back_with_an_error_or_nowhere() {
    let sandbox = sandbox().await;
    let (bank, client, browser) = (sandbox.icard(), Client::licensed(&sandbox), Client::browser(&sandbox));
    let nowhere = [("client_id", "nobody"), ("redirect_uri", "http://127.0.0.1:8765/callback/")];
    for wrong in nowhere {
        let url = icard_authorize_url(&client, bank, &[wrong]).await;
        let answer = browser.send("GET", &url, &[], "").await.expect("an answer");
        assert_eq!((answer.status, answer.headers.get("location")), (400, None), "{wrong:?}");
    }
    let told = [
        (("response_type", "token"), "unsupported_response_type"),
        (("scope", "ais everything"), "invalid_scope"),
        (("scope", ""), "invalid_scope"),
        (("state", ""), "invalid_request"),
        (("auth_id", ""), "invalid_request"),
        (("auth_id", "04962adf-7cdd-414c-bdea-a92215f693de"), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
    ];
    for (wrong, error) in told {
        let url = icard_authorize_url(&client, bank, &[wrong]).await;
        let answer = browser.send("GET", &url, &[], "").await.expect("an answer");
        assert_eq!(answer.status, 302);
        assert_eq!(answer.location()["error"], error, "{wrong:?}");
    }
}

#[tokio::test]
async fn an_auth_id_serves_one_authorization() {
    let sandbox = sandbox().await;
    let url = icard_authorize_url(&Client::licensed(&sandbox), sandbox.icard(), &[]).await;
    let browser = Client::browser(&sandbox);
    approve(&browser, &url).await;
    let again = browser.form(&url, &[], &[("decision", "approve")]).await;
    assert_eq!(again.location()["error"], "invalid_request");
}

#[tokio::test]
async fn a_code_serves_once_and_with_its_redirect_uri_only() {
    let sandbox = sandbox().await;
    let (bank, client, browser) = (sandbox.icard(), Client::licensed(&sandbox), Client::browser(&sandbox));
    let url = icard_authorize_url(&client, bank, &[]).await;
    let code = approve(&browser, &url).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", "http://127.0.0.1:8765/other"),
        ("client_id", bank.client_id()),
        ("client_secret", secret(bank)),
    ];
    let elsewhere = client.form(&bank.urls().token, &[], &fields).await;
    assert_eq!((elsewhere.status, &*elsewhere.text_at("/error")), (400, "invalid_grant"));

    let first = exchange(&client, bank, &code, &[]).await;
    assert_eq!((first.status, &first.json()["expires_in"]), (200, &json!(86_400)));
    let second = exchange(&client, bank, &code, &[]).await;
    assert_eq!((second.status, &*second.text_at("/error")), (400, "invalid_grant"));
}

#[tokio::test]
async fn a_verifier_must_fit_a_challenge_and_never_comes_without_one() {
    let sandbox = sandbox().await;
    let (bank, client, browser) = (sandbox.icard(), Client::licensed(&sandbox), Client::browser(&sandbox));
    // RFC 7636, appendix B.
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge =
        [("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"), ("code_challenge_method", "S256")];
    let cases: [(&[_], &[_], u16); 5] = [
        (&challenge, &[("code_verifier", verifier)], 200),
        (&challenge, &[("code_verifier", "another-verifier-that-is-43-characters-long")], 400),
        (&challenge, &[], 400),
        (&[], &[("code_verifier", verifier)], 400),
        (&[], &[], 200),
    ];
    for (asked, sent, status) in cases {
        let url = icard_authorize_url(&client, bank, asked).await;
        let code = approve(&browser, &url).await;
        assert_eq!(exchange(&client, bank, &code, sent).await.status, status, "{asked:?} {sent:?}");
    }
}

#[tokio::test]
async fn a_refresh_voids_the_old_access_token_and_the_old_refresh_token_at_once() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.icard(), Client::licensed(&sandbox));
    let accounts = format!("{}/v1/accounts", bank.urls().base);
    let (old_access, old_refresh) = icard_tokens(&sandbox, &client).await;
    let renewed = refresh(&client, bank, &old_refresh).await;
    let (access, second_refresh) = (renewed.text_at("/access_token"), renewed.text_at("/refresh_token"));
    assert_ne!(old_refresh, second_refresh);
    assert_eq!(client.get(&accounts, &old_access).await.status, 401);
    assert_eq!(client.get(&accounts, &access).await.status, 200);

    let reused = refresh(&client, bank, &old_refresh).await;
    assert_eq!((reused.status, &*reused.text_at("/error")), (400, "invalid_grant"));
    assert_eq!(bank.control().counters().refresh_reuse, 1);
    assert_eq!(client.get(&accounts, &access).await.status, 200, "reuse ends the grant only where it is told to");

    bank.control().change_rules(|rules| {
        rules.used_refresh_token = UsedRefreshToken::InvalidRequest;
        rules.reuse_ends_grant = true;
    });
    let reused = refresh(&client, bank, &old_refresh).await;
    assert_eq!((reused.status, &*reused.text_at("/error")), (401, "invalid_request"));
    assert_eq!(client.get(&accounts, &access).await.status, 401);
    assert_eq!(refresh(&client, bank, &second_refresh).await.status, 401);
}

#[tokio::test]
async fn credentials_in_the_form_win_over_basic() {
    let sandbox = sandbox().await;
    let (bank, client, browser) = (sandbox.icard(), Client::licensed(&sandbox), Client::browser(&sandbox));
    let url = icard_authorize_url(&client, bank, &[]).await;
    let code = approve(&browser, &url).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", bank.redirect_uri()),
        ("client_id", bank.client_id()),
        ("client_secret", "wrong"),
    ];
    let basic = super::cnb::basic(bank.client_id(), secret(bank));
    let wrong = client.form(&bank.urls().token, &[&basic], &fields).await;
    assert_eq!((wrong.status, &*wrong.text_at("/error")), (401, "invalid_client"));
    let right = client.form(&bank.urls().token, &[&basic], &fields[..3]).await;
    assert_eq!(right.status, 200);
}

#[tokio::test]
async fn the_api_wants_the_right_role_scope_and_a_living_token() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.icard(), Client::licensed(&sandbox));
    let accounts = format!("{}/v1/accounts", bank.urls().base);
    let (access, _) = icard_tokens(&sandbox, &client).await;

    let code = |answer: &Answer| (answer.status, answer.text_at("/tppMessages/0/code"));
    assert_eq!(code(&client.get(&accounts, "nonsense").await), (401, "TOKEN_INVALID".into()));
    let none = client.send("GET", &accounts, &[], "").await.expect("an answer");
    assert_eq!(code(&none), (401, "TOKEN_UNKNOWN".into()));

    let payments_only = sandbox.pki().qwac(&QwacOptions::with_roles(&[Role::Payments])).expect("a QWAC");
    let other = Client::new(&sandbox, Some(&payments_only), b"http/1.1");
    assert_eq!(code(&other.get(&accounts, &access).await), (401, "ROLE_INVALID".into()));

    let url = icard_authorize_url(&client, bank, &[("scope", "pis")]).await;
    let narrow = exchange(&client, bank, &approve(&Client::browser(&sandbox), &url).await, &[]).await;
    let answer = client.get(&accounts, &narrow.text_at("/access_token")).await;
    assert_eq!(code(&answer), (401, "TOKEN_INVALID".into()));
    assert!(answer.headers["www-authenticate"].contains("insufficient_scope"));

    bank.control().expire_access_tokens();
    assert_eq!(code(&client.get(&accounts, &access).await), (401, "TOKEN_EXPIRED".into()));
}

#[tokio::test]
async fn a_payment_is_taken_and_found_and_a_wrong_one_refused() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.icard(), Client::licensed(&sandbox));
    let (access, _) = icard_tokens(&sandbox, &client).await;
    let url = format!("{}/v1/payments/sepa-credit-transfers", bank.urls().base);
    let order = json!({
        "instructedAmount": { "currency": "EUR", "amount": "123.50" },
        "creditorAccount": { "iban": "DE89370400440532013000" },
        "creditorName": "Merchant123",
    });
    let taken = client.post_json(&url, &access, &order).await;
    assert_eq!((taken.status, &*taken.text_at("/transactionStatus")), (201, "RCVD"));
    let own = format!("{url}/{}", taken.text_at("/paymentId"));
    assert_eq!(taken.headers["location"], own);
    assert_eq!(client.get(&own, &access).await.json()["creditorName"], "Merchant123");
    assert_eq!(client.get(&format!("{own}/status"), &access).await.text_at("/transactionStatus"), "RCVD");

    let wrong = [
        ("instructedAmount", json!({ "currency": "EUR", "amount": "-1" })),
        ("creditorAccount", json!({ "iban": "DE89370400440532013001" })),
        ("creditorName", json!("")),
    ];
    for (field, value) in wrong {
        let mut order = order.clone();
        order[field] = value;
        assert_eq!(client.post_json(&url, &access, &order).await.text_at("/tppMessages/0/code"), "FORMAT_ERROR");
    }
    let product = url.replace("sepa-credit-transfers", "gold");
    assert_eq!(client.post_json(&product, &access, &order).await.text_at("/tppMessages/0/code"), "PRODUCT_UNKNOWN");
    assert_eq!(bank.control().payments().len(), 1);
}

#[tokio::test]
async fn consents_cards_and_funds_answer_as_the_standard_says() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.icard(), Client::licensed(&sandbox));
    let (access, _) = icard_tokens(&sandbox, &client).await;
    let base = &bank.urls().base;
    let consent = json!({ "access": { "allPsd2": "allAccounts" }, "recurringIndicator": true,
        "validUntil": "2099-12-31", "frequencyPerDay": 4 });
    let made = client.post_json(&format!("{base}/v1/consents"), &access, &consent).await;
    assert_eq!(made.status, 201);
    let bearer = format!("Authorization: Bearer {access}");
    for (id, status) in [(made.text_at("/consentId"), 200), ("unknown".to_owned(), 400)] {
        let lines = [&*bearer, &*format!("Consent-ID: {id}"), "X-Request-ID: 99391c7e-ad88-49ec-a2ad-99ddcb1f7721"];
        let answer = client.send("GET", &format!("{base}/v1/accounts"), &lines, "").await.expect("an answer");
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["x-request-id"], "99391c7e-ad88-49ec-a2ad-99ddcb1f7721");
    }
    let cards = client.get(&format!("{base}/v1/card-accounts"), &access).await;
    assert_eq!(cards.text_at("/cardAccounts/0/maskedPan"), "516360******4821");

    let accounts = client.get(&format!("{base}/v1/accounts"), &access).await;
    let funds = |amount: &str| {
        json!({ "account": { "iban": accounts.text_at("/accounts/0/iban") },
        "instructedAmount": { "currency": "EUR", "amount": amount } })
    };
    let url = format!("{base}/v1/funds-confirmations");
    assert_eq!(client.post_json(&url, &access, &funds("1.00")).await.json(), json!({ "fundsAvailable": true }));
    assert_eq!(client.post_json(&url, &access, &funds("99999999.00")).await.json(), json!({ "fundsAvailable": false }));
}

#[tokio::test]
async fn transactions_follow_their_query() {
    let sandbox = sandbox().await;
    let client = Client::licensed(&sandbox);
    let (access, _) = icard_tokens(&sandbox, &client).await;
    let base = format!("{}/v1/accounts/3dc3d5b3-7023-4848-9853-f5400a64e80f/transactions", sandbox.icard().urls().base);
    for (query, code) in [
        ("?dateFrom=2020-01-01", "FORMAT_ERROR"),
        ("?bookingStatus=booked", "FORMAT_ERROR"),
        ("?bookingStatus=all&dateFrom=2020-01-01", "FORMAT_ERROR"),
        ("?bookingStatus=booked&dateFrom=2020-13-01", "FORMAT_ERROR"),
        ("?bookingStatus=booked&dateFrom=2020-01-02&dateTo=2020-01-01", "PERIOD_INVALID"),
    ] {
        let answer = client.get(&format!("{base}{query}"), &access).await;
        assert_eq!(answer.text_at("/tppMessages/0/code"), code, "{query}");
    }
    let all = client.get(&format!("{base}?bookingStatus=both&dateFrom=2020-01-01"), &access).await.json();
    let booked = all["transactions"]["booked"].as_array().expect("a list");
    assert_eq!(booked.len(), 45);
    let day = booked[3]["bookingDate"].as_str().expect("a date");
    let one = format!("{base}?bookingStatus=booked&dateFrom={day}&dateTo={day}");
    let one = client.get(&one, &access).await.json();
    assert_eq!(one["transactions"]["booked"], json!([booked[3]]));
    assert!(one["transactions"].get("pending").is_none());
}

#[tokio::test]
async fn an_app_is_registered_with_a_form_or_json_by_a_licensed_company_only() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.icard(), Client::licensed(&sandbox));
    let url = &bank.urls().registration;
    let form = client.form(url, &[], &[("name", "App"), ("redirect_uri", "http://127.0.0.1:1/cb")]).await;
    assert_eq!(form.status, 201);
    let fields = json!({ "client_name": "App", "redirect_uris": ["http://127.0.0.1:1/cb"], "scope": "ais pis" });
    let made = client.post_json(url, "", &fields).await;
    let (id, secret) = (made.text_at("/client_id"), made.text_at("/client_secret"));
    assert!(!id.is_empty() && !secret.is_empty() && id != form.text_at("/client_id"));
    let session = client.form(&bank.urls().session, &[], &[("client_id", &id)]).await;
    assert_eq!(session.status, 200);

    assert_eq!(client.post_json(url, "", &json!({ "client_name": "App" })).await.status, 400);
    let unlicensed = sandbox.pki().qwac(&QwacOptions { roles: None, ..QwacOptions::default() }).expect("a QWAC");
    let unlicensed = Client::new(&sandbox, Some(&unlicensed), b"http/1.1");
    assert_eq!(unlicensed.post_json(url, "", &fields).await.status, 403);
}

#[tokio::test]
async fn a_refresh_whose_answer_is_lost_has_used_the_refresh_token_up() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.icard(), Client::licensed(&sandbox));
    let (_, refresh_token) = icard_tokens(&sandbox, &client).await;
    bank.control().plan(Plan::next(1, super::super::Target::TOKEN, super::super::Fault::CutHandled));
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*refresh_token),
        ("client_id", bank.client_id()),
        ("client_secret", secret(bank)),
    ];
    let lines = ["Content-Type: application/x-www-form-urlencoded"];
    client.send("POST", &bank.urls().token, &lines, &encoded(&fields)).await.expect_err("no answer");
    assert_eq!(refresh(&client, bank, &refresh_token).await.text_at("/error"), "invalid_grant");
}
