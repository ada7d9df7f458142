//! The load: connections that stay open, on each of which one request follows the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::process::{Bank, Proxy, own_cpu};

/// What an app asks.
pub(crate) const REQUEST: &[u8] = b"GET /v1/accounts HTTP/1.1\r\nHost: localhost\r\nUser-Agent: app/1.0\r\n\
    Accept: application/json\r\n\r\n";
/// Before anything counts: this, and for each connection the time that a handshake with the bank may take.
const WARM_UP: Duration = Duration::from_millis(500);
const WARM_UP_EACH: Duration = Duration::from_millis(1);
/// Longer than a connection waits for its turn.
const HANG: Duration = Duration::from_mins(1);

/// What a measurement brings.
pub(crate) struct Figures {
    /// Requests a second.
    pub(crate) rate: f64,
    /// The proxy's processor time for each.
    pub(crate) cpu_micros: f64,
    /// What of the proxy is resident in memory at the end.
    pub(crate) memory_mb: f64,
    /// How busy the bank's cores were, and that of the load: near 1 it is they who set the pace.
    pub(crate) bank: f64,
    pub(crate) load: f64,
}

/// Has this many connections ask for so long.
pub(crate) fn measure(proxy: &Proxy, bank: &Bank, connections: usize, time: Duration) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (answers, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let mut apps = JoinSet::new();
        for address in proxy.addresses.iter().cycle().take(connections) {
            let app = connect(*address).await;
            apps.spawn(ask(app, Arc::clone(&answers), Arc::clone(&is_over)));
        }
        tokio::time::sleep(WARM_UP + WARM_UP_EACH * u32::try_from(connections).expect("few")).await;
        let (begin, cpu, before) = (Instant::now(), proxy.cpu(), answers.load(Ordering::Relaxed));
        let others = (bank.cpu(), own_cpu());
        tokio::time::sleep(time).await;
        let (took, cpu) = (begin.elapsed(), proxy.cpu().saturating_sub(cpu));
        let others = (bank.cpu().saturating_sub(others.0), own_cpu().saturating_sub(others.1));
        let count = (answers.load(Ordering::Relaxed) - before) as f64;
        let memory_mb = proxy.memory_mb();
        is_over.store(true, Ordering::Relaxed);
        tokio::time::timeout(HANG, apps.join_all()).await.expect("all are answered");
        Figures {
            rate: count / took.as_secs_f64(),
            cpu_micros: cpu.as_secs_f64() * 1e6 / count,
            memory_mb,
            bank: others.0.as_secs_f64() / took.as_secs_f64() / bank.cores as f64,
            load: others.1.as_secs_f64() / took.as_secs_f64(),
        }
    })
}

async fn connect(address: SocketAddr) -> TcpStream {
    let app = TcpStream::connect(address).await.expect("somebody listens");
    app.set_nodelay(true).expect("a socket");
    app
}

async fn ask(mut app: TcpStream, answers: Arc<AtomicU64>, is_over: Arc<AtomicBool>) {
    let mut buffer = vec![0; 4096];
    while !is_over.load(Ordering::Relaxed) {
        app.write_all(REQUEST).await.expect("it is taken");
        let (mut filled, mut length) = (0, usize::MAX);
        while filled < length {
            let count = app.read(&mut buffer[filled..]).await.expect("an answer");
            assert!(count > 0, "it hung up: {:?}", String::from_utf8_lossy(&buffer[..filled]));
            filled += count;
            if length == usize::MAX {
                length = answer_length(&buffer[..filled]).unwrap_or(length);
            }
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// How long an answer is, head and content, once its head is there.
fn answer_length(read: &[u8]) -> Option<usize> {
    let end = memmem::find(read, b"\r\n\r\n")? + 4;
    assert!(read.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(read));
    let head = read[..end].to_ascii_lowercase();
    let value = &head[memmem::find(&head, b"content-length:").expect("a length") + 15..];
    let value = value.split(|byte| *byte == b'\r').next().unwrap_or_default().trim_ascii();
    let length: usize = std::str::from_utf8(value).expect("text").parse().expect("a number");
    Some(end + length)
}
