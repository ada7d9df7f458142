//! Where a browser ends that comes back from the bank: guarded by the login's `state` alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;
use tokio::sync::{RwLock, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::Listen;
use crate::oauth::LoginError;
use crate::store::BoxFuture;
use crate::words::GrantName;

use super::html::Html;
use super::server::CALLBACK;

/// How long the last page may take, and connections on which nothing more comes.
const LAST_PAGE: Duration = Duration::from_secs(1);

/// Listens for one login's callback where the redirect URI is `http` on a loopback address (RFC 8252, section 7.3).
pub struct LoopbackCallback {
    listeners: Vec<TcpListener>,
    path: String,
}

/// What ends a login with the query of its callback.
pub type Finish = Box<dyn Fn(String) -> BoxFuture<'static, Result<GrantName, LoginError>> + Send + Sync>;

/// What each callback is finished with.
struct Desk {
    path: String,
    finish: Finish,
    finished: mpsc::Sender<Result<GrantName, LoginError>>,
    /// Shared by those that are being finished.
    under_way: Arc<RwLock<()>>,
}

impl LoopbackCallback {
    /// Listens where this redirect URI leads; `None` if that is not here.
    pub async fn bind(redirect_uri: &str) -> io::Result<Option<Self>> {
        let Some((address, path)) = loopback(redirect_uri) else {
            return Ok(None);
        };
        let mut listeners = vec![TcpListener::bind(address).await?];
        if address.is_ipv4() && is_named(redirect_uri) {
            // The browser may look there first, and whoever listens there would be sent the code.
            match TcpListener::bind((Ipv6Addr::LOCALHOST, address.port())).await {
                Ok(listener) => listeners.push(listener),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                // This machine has no such address.
                Err(_) => {}
            }
        }
        Ok(Some(Self { listeners, path }))
    }

    /// Serves until a callback ends the login, well (the grant's name) or not, or until it was ended elsewhere (`None`). A
    /// callback that uses up nothing, since it is not of this login, is told so in its browser, and the right one is waited
    /// for.
    pub async fn serve(
        self,
        finish: Finish,
        ended_elsewhere: impl Future<Output = ()>,
    ) -> Option<Result<GrantName, LoginError>> {
        let (finished, mut outcome) = mpsc::channel(1);
        let (stop, under_way) = (CancellationToken::new(), Arc::new(RwLock::new(())));
        let desk = Arc::new(Desk { path: self.path, finish, finished, under_way: Arc::clone(&under_way) });
        // Not a route: what stands in the path may mean something in a route.
        let routes = Router::new().fallback(callback).with_state(desk);
        let mut servers = JoinSet::new();
        for listener in self.listeners {
            let server = axum::serve(listener, routes.clone()).with_graceful_shutdown(stop.clone().cancelled_owned());
            servers.spawn(server.into_future());
        }
        let gone = async {
            ended_elsewhere.await;
            // It may be a callback here that has taken it: the outcome of that comes first.
            drop(under_way.write().await);
        };
        let ended = tokio::select! {
            biased;
            Some(outcome) = outcome.recv() => Some(outcome),
            () = gone => None,
            _ = servers.join_next() => return Some(Err(LoginError::NotACallback("the callback's listener ended"))),
        };
        stop.cancel();
        // The browser gets its page before the listener goes. Another connection may be one that never says anything.
        let _ = timeout(LAST_PAGE, servers.join_all()).await;
        ended
    }
}

async fn callback(State(desk): State<Arc<Desk>>, method: Method, uri: Uri) -> Response {
    // A browser may encode what the redirect URI does not.
    if method != Method::GET || !percent_decode_str(uri.path()).eq(percent_decode_str(&desk.path)) {
        return StatusCode::NOT_FOUND.into_response();
    }
    // On a task of its own: a browser that goes away meanwhile does not end it.
    let query = uri.query().unwrap_or_default().to_owned();
    let ended = tokio::spawn(async move { end(&desk, query).await }).await;
    ended.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn end(desk: &Desk, query: String) -> Response {
    let _under_way = desk.under_way.read().await;
    let outcome = (desk.finish)(query).await;
    let page = match &outcome {
        Ok(_) => page(StatusCode::OK, "Access is authorized", "You can close this window."),
        Err(error) => page(StatusCode::BAD_REQUEST, "Access is not authorized", &error.to_string()),
    };
    if !outcome.as_ref().is_err_and(LoginError::leaves_attempt) {
        // Nobody waits any more only if another callback was first.
        let _ = desk.finished.try_send(outcome);
    }
    page
}

/// A page for the person in the browser of a login's own listener. Nothing of the request is in it.
fn page(status: StatusCode, title: &str, text: &str) -> Response {
    const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
        <meta name=\"viewport\" content=\"width=device-width\"><style>body{font:1.1rem/1.5 system-ui,sans-serif;\
        max-width:32rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark}</style>";
    let mut html = Html::new();
    html.put(HEAD, &[]).put("<title>{}</title><main><h1>{}</h1><p>{}</p></main></html>", &[&title, &title, &text]);
    let headers = [
        ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
    ];
    (status, headers, axum::response::Html(html.into_string())).into_response()
}

/// Whether a redirect URI leads to the callback of an operator's listener at this address.
pub fn leads_to(redirect_uri: &str, listen: &Listen) -> bool {
    let (Some((address, path)), Listen::Tcp(own)) = (loopback(redirect_uri), listen) else { return false };
    let is_heard = own.ip().is_unspecified() || own.ip() == address.ip();
    is_heard && own.port() == address.port() && path == CALLBACK
}

/// Whether a redirect URI names this machine instead of its address.
fn is_named(redirect_uri: &str) -> bool {
    redirect_uri.parse().is_ok_and(|uri: Uri| uri.host() == Some("localhost"))
}

/// The address and path of a redirect URI that leads to this machine.
fn loopback(redirect_uri: &str) -> Option<(SocketAddr, String)> {
    let uri: Uri = redirect_uri.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let address = match host {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.parse::<IpAddr>().ok().filter(IpAddr::is_loopback)?,
    };
    (uri.scheme_str() == Some("http"))
        .then(|| (SocketAddr::new(address, uri.port_u16().unwrap_or(80)), uri.path().into()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn status(address: SocketAddr, request_line: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("{request_line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.get(9..12).unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_path_is_compared_as_it_stands_whatever_it_would_mean_in_a_route() {
        for (path, asked) in [("/:cb", "/:cb"), ("/*cb", "/*cb"), ("/{x}", "/%7Bx%7D"), ("/a//", "/a//"), ("", "/")] {
            let callback = LoopbackCallback::bind(&format!("http://127.0.0.1:0{path}")).await.unwrap().unwrap();
            let address = callback.listeners[0].local_addr().unwrap();
            let finish: Finish = Box::new(|query| {
                assert_eq!(query, "code=x");
                Box::pin(async { Ok("default".parse().unwrap()) })
            });
            let served = tokio::spawn(callback.serve(finish, std::future::pending()));
            for other in ["GET /other?code=x".to_owned(), format!("POST {asked}?code=x")] {
                assert_eq!(status(address, &other).await, "404", "{other}");
            }
            assert_eq!(status(address, &format!("GET {asked}?code=x")).await, "200");
            assert_eq!(served.await.unwrap().unwrap().unwrap().as_str(), "default");
        }
    }

    /// A browser takes the name for either address.
    #[tokio::test]
    async fn who_listens_by_name_listens_at_both_addresses_or_not_at_all() {
        let Ok(thief) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else { return };
        let port = thief.local_addr().unwrap().port();
        let taken = LoopbackCallback::bind(&format!("http://localhost:{port}/")).await;
        assert_eq!(taken.err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
        let count = async |host: &str| {
            // Somebody else on this machine may have the port of the other address.
            let bound = LoopbackCallback::bind(&format!("http://{host}:{port}/")).await.ok()?;
            bound.map(|callback| callback.listeners.len())
        };
        assert!(matches!(count("127.0.0.1").await, Some(1) | None));
        drop(thief);
        assert!(matches!(count("localhost").await, Some(2) | None));
    }

    #[test]
    fn only_plain_http_to_a_loopback_address_leads_here() {
        let at = |uri| loopback(uri).map(|(address, path)| format!("{address}{path}"));
        assert_eq!(at("http://127.0.0.1:8765/callback").as_deref(), Some("127.0.0.1:8765/callback"));
        assert_eq!(at("http://localhost:8765/").as_deref(), Some("127.0.0.1:8765/"));
        assert_eq!(at("http://[::1]:1/x").as_deref(), Some("[::1]:1/x"));
        for elsewhere in ["https://127.0.0.1/x", "http://redirect.website/x", "http://10.0.0.1/x", "app:callback", ""] {
            assert_eq!(at(elsewhere), None, "{elsewhere}");
        }
    }
}
