//! Requests to the bank's endpoints: forms (RFC 6749, appendix B) with the client's authentication.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use zeroize::Zeroizing;

use crate::config::{HeaderTemplate, HttpsUrl, TokenEndpoint};
use crate::message::{Body, Fields, Request};
use crate::upstream::Identity;
use crate::words::{Clock, Random, Secret};

use super::CallError;
use super::client::Client;

/// What a token is asked for with.
pub(super) enum Exchange<'a> {
    /// RFC 6749, section 4.1.3.
    Code {
        code: &'a Secret,
        redirect_uri: &'a str,
        /// RFC 7636, section 4.5.
        verifier: Option<&'a Secret>,
    },
    /// RFC 6749, section 6.
    Refresh(&'a Secret),
    /// RFC 6749, section 4.4.2.
    ClientCredentials(&'a [String]),
}

/// What a request is made with, beside what it says.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) clock: &'a Clock,
    pub(super) random: &'a Random,
    /// Whose key signs.
    pub(super) identity: Option<&'a Identity>,
    /// How long a signature may take.
    pub(super) patience: Duration,
}

/// The request to the token endpoint. What the configuration adds wins over what is sent anyway. It is good for one
/// call: a client assertion may be used once.
pub(super) async fn token_request(
    endpoint: &TokenEndpoint,
    client: &Client,
    exchange: &Exchange<'_>,
    means: &Means<'_>,
) -> Result<Request, CallError> {
    let (mut form, mut fields) = (Form::default(), Fields::new());
    match exchange {
        Exchange::Code { code, redirect_uri, verifier } => {
            form.set("grant_type", "authorization_code");
            form.set_secret("code", code);
            form.set("redirect_uri", redirect_uri);
            if let Some(verifier) = verifier {
                form.set_secret("code_verifier", verifier);
            }
        }
        Exchange::Refresh(token) => {
            form.set("grant_type", "refresh_token");
            form.set_secret("refresh_token", token);
        }
        Exchange::ClientCredentials(scopes) => {
            form.set("grant_type", "client_credentials");
            if !scopes.is_empty() {
                form.set("scope", &scopes.join(" "));
            }
        }
    }
    client.authenticate(&endpoint.client_auth, means, &mut form, &mut fields).await?;
    endpoint.token_params.iter().for_each(|(name, value)| form.set(name, value));
    if matches!(exchange, Exchange::Refresh(_)) {
        endpoint.refresh_params.iter().for_each(|(name, value)| form.set(name, value));
    }
    add_headers(&mut fields, &endpoint.token_headers, means.random);
    Ok(post(&endpoint.url, &form, &fields))
}

/// A POST of a form. `fields` are those beyond what every such request has.
pub(super) fn post(url: &HttpsUrl, form: &Form, fields: &Fields) -> Request {
    let body = Bytes::from(form.encode());
    let mut request = bare(Method::POST, url);
    request.fields.push("Content-Type", "application/x-www-form-urlencoded");
    request.fields.push("Content-Length", body.len().to_string());
    for (name, value) in fields.iter() {
        request.fields.set(&String::from_utf8_lossy(name), value);
    }
    request.body = Body::full(body);
    request
}

/// A request without content.
pub(super) fn bare(method: Method, url: &HttpsUrl) -> Request {
    let mut request = Request::new(method, Bytes::from(url.path_and_query.clone()), Body::absent());
    request.fields.push("Host", url.authority());
    request.fields.push("User-Agent", concat!("bankside/", env!("CARGO_PKG_VERSION")));
    request.fields.push("Accept", "application/json");
    // Without it a server may choose any coding (RFC 9110, section 12.5.3), and a token in it would be lost.
    request.fields.push("Accept-Encoding", "identity");
    request
}

/// Adds configured field lines, with each `{uuid}` filled in.
pub(super) fn add_headers(fields: &mut Fields, templates: &[(String, HeaderTemplate)], random: &Random) {
    for (name, template) in templates {
        fields.push(name, template.filled(random));
    }
}

/// A form's fields, each name once.
#[derive(Default)]
pub(super) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Gives the field this value, in its place if it is there.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let value = Zeroizing::new(value.to_owned());
        match self.0.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => *own = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// As [`set`](Self::set). What is no text could not have come by JSON or a form.
    pub(super) fn set_secret(&mut self, name: &str, value: &Secret) {
        self.set(name, value.expose_str().unwrap_or_default());
    }

    /// `application/x-www-form-urlencoded`; spaces become `+`.
    pub(super) fn encode(&self) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        self.0.iter().for_each(|(name, value)| {
            text.append_pair(name, value);
        });
        text.finish()
    }
}

/// Names only.
impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BasicEncoding, ClientAuth};
    use crate::oauth::tests::support::{START, content, endpoint};

    fn client() -> Client {
        Client { id: "xxx1234".into(), secret: Some("s&cret".into()) }
    }

    async fn request(endpoint: &TokenEndpoint, exchange: &Exchange<'_>) -> Request {
        let (clock, _) = Clock::manual(START);
        let means = Means { clock: &clock, random: &Random::seeded(1), identity: None, patience: Duration::ZERO };
        token_request(endpoint, &client(), exchange, &means).await.expect("nothing is signed")
    }

    async fn refresh(endpoint: &TokenEndpoint) -> Request {
        request(endpoint, &Exchange::Refresh(&"old".into())).await
    }

    #[tokio::test]
    async fn a_code_is_exchanged_by_form_with_the_redirect_uri_as_it_was_sent() {
        let code = Exchange::Code {
            code: &"code/1234".into(),
            redirect_uri: "https://redirect.website/callback",
            verifier: Some(&"v".into()),
        };
        let request = request(&endpoint(), &code).await;
        assert_eq!(request.method, Method::POST);
        assert_eq!(&request.target[..], b"/token");
        assert_eq!(request.fields.get("host"), Some(&b"bank.example"[..]));
        let content = content(request);
        assert_eq!(
            content,
            "grant_type=authorization_code&code=code%2F1234&redirect_uri=https%3A%2F%2Fredirect.website%2Fcallback\
             &code_verifier=v&client_id=xxx1234&client_secret=s%26cret"
        );
    }

    #[tokio::test]
    async fn a_refresh_has_no_redirect_uri_unless_the_configuration_adds_it() {
        let mut endpoint = endpoint();
        assert!(!content(refresh(&endpoint).await).contains("redirect_uri"));
        endpoint.refresh_params.insert("redirect_uri".into(), "https://r".into());
        assert!(content(refresh(&endpoint).await).contains("&redirect_uri=https%3A%2F%2Fr"));
    }

    #[tokio::test]
    async fn clients_authenticate_in_the_form_by_basic_or_by_their_certificate() {
        let mut endpoint = endpoint();
        endpoint.client_auth = ClientAuth::ClientSecretBasic(BasicEncoding::Raw);
        let request = refresh(&endpoint).await;
        assert_eq!(request.fields.get("authorization"), Some(&b"Basic eHh4MTIzNDpzJmNyZXQ="[..]));
        assert_eq!(content(request), "grant_type=refresh_token&refresh_token=old");
        for by_certificate_or_nothing in [ClientAuth::TlsClientAuth, ClientAuth::None] {
            endpoint.client_auth = by_certificate_or_nothing;
            let request = refresh(&endpoint).await;
            assert!(!request.fields.contains("authorization"));
            assert_eq!(content(request), "grant_type=refresh_token&refresh_token=old&client_id=xxx1234");
        }
    }

    #[tokio::test]
    async fn client_credentials_ask_for_scopes_verbatim_and_for_none_where_there_are_none() {
        let ask = async |scopes: &[String]| content(request(&endpoint(), &Exchange::ClientCredentials(scopes)).await);
        assert!(ask(&["AIS: 7".into(), "pis".into()]).await.contains("&scope=AIS%3A+7+pis&"));
        assert!(!ask(&[]).await.contains("scope"));
    }

    #[tokio::test]
    async fn configured_params_and_headers_win_and_uuids_are_filled_in() {
        let mut endpoint = endpoint();
        endpoint.token_params.insert("client_id".into(), "theirs".into());
        endpoint.token_headers.push(("Accept".into(), HeaderTemplate("*/*".into())));
        endpoint.token_headers.push(("X-Request-ID".into(), HeaderTemplate("r-{uuid}".into())));
        let request = refresh(&endpoint).await;
        assert_eq!(request.fields.get_all("accept").collect::<Vec<_>>(), [b"*/*"]);
        assert_eq!(request.fields.get("x-request-id").unwrap().len(), 2 + 36);
        let length = request.fields.get("content-length").unwrap().to_vec();
        let content = content(request);
        assert_eq!(length, content.len().to_string().as_bytes());
        assert_eq!(content.matches("client_id=theirs").count(), 1);
        assert!(!content.contains("xxx1234"));
    }
}
