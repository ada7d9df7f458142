//! Who may ask: no web page of another origin, whatever it sends, and nobody who does not mean to change something.

use std::io;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tokio::net::{UnixListener, UnixStream, unix};

use crate::config::Listen;
use crate::inbound::access::Host;
use crate::inbound::spread::is_own_user;
use crate::words::Kind;

use super::problem::Problem;
use super::server::{AdminState, CALLBACK, PAGE};

/// Every answer has these. The page is made of its own resources only, and nobody may frame it.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// A service manager's socket. Where that lets every user connect, others than the sidecar's and root are hung up on: there
/// is no rule that tells them apart.
pub(super) struct Guarded {
    pub(super) listener: UnixListener,
    pub(super) to_all: bool,
}

impl Listener for Guarded {
    type Io = UnixStream;
    type Addr = unix::SocketAddr;

    async fn accept(&mut self) -> (UnixStream, unix::SocketAddr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if !self.to_all || is_own_user(stream.peer_cred().ok().map(|peer| peer.uid())) {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<unix::SocketAddr> {
        self.listener.local_addr()
    }
}

/// Lets through what no web page of another origin can send.
pub(super) async fn guard(State(state): State<Arc<AdminState>>, request: Request, next: Next) -> Response {
    let mut answer = match check(&request, &state.listen) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    for (name, value) in HEADERS {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

fn check(request: &Request, listen: &Listen) -> Result<(), Problem> {
    let headers = request.headers();
    let host = own_host(request, listen)?;
    // The browser comes from the bank here: `state` is what guards it.
    if request.uri().path() == CALLBACK {
        return Ok(());
    }
    let origin = one(headers, &header::ORIGIN).map(|only| only.is_ok_and(|origin| is_same_origin(origin, &host)));
    if origin == Some(false) || (is_cross_site(headers) && !is_visit(request)) {
        return Err(refused("a web page of another origin must not ask"));
    }
    let is_meant = headers.get("bankside-admin").is_some_and(|value| value == "1") || origin == Some(true);
    if is_change(request.method()) && !is_meant {
        return Err(refused("a change needs the header `Bankside-Admin: 1`, or comes from this sidecar's own page"));
    }
    Ok(())
}

/// The one host that the request is for, which is this sidecar. Who looks at the first of two may let in what means another
/// one (RFC 9112, section 3.2).
fn own_host<'r>(request: &'r Request, listen: &Listen) -> Result<Host<'r>, Problem> {
    let named = one(request.headers(), &header::HOST);
    let named = named.transpose().map_err(|Several| bad_request("there are several Host fields"))?;
    let target = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let is_ours = |name| Host::parse(name).filter(|host| is_own(host, listen));
    if target.is_some_and(|target| is_ours(target).is_none()) {
        return Err(bad_request("the absolute target is for another authority"));
    }
    named.map(HeaderValue::as_bytes).or(target).and_then(is_ours).ok_or_else(wrong_host)
}

/// There are several where one may be.
struct Several;

/// The only field line of this name.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Result<&'h HeaderValue, Several>> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    Some(if lines.next().is_some() { Err(Several) } else { Ok(first) })
}

fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// A person who follows a link of another site to the page. It shows no secret, and cannot be framed.
fn is_visit(request: &Request) -> bool {
    let says = |name, value| request.headers().get(name).is_some_and(|found| found == value);
    request.uri().path() == PAGE && says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document")
}

/// Over a unix socket no web page comes. An address that is listened on as a wildcard has many names, but a web page
/// can rebind only a name, never an address.
fn is_own(host: &Host<'_>, listen: &Listen) -> bool {
    match listen {
        Listen::Unix(_) => true,
        Listen::Tcp(address) => {
            let is_wildcard = address.ip().is_unspecified();
            host.is_loopback() || host.is_address(address.ip()) || (is_wildcard && host.is_any_address())
        }
    }
}

/// Whether a page of this very address asks (RFC 6454, section 7).
fn is_same_origin(origin: &HeaderValue, host: &Host<'_>) -> bool {
    let origin = origin.as_bytes();
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    authority.and_then(Host::parse).is_some_and(|origin| origin == *host)
}

/// What a browser says of a request that a page of another site makes (Fetch Metadata).
fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get_all("sec-fetch-site").iter().any(|site| site != "none" && site != "same-origin")
}

fn bad_request(detail: &'static str) -> Problem {
    Problem::new(Kind::BadRequest, detail, "Name one host: localhost, or the address that is listened on")
}

fn wrong_host() -> Problem {
    Problem::new(Kind::WrongHost, "the Host is not this sidecar's", "Use localhost, or the address that is listened on")
}

fn refused(detail: &'static str) -> Problem {
    Problem::new(
        Kind::CallerRefused,
        detail,
        "Ask from the sidecar's own page, or from a program with `Bankside-Admin: 1`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
        let request = Request::builder().method(method).uri(path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(axum::body::Body::empty()).expect("a request");
        let listen = Listen::Tcp("127.0.0.1:9090".parse().expect("an address"));
        check(&request, &listen).map_or_else(|problem| problem.status().as_u16(), |()| 200)
    }

    const HOST: (&str, &str) = ("host", "localhost:9090");

    #[test]
    fn reading_needs_the_right_host_and_nothing_else() {
        assert_eq!(judged("GET", "/api/banks", &[HOST]), 200);
        assert_eq!(judged("GET", "/api/banks", &[("host", "127.0.0.1:9090"), ("bankside-admin", "1")]), 200);
        for host in ["evil.example:9090", "", "10.0.0.1:9090", "a b"] {
            assert_eq!(judged("GET", "/", &[("host", host)]), 421, "{host}");
        }
        assert_eq!(judged("GET", "/callback", &[("host", "evil.example")]), 421);
    }

    #[test]
    fn a_request_for_two_hosts_or_for_another_one_is_malformed() {
        let (own, other) = (("host", "127.0.0.1:9090"), ("host", "evil.example"));
        for hosts in [[HOST, other], [other, HOST], [HOST, own], [HOST, HOST]] {
            assert_eq!(judged("GET", "/api/banks", &hosts), 400, "{hosts:?}");
            assert_eq!(judged("GET", "/callback?state=x", &hosts), 400, "{hosts:?}");
        }
        for target in ["http://evil.example:9090/", "http://evil.example/callback", "http://x@localhost:9090/"] {
            assert_eq!(judged("GET", target, &[HOST]), 400, "{target}");
            assert_eq!(judged("GET", target, &[]), 400, "{target}");
        }
        assert_eq!(judged("GET", "http://localhost:9090/api/banks", &[HOST]), 200);
        assert_eq!(judged("GET", "http://localhost:9090/api/banks", &[other]), 421);
    }

    #[test]
    fn two_origins_are_foreign() {
        let (own, other) = (("origin", "http://localhost:9090"), ("origin", "http://evil.example"));
        for origins in [[own, other], [other, own], [own, own]] {
            assert_eq!(judged("POST", "/api/x", &[&[HOST][..], &origins].concat()), 403, "{origins:?}");
            assert_eq!(judged("GET", "/api/banks", &[&[HOST][..], &origins].concat()), 403, "{origins:?}");
        }
        let sites = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")];
        assert_eq!(judged("GET", "/api/banks", &[&[HOST][..], &sites].concat()), 403);
    }

    #[test]
    fn a_change_must_be_meant() {
        for method in ["POST", "DELETE", "PUT", "OPTIONS"] {
            assert_eq!(judged(method, "/api/x", &[HOST]), 403, "{method}");
            assert_eq!(judged(method, "/api/x", &[HOST, ("bankside-admin", "0")]), 403, "{method}");
            assert_eq!(judged(method, "/api/x", &[HOST, ("bankside-admin", "1")]), 200, "{method}");
            assert_eq!(judged(method, "/api/x", &[HOST, ("origin", "http://localhost:9090")]), 200, "{method}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused_even_with_the_header() {
        let meant = ("bankside-admin", "1");
        for origin in
            ["http://evil.example", "null", "http://localhost:3000", "http://127.0.0.1:9090", "localhost:9090"]
        {
            assert_eq!(judged("POST", "/api/x", &[HOST, meant, ("origin", origin)]), 403, "{origin}");
            assert_eq!(judged("GET", "/api/banks", &[HOST, ("origin", origin)]), 403, "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            assert_eq!(judged("POST", "/api/x", &[HOST, meant, ("sec-fetch-site", site)]), 403);
            assert_eq!(judged("GET", "/", &[HOST, ("sec-fetch-site", site)]), 403);
            assert_eq!(judged("GET", "/callback?state=x", &[HOST, ("sec-fetch-site", site)]), 200);
        }
    }

    #[test]
    fn a_link_of_another_site_leads_to_the_page_and_to_nothing_else() {
        let followed =
            [HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert_eq!(judged("GET", "/", &followed), 200);
        assert_eq!(judged("GET", "/api/banks", &followed), 403);
        assert_eq!(judged("POST", "/", &followed), 403);
        let framed =
            [HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        assert_eq!(judged("GET", "/", &framed), 403);
    }
}
