//! Apps that are busy: connections that stay open, on each of which one request follows the other.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use h2::Reason;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::wait::until;

/// The field that says in which phase of a test a request was sent.
pub const PHASE: &str = "x-phase";

/// Busy apps.
pub struct Load {
    count: u64,
    /// Of all apps, good or bad.
    answers: Arc<AtomicU64>,
    phase: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    apps: JoinSet<Told>,
}

/// What the apps have to tell.
#[derive(Debug, Default)]
pub struct Told {
    /// Requests that were answered with 200.
    pub good: u64,
    /// All others.
    pub failures: Vec<String>,
    /// Apps that gave up because nobody listened.
    pub refused: u64,
}

impl Load {
    /// Starts so many apps with a connection each.
    pub fn start(apps: usize, address: SocketAddr, path: &'static str) -> Self {
        Self::start_with(Version::HTTP_11, apps, address, path)
    }

    /// As [`start`](Self::start), in this version of HTTP.
    pub fn start_with(version: Version, apps: usize, address: SocketAddr, path: &'static str) -> Self {
        let (phase, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let answers = Arc::<AtomicU64>::default();
        let app = |_| be_busy(version, address, path, Arc::clone(&phase), Arc::clone(&answers), Arc::clone(&is_over));
        let count = apps as u64;
        let apps = (0..apps).map(app).collect();
        Self { count, answers, phase, is_over, apps }
    }

    /// Waits until as many requests were answered as if each app had sent a few more.
    pub async fn goes_on(&self) {
        let enough = self.answers.load(Ordering::SeqCst) + 10 * self.count;
        until("the apps go on", || self.answers.load(Ordering::SeqCst) >= enough).await;
    }

    /// Requests from here on are of another phase; which one.
    pub fn next_phase(&self) -> u64 {
        self.phase.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Ends the apps after the answers that are under way.
    pub async fn stop(self) -> Told {
        self.is_over.store(true, Ordering::SeqCst);
        self.ended().await
    }

    /// Waits until nobody listens any more.
    pub async fn ended(self) -> Told {
        let mut all = Told::default();
        for told in self.apps.join_all().await {
            all.good += told.good;
            all.failures.extend(told.failures);
            all.refused += told.refused;
        }
        all
    }
}

/// A connection.
enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// Sends until it is over, or nobody listens any more. A connection that was said to close is replaced.
async fn be_busy(
    version: Version,
    address: SocketAddr,
    path: &str,
    phase: Arc<AtomicU64>,
    answers: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
) -> Told {
    let mut told = Told::default();
    let mut connection = None;
    while !is_over.load(Ordering::SeqCst) {
        let kept = match connection.take() {
            None => Sender::connect(version, address).await,
            kept => kept,
        };
        let Some(mut sender) = kept else {
            told.refused = 1;
            break;
        };
        // A connection that has closed between two requests has failed none.
        if !sender.is_ready().await {
            continue;
        }
        match sender.ask(address, path, phase.load(Ordering::SeqCst)).await {
            Ok(200) => told.good += 1,
            Ok(status) => told.failures.push(status.to_string()),
            // It has closed before the library had sent anything: that is between two requests, too.
            Err(error) if error.is_canceled() || is_unprocessed(&error) => continue,
            Err(error) => told.failures.push(format!("{error:?}")),
        }
        answers.fetch_add(1, Ordering::SeqCst);
        connection = Some(sender);
    }
    told
}

/// Whether the request met a GOAWAY in good order: then it was not processed (RFC 9113, section 6.8).
fn is_unprocessed(error: &hyper::Error) -> bool {
    let of_http2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    of_http2.is_some_and(|error| error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR))
}

impl Sender {
    async fn connect(version: Version, address: SocketAddr) -> Option<Self> {
        let stream = TokioIo::new(TcpStream::connect(address).await.ok()?);
        Some(if version == Version::HTTP_2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.ok()?;
            tokio::spawn(connection);
            Self::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await.ok()?;
            tokio::spawn(connection);
            Self::Http1(sender)
        })
    }

    async fn is_ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    async fn ask(&mut self, address: SocketAddr, path: &str, phase: u64) -> Result<u16, hyper::Error> {
        let request = Request::get(format!("http://{address}{path}")).header(PHASE, phase);
        let answer: Response<Incoming> = match self {
            Self::Http1(sender) => {
                let request = request.uri(path).header("host", address.to_string());
                sender.send_request(request.body(Empty::new()).expect("a request")).await?
            }
            Self::Http2(sender) => sender.send_request(request.body(Empty::new()).expect("a request")).await?,
        };
        let status = answer.status().as_u16();
        answer.into_body().collect().await?;
        Ok(status)
    }
}
