//! What a login and a renewal would meet at the bank: its word about the client, the scopes and the redirect URI.

use std::sync::Arc;

use crate::app::{App, Office};
use crate::config::{AuthorizationCode, Bank, GrantType, HttpsUrl, StoreUrl, Tls};
use crate::message::{Body, Request};
use crate::oauth::{Edge, GrantError, GrantState, Trial};
use crate::upstream::{Client, Endpoint, TlsClient};
use crate::words::{GrantName, with_causes};

use super::super::{Failed, office};
use super::findings::{Findings, settings};

/// The store, if there is one: a command of another user must not be the one that makes it.
pub(super) async fn open(app: &App) -> Result<Option<Office>, Failed> {
    match &app.config().store.url {
        StoreUrl::Sqlite(path) if !path.exists() => Ok(None),
        _ => Ok(Some(office::open(app).await?)),
    }
}

/// Tries the client of a bank, and looks at the grants that there are.
pub(super) async fn look(bank: &Arc<Bank>, tls: &Arc<TlsClient>, office: Option<&Office>, findings: &mut Findings) {
    let store = office.map(|office| Arc::clone(office.store()));
    let edge = Arc::new(Edge::new(Arc::clone(tls), settings(bank)));
    let trial = Trial::new(Arc::clone(bank), edge, tls.identity().cloned(), store);
    match &bank.grant_type {
        GrantType::AuthorizationCode(code) => {
            match trial.client(code).await {
                Ok(word) => findings.row("client", &format!("known (an invented code was refused: {word})")),
                Err(error) => findings.fail(&format!("no token: {}", with_causes(&error)), error.remedy()),
            }
            for grant in bank.required_grants() {
                page(bank, code, &trial, &grant, findings).await;
            }
        }
        GrantType::ClientCredentials(given) => {
            for grant in bank.required_grants() {
                match trial.token(&given.token, &grant).await {
                    Ok(()) => findings.row("token", &format!("given for {grant}")),
                    Err(error) => {
                        findings.fail(&format!("no token for {grant}: {}", with_causes(&error)), error.remedy());
                    }
                }
            }
        }
        GrantType::Fixed(_) => return,
    }
    if let Some(office) = office {
        grants(bank, office, findings).await;
    }
}

/// Opens the login's page as a browser does, without a certificate.
async fn page(bank: &Bank, code: &AuthorizationCode, trial: &Trial, grant: &GrantName, findings: &mut Findings) {
    let url = match trial.authorization_url(code, grant).await {
        Ok(url) => url,
        Err(error) => return findings.fail(&format!("no login can begin: {}", with_causes(&error)), error.remedy()),
    };
    let seen = match open_page(bank, &url).await {
        Ok(seen) => seen,
        Err(reason) => {
            let remedy = "open it in the browser of the person who logs in: `bankside login` prints the address";
            return findings.mind(&format!("the login's page was not seen from here: {reason}"), remedy);
        }
    };
    match (seen.status, error_of(&seen.location, &code.redirect_uri)) {
        (_, Some(error)) => {
            let remedy = match error.as_str() {
                "invalid_scope" => "compare scopes with those that the app is registered for",
                "unauthorized_client" => "check client_id: this client may not use logins",
                _ => "the bank's documentation says what the code means",
            };
            findings.fail(&format!("the login's page refuses {grant}: {error}"), remedy);
        }
        (400 | 401 | 422, None) => findings.fail(
            &format!("the login's page refuses {grant}: it answers {}", seen.status),
            "check that redirect_uri and client_id are the registered ones, to the letter",
        ),
        (status, None) if status >= 400 => {
            findings.mind(&format!("the login's page answers {status}"), "look at it with a browser");
        }
        (status, None) => findings.row("login", &format!("the page for {grant} answers {status}")),
    }
}

/// What a page answers.
struct Page {
    status: u16,
    location: String,
}

async fn open_page(bank: &Bank, url: &str) -> Result<Page, String> {
    let url: HttpsUrl = url.parse().map_err(|_| "its address is not one of https".to_owned())?;
    let endpoint = Endpoint { host: url.host.clone(), port: url.port };
    // A browser has roots of its own, and no certificate to show.
    let tls = Tls { client_certificate: false, system_roots: true, server_name: None, ..bank.tls.clone() };
    let tls = TlsClient::new(&tls, None, &mut Vec::new()).map_err(|_| "its TLS cannot be set up".to_owned())?;
    let mut request = Request::new(http::Method::GET, url.path_and_query.clone(), Body::absent());
    request.fields.push("Host", url.authority());
    request.fields.push("Accept", "text/html");
    request.fields.push("User-Agent", concat!("bankside/", env!("CARGO_PKG_VERSION")));
    let client = Client::new(endpoint, Arc::new(tls), settings(bank));
    let answer = client.send(request, bank.timeouts.response).await.map_err(|error| with_causes(&error))?;
    let location = answer.fields.get("location").map(|value| String::from_utf8_lossy(value).into_owned());
    Ok(Page { status: answer.status.as_u16(), location: location.unwrap_or_default() })
}

/// The error code that the page sends the browser back with (RFC 6749, section 4.1.2.1).
fn error_of(location: &str, redirect_uri: &str) -> Option<String> {
    let query = location.strip_prefix(redirect_uri)?.strip_prefix(['?', '&'])?;
    let (_, code) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "error")?;
    let plain = code.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).take(64).collect();
    Some(plain)
}

/// How the grants stand that requests use which name none.
async fn grants(bank: &Bank, office: &Office, findings: &mut Findings) {
    let Ok(desk) = office.bank(bank.name.as_str()) else { return };
    for grant in bank.required_grants() {
        let login = format!("run `bankside login {} {grant}`", bank.name);
        match desk.tokens.show(&grant).await {
            Ok(report) if report.state == GrantState::NeedsAuthorization => {
                findings
                    .fail(&format!("grant {grant}: the consent is over, a person has to authorize the access"), &login);
            }
            Ok(report) => {
                let until = report.consent_until.map(|until| format!(", its consent until {until}"));
                findings.row("grant", &format!("{grant} is {}{}", report.state, until.unwrap_or_default()));
            }
            Err(GrantError::Missing) => findings.mind(&format!("grant {grant}: nobody has logged in yet"), &login),
            Err(error) => findings.fail(&format!("grant {grant}: {}", with_causes(&error)), "see [store]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_taken_from_the_way_back_only() {
        let uri = "https://app.example/callback";
        let of = |location: &str| error_of(location, uri);
        assert_eq!(of("https://app.example/callback?error=invalid_scope&state=x").as_deref(), Some("invalid_scope"));
        assert_eq!(of("https://app.example/callback?state=x&error=a%1b%5b0mb").as_deref(), Some("a0mb"));
        for other in ["", "https://bank.example/login?error=none", "https://app.example/callback?code=x", uri] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
