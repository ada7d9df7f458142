//! The page on which a customer consents, the same for both banks. A machine posts what the form would:
//! `decision=approve` or `decision=deny`, as a form, to the authorization URL itself.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Query};
use axum::response::{Html, IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use super::authority::{Authority, AuthorizeRequest, Refusal};

/// How a bank presents itself on the page.
#[derive(Clone, Copy)]
pub(super) struct Look {
    /// The bank's name.
    pub(super) bank: &'static str,
    /// The colour of its buttons.
    pub(super) colour: &'static str,
    /// What the customer chooses first, if anything: a label and the choices.
    pub(super) choice: Option<(&'static str, &'static [&'static str])>,
    /// What a scope means to a customer.
    pub(super) explain: fn(&str) -> &'static str,
}

/// The form's fields; the one-time code and the choice are decoration.
#[derive(Debug, Deserialize)]
pub(super) struct Decision {
    decision: String,
}

/// `GET` of the authorization endpoint: the page, or where the browser goes instead.
pub(super) fn show(
    authority: &Authority,
    look: &Look,
    query: Result<Query<AuthorizeRequest>, QueryRejection>,
) -> Response {
    let Ok(Query(request)) = query else { return refused(look, "The address is not understood.") };
    match authority.ask(&request) {
        Ok(asked) => page(look, StatusCode::OK, &form(look, &asked.client_name, &asked.scopes)),
        Err(Refusal::Page(reason)) => refused(look, reason),
        Err(Refusal::Redirect(location)) => found(&location),
    }
}

/// `POST` of the same address: what the customer decided.
pub(super) fn decide(
    authority: &Authority,
    look: &Look,
    query: Result<Query<AuthorizeRequest>, QueryRejection>,
    Form(decision): Form<Decision>,
) -> Response {
    let Ok(Query(request)) = query else { return refused(look, "The address is not understood.") };
    let approved = match decision.decision.as_str() {
        "approve" => true,
        "deny" => false,
        _ => return refused(look, "The decision is neither approve nor deny."),
    };
    match authority.decide(&request, approved) {
        Ok(location) | Err(Refusal::Redirect(location)) => found(&location),
        Err(Refusal::Page(reason)) => refused(look, reason),
    }
}

fn found(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => (StatusCode::FOUND, [(LOCATION, location)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn refused(look: &Look, reason: &str) -> Response {
    let content = format!("<h1>This does not work</h1>\n<p id=\"reason\">{}</p>\n", escaped(reason));
    page(look, StatusCode::BAD_REQUEST, &content)
}

fn form(look: &Look, client: &str, scopes: &[String]) -> String {
    let wishes: Vec<_> = scopes.iter().map(|scope| format!("<li>{}</li>", (look.explain)(scope))).collect();
    let wishes = wishes.join("\n");
    let choice = look.choice.map_or_else(String::new, |(label, choices)| {
        let options = choices.iter().map(|choice| format!("<option>{choice}</option>")).collect::<Vec<_>>().concat();
        format!("<label for=\"choice\">{label}</label>\n<select id=\"choice\" name=\"choice\">{options}</select>\n")
    });
    format!(
        "<h1><span id=\"client\">{}</span> asks for access</h1>\n<p>If you agree, it may:</p>\n<ul>\n{wishes}\n</ul>\n\
         <form method=\"post\">\n{choice}<label for=\"otp\">One-time code (anything will do)</label>\n\
         <input id=\"otp\" name=\"otp\" inputmode=\"numeric\" autocomplete=\"one-time-code\">\n\
         <div class=\"buttons\">\n<button id=\"approve\" name=\"decision\" value=\"approve\">Approve</button>\n\
         <button id=\"deny\" name=\"decision\" value=\"deny\" class=\"quiet\">Deny</button>\n</div>\n</form>\n",
        escaped(client)
    )
}

fn page(look: &Look, status: StatusCode, content: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{bank}: consent</title>\n\
         <style>:root {{ --bank: {colour} }}\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <p class=\"bank\">{bank} <small>simulated</small></p>\n{content}</main>\n</body>\n</html>\n",
        bank = look.bank,
        colour = look.colour,
    );
    let headers = [
        // No `form-action`: browsers apply it to the redirect that follows the form, which leads to the app.
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, Html(html)).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "\
* { box-sizing: border-box }
body { margin: 0; padding: 1rem 0; min-height: 100vh; display: grid; place-items: center; background: #eef1f5;
  font: 16px/1.5 system-ui, sans-serif; color: #1c2430 }
main { width: min(27rem, 92vw); padding: 1.75rem; background: #fff; border-radius: 14px;
  box-shadow: 0 8px 30px rgb(20 30 50 / 12%) }
h1 { font-size: 1.3rem; line-height: 1.3; margin: 0 0 .75rem }
.bank { margin: 0 0 1.25rem; font-weight: 700; color: var(--bank) }
small { font-weight: 400; color: #5c6675 }
ul { padding-left: 1.2rem }
label { display: block; margin: 1rem 0 .3rem; font-size: .9rem; color: #46505e }
input, select { width: 100%; padding: .6rem .7rem; font: inherit; color: inherit; background: transparent;
  border: 1px solid #9aa5b4; border-radius: 8px }
.buttons { display: flex; gap: .75rem; margin-top: 1.5rem }
button { flex: 1; padding: .7rem; font: inherit; font-weight: 600; border: 1px solid var(--bank); border-radius: 8px;
  background: var(--bank); color: #fff; cursor: pointer }
button.quiet { background: transparent; color: inherit; border-color: #9aa5b4 }
button:focus-visible, input:focus-visible, select:focus-visible { outline: 3px solid #7fb2ff; outline-offset: 2px }
@media (prefers-color-scheme: dark) {
  body { background: #12161c; color: #e6eaf0 }
  main { background: #1c222b }
  .bank { color: inherit }
  small, label { color: #a8b2c0 }
}
";

/// Both methods of the authorization endpoint, for a bank's routes.
pub(super) fn routes(authority: &Arc<Authority>, look: Look) -> axum::routing::MethodRouter {
    let (showing, deciding) = (Arc::clone(authority), Arc::clone(authority));
    axum::routing::get(async move |query: Result<Query<AuthorizeRequest>, QueryRejection>| show(&showing, &look, query))
        .post(async move |query: Result<Query<AuthorizeRequest>, QueryRejection>, decision: Form<Decision>| {
            decide(&deciding, &look, query, decision)
        })
}
