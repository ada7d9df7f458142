//! Apps that are busy: connections that stay open, on each of which one request follows the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The field that says in which phase of a test a request was sent.
pub const PHASE: &str = "x-phase";

/// Busy apps.
pub struct Load {
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
        let (phase, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let app = |_| be_busy(address, path, Arc::clone(&phase), Arc::clone(&is_over));
        let apps = (0..apps).map(app).collect();
        Self { phase, is_over, apps }
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

/// Sends until it is over, or nobody listens any more. A connection that was said to close is replaced.
async fn be_busy(address: SocketAddr, path: &str, phase: Arc<AtomicU64>, is_over: Arc<AtomicBool>) -> Told {
    let mut told = Told::default();
    let mut connection = None;
    while !is_over.load(Ordering::SeqCst) {
        let kept = match connection.take() {
            None => connect(address).await,
            kept => kept,
        };
        let Some(mut sender) = kept else {
            told.refused = 1;
            break;
        };
        // A connection that has closed between two requests has failed none.
        if sender.ready().await.is_err() {
            continue;
        }
        match ask(&mut sender, address, path, phase.load(Ordering::SeqCst)).await {
            Ok(200) => told.good += 1,
            Ok(status) => told.failures.push(status.to_string()),
            Err(error) => told.failures.push(format!("{error:?}")),
        }
        connection = Some(sender);
    }
    told
}

async fn connect(address: SocketAddr) -> Option<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

async fn ask(
    sender: &mut SendRequest<Empty<Bytes>>,
    address: SocketAddr,
    path: &str,
    phase: u64,
) -> Result<u16, hyper::Error> {
    let request = Request::get(path).header("host", address.to_string()).header(PHASE, phase);
    let answer = sender.send_request(request.body(Empty::new()).expect("a request")).await?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await?;
    Ok(status)
}
