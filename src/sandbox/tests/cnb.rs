//! CNB: one scope a token, tokens that are reused, applications, COBS, and the sandbox's prepared tokens.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::iban::is_iban;
use super::super::{BasicForm, QwacOptions, RefreshTokens, Role, SecretAt};
use super::client::*;

pub(super) fn basic(id: &str, secret: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

#[tokio::test]
async fn a_token_has_one_scope_and_opens_what_it_is_for() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.cnb(), Client::licensed(&sandbox));
    let two = authorize_url(bank, &[("scope", "aisp pisp")]);
    let refused = Client::browser(&sandbox).send("GET", &two, &[], "").await.expect("an answer");
    assert_eq!(refused.location()["error"], "invalid_scope");

    let (aisp, _) = cnb_tokens(&sandbox, &client, "aisp").await;
    let (pisp, _) = cnb_tokens(&sandbox, &client, "pisp").await;
    for version in ["2.0", "5.0"] {
        let accounts = format!("{}/cobs/{version}/my/accounts", bank.urls().base);
        let seen = client.get(&accounts, &aisp).await;
        assert_eq!(seen.status, 200);
        for account in seen.json()["accounts"].as_array().expect("a list") {
            assert!(is_iban(account["identification"]["iban"].as_str().expect("an IBAN")));
        }
        let refused = client.get(&accounts, &pisp).await;
        assert_eq!((refused.status, &*refused.text_at("/errors/0/error")), (403, "INSUFFICIENT_SCOPE"));
        assert!(refused.headers["www-authenticate"].contains("insufficient_scope"));
    }
    let payments = format!("{}/cobs/5.0/my/payments", bank.urls().base);
    assert_eq!(client.post_json(&payments, &aisp, &order(&client, bank, &aisp).await).await.status, 403);
    assert_eq!(client.post_json(&payments, &pisp, &order(&client, bank, &aisp).await).await.status, 200);
    assert_eq!(client.get(&payments, "nonsense").await.status, 405);
    let unknown = client.post_json(&payments, "nonsense", &json!({})).await;
    assert_eq!((unknown.status, &*unknown.text_at("/errors/0/error")), (401, "UNAUTHORISED"));
}

async fn order(client: &Client, bank: &super::super::Bank, aisp: &str) -> Value {
    let accounts = client.get(&format!("{}/cobs/5.0/my/accounts", bank.urls().base), aisp).await;
    json!({
        "paymentIdentification": { "instructionIdentification": "20261121-1" },
        "amount": { "instructedAmount": { "value": 10050.15, "currency": "CZK" } },
        "debtorAccount": { "identification": { "iban": accounts.text_at("/accounts/0/identification/iban") } },
        "creditorAccount": { "identification": { "iban": "CZ6508000000192000145399" } },
    })
}

#[tokio::test]
async fn a_refresh_gives_an_access_token_and_leaves_the_refresh_token() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.cnb(), Client::licensed(&sandbox));
    let (_, refresh_token) = cnb_tokens(&sandbox, &client, "aisp").await;
    for _ in 0..2 {
        let answer = refresh(&client, bank, &refresh_token).await;
        assert_eq!((answer.status, &answer.json()["expires_in"]), (200, &json!(300)));
        assert!(answer.json().get("refresh_token").is_none());
        let accounts = format!("{}/cobs/5.0/my/accounts", bank.urls().base);
        assert_eq!(client.get(&accounts, &answer.text_at("/access_token")).await.status, 200);
    }
    bank.control().change_rules(|rules| rules.refresh_tokens = RefreshTokens::None);
    assert_eq!(cnb_tokens(&sandbox, &client, "aisp").await.1, "");
}

#[tokio::test]
async fn the_secret_is_taken_where_the_rules_look_for_it() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.cnb(), Client::licensed(&sandbox));
    bank.control().add_client("an app", "s+cr:t/%", bank.redirect_uri());
    bank.control().change_rules(|rules| rules.client_credentials = true);
    let token = async |line: String, fields: &[(&str, &str)]| {
        let mut all = vec![("grant_type", "client_credentials"), ("scope", "aisp")];
        all.extend(fields);
        client.form(&bank.urls().token, &[&line], &all).await.status
    };
    let raw = || basic("an app", "s+cr:t/%");
    let encoded = || basic("an+app", "s%2Bcr%3At%2F%25");
    let in_form = [("client_id", "an app"), ("client_secret", "s+cr:t/%")];
    let nothing = || "X-Nothing: 1".to_owned();
    assert_eq!([token(raw(), &[]).await, token(encoded(), &[]).await, token(nothing(), &in_form).await], [200; 3]);
    bank.control().change_rules(|rules| rules.basic_form = BasicForm::Raw);
    assert_eq!([token(raw(), &[]).await, token(encoded(), &[]).await], [200, 401]);
    bank.control().change_rules(|rules| rules.basic_form = BasicForm::Encoded);
    assert_eq!([token(raw(), &[]).await, token(encoded(), &[]).await], [401, 200]);
    bank.control().change_rules(|rules| rules.secret_at = SecretAt::BasicOnly);
    assert_eq!([token(encoded(), &[]).await, token(nothing(), &in_form).await], [200, 401]);
    bank.control().change_rules(|rules| rules.tls_client_auth = true);
    assert_eq!(token(nothing(), &[("client_id", "an app")]).await, 200);
}

#[tokio::test]
async fn a_grant_ends_with_delete_and_by_rfc_7009() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.cnb(), Client::licensed(&sandbox));
    let accounts = format!("{}/cobs/5.0/my/accounts", bank.urls().base);
    let (access, refresh_token) = cnb_tokens(&sandbox, &client, "aisp").await;
    let bearer = format!("Authorization: Bearer {access}");
    let delete = async || client.send("DELETE", &bank.urls().token, &[&bearer], "").await.expect("an answer").status;
    assert_eq!([delete().await, delete().await], [200, 401]);
    assert_eq!(client.get(&accounts, &access).await.status, 401);
    assert_eq!(refresh(&client, bank, &refresh_token).await.text_at("/error"), "invalid_grant");

    let (access, refresh_token) = cnb_tokens(&sandbox, &client, "aisp").await;
    let revoke = bank.urls().token.replace("oauth/token", "oauth2/revoke");
    let line = basic(bank.client_id(), secret(bank));
    assert_eq!(client.form(&revoke, &[&line], &[("token", &refresh_token)]).await.status, 200);
    assert_eq!(client.get(&accounts, &access).await.status, 401);
    assert_eq!(client.form(&revoke, &[], &[("token", "x")]).await.status, 401);
}

#[tokio::test]
async fn an_application_shows_its_secret_once_and_a_renewed_one_voids_the_old() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.cnb(), Client::licensed(&sandbox));
    bank.control().change_rules(|rules| rules.client_credentials = true);
    let url = &bank.urls().registration;
    let fields = json!({ "application_type": "web", "client_name": "App", "scopes": ["aisp"],
        "redirect_uris": ["http://127.0.0.1:1/cb"], "contacts": ["it@tpp.example"] });
    let made = client.post_json(url, "", &fields).await;
    let (id, first) = (made.text_at("/client_id"), made.text_at("/client_secret"));
    assert_eq!(made.status, 201);
    let one = format!("{url}/{id}");
    let send = async |method: &str, url: &str, body: &Value| {
        client.send(method, url, &["Content-Type: application/json"], &body.to_string()).await.expect("an answer")
    };
    for seen in [send("GET", &one, &json!({})).await.json(), send("GET", url, &json!({})).await.json()] {
        assert!(seen.to_string().contains(&id) && !seen.to_string().contains("client_secret"));
    }
    let token = async |secret: &str| {
        let grant = [("grant_type", "client_credentials")];
        client.form(&bank.urls().token, &[&basic(&id, secret)], &grant).await
    };
    let access = token(&first).await.text_at("/access_token");
    let second = send("POST", &format!("{one}/renewSecret"), &json!({})).await.text_at("/client_secret");
    assert_eq!([token(&first).await.status, token(&second).await.status], [401, 200]);

    let accounts = format!("{}/cobs/5.0/my/accounts", bank.urls().base);
    assert_eq!(client.get(&accounts, &access).await.status, 200, "the grant lives on");
    let mut changed = fields.clone();
    changed["scopes"] = json!(["aisp", "pisp"]);
    assert_eq!(send("PUT", &one, &changed).await.status, 200);
    assert_eq!(client.get(&accounts, &access).await.status, 401, "other scopes end the grants");

    let other = QwacOptions { organization_identifier: "PSDCZ-CNB-00000001".into(), ..QwacOptions::default() };
    let other = Client::new(&sandbox, Some(&sandbox.pki().qwac(&other).expect("a QWAC")), b"http/1.1");
    assert_eq!(other.get(&one, "").await.status, 404, "another company sees nothing of it");
    assert_eq!(send("DELETE", &one, &json!({})).await.status, 204);
    assert_eq!(send("GET", &one, &json!({})).await.status, 404);
}

#[tokio::test]
async fn a_wrong_application_and_an_unlicensed_company_are_refused() {
    let sandbox = sandbox().await;
    let url = &sandbox.cnb().urls().registration;
    let client = Client::licensed(&sandbox);
    let fields = json!({ "application_type": "web", "client_name": "App", "redirect_uris": ["http://127.0.0.1:1/"] });
    let wrong = [
        ("application_type", json!("desktop")),
        ("client_name", json!(null)),
        ("redirect_uris", json!([])),
        ("scopes", json!(["all"])),
    ];
    for (field, value) in wrong {
        let mut fields = fields.clone();
        fields[field] = value;
        let answer = client.post_json(url, "", &fields).await;
        assert_eq!((answer.status, &*answer.text_at("/errors/0/error")), (400, "PARAMETER_INVALID"), "{field}");
    }
    let none = sandbox.pki().qwac(&QwacOptions::with_roles(&[])).expect("a QWAC");
    let none = Client::new(&sandbox, Some(&none), b"http/1.1");
    assert_eq!(none.post_json(url, "", &fields).await.status, 403);
}

#[tokio::test]
async fn roles_pages_and_periods_are_checked() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.cnb(), Client::licensed(&sandbox));
    let (access, _) = cnb_tokens(&sandbox, &client, "aisp").await;
    let base = format!("{}/cobs/5.0/my/accounts", bank.urls().base);
    let payments_only = sandbox.pki().qwac(&QwacOptions::with_roles(&[Role::Payments])).expect("a QWAC");
    let other = Client::new(&sandbox, Some(&payments_only), b"http/1.1");
    assert_eq!(other.get(&base, &access).await.text_at("/errors/0/error"), "FORBIDDEN");

    let one = format!("{base}/A1F0C2D4E6");
    assert_eq!(client.get(&format!("{one}/balance"), &access).await.json()["balances"][0]["amount"]["currency"], "CZK");
    assert_eq!(client.get(&format!("{base}/NOBODY/balance"), &access).await.text_at("/errors/0/error"), "ID_NOT_FOUND");
    let page = client.get(&format!("{one}/transactions?page=1&size=20"), &access).await.json();
    assert_eq!((&page["pageCount"], &page["nextPage"]), (&json!(3), &json!(2)));
    assert_eq!(page["transactions"].as_array().map(Vec::len), Some(20));
    for (query, error) in [
        ("?page=9", "PAGE_NOT_FOUND"),
        ("?size=0", "PARAMETER_INVALID"),
        ("?fromDate=soon", "DT01"),
        ("?fromDate=2026-02-02&toDate=2026-02-01", "DT01"),
    ] {
        let answer = client.get(&format!("{one}/transactions{query}"), &access).await;
        assert_eq!(answer.text_at("/errors/0/error"), error, "{query}");
    }
}

#[tokio::test]
async fn a_payment_is_checked_taken_followed_and_taken_back() {
    let sandbox = sandbox().await;
    let (bank, client) = (sandbox.cnb(), Client::licensed(&sandbox));
    let (aisp, _) = cnb_tokens(&sandbox, &client, "aisp").await;
    let (pisp, _) = cnb_tokens(&sandbox, &client, "pisp").await;
    let order = order(&client, bank, &aisp).await;
    let url = format!("{}/cobs/5.0/my/payments", bank.urls().base);
    let taken = client.post_json(&url, &pisp, &order).await;
    let one = format!("{url}/{}", taken.text_at("/paymentIdentification/transactionIdentification"));
    assert_eq!(client.get(&format!("{one}/status"), &pisp).await.text_at("/instructionStatus"), "ACTC");
    let bearer = format!("Authorization: Bearer {pisp}");
    assert_eq!(client.send("DELETE", &one, &[&bearer], "").await.expect("an answer").status, 204);
    assert_eq!(client.get(&one, &pisp).await.text_at("/instructionStatus"), "CANC");

    for (pointer, value, error) in [
        ("/amount/instructedAmount/value", json!(0), "AM12"),
        ("/amount/instructedAmount/currency", json!("C"), "AM11"),
        ("/debtorAccount/identification/iban", json!("CZ6508000000192000145399"), "AC02"),
        ("/creditorAccount/identification/iban", json!("CZ6508000000192000145398"), "AC03"),
    ] {
        let mut order = order.clone();
        *order.pointer_mut(pointer).expect("a field") = value;
        assert_eq!(client.post_json(&url, &pisp, &order).await.text_at("/errors/0/error"), error);
    }
    let check = |amount: u64| {
        json!({ "exchangeIdentification": 7, "debtorAccount": order["debtorAccount"],
        "transactionDetails": { "currency": "CZK", "totalAmount": amount } })
    };
    let url = format!("{url}/balanceCheck");
    assert_eq!(client.post_json(&url, &pisp, &check(1)).await.text_at("/response"), "APPR");
    assert_eq!(client.post_json(&url, &pisp, &check(99_999_999)).await.text_at("/response"), "DECL");
}

#[tokio::test]
async fn the_sandbox_takes_prepared_tokens_and_certificates_by_name() {
    let sandbox = sandbox().await;
    let client = Client::browser(&sandbox);
    let accounts = format!("{}/cobs/5.0/my/accounts", sandbox.cnb_sandbox().urls().base);
    for (token, certificate, status) in [
        ("token-aisp", None, 200),
        ("token-pisp", None, 403),
        ("token-no-scope", None, 403),
        ("token-other", None, 401),
        ("token-aisp", Some("certificate-aisp"), 200),
        ("token-aisp", Some("certificate-all"), 200),
        ("token-aisp", Some("certificate-pisp"), 403),
        ("token-aisp", Some("certificate-no-psd"), 403),
        ("token-aisp", Some("certificate-x"), 401),
    ] {
        let mut lines = vec![format!("Authorization: Bearer {token}")];
        lines.extend(certificate.map(|name| format!("X-Client-Certificate: {name}")));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = client.send("GET", &accounts, &lines, "").await.expect("an answer");
        assert_eq!(answer.status, status, "{token} {certificate:?}");
    }
}
