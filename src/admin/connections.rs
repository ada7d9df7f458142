//! The connections of the operator's listener: few at once, and none of somebody who says or takes nothing for long. The
//! banks' listeners share descriptors and memory with them.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::patience::Patient;

/// Connections at once. Beyond, they wait in the kernel.
const MOST: usize = 64;
/// For a request's head, and for the next one on a connection that rests.
const HEAD: Duration = Duration::from_secs(10);
/// For the other end to take something of an answer.
const TAKE: Duration = Duration::from_secs(10);
/// The longest head.
const LONGEST_HEAD: usize = 16 * 1024;

/// Serves until `stop`; then the requests under way are finished.
pub(super) async fn serve<L: Listener>(mut listener: L, routes: Router, stop: CancellationToken) -> io::Result<()> {
    let (room, tasks) = (Arc::new(Semaphore::new(MOST)), TaskTracker::new());
    let accepting = async {
        while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
            let (stream, _) = listener.accept().await;
            tasks.spawn(connection(stream, routes.clone(), permit, stop.clone()));
        }
    };
    stop.run_until_cancelled(accepting).await;
    // Who comes now is refused, and waits for nothing.
    drop(listener);
    tasks.close();
    tasks.wait().await;
    Ok(())
}

async fn connection<S>(stream: S, routes: Router, _permit: OwnedSemaphorePermit, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(LONGEST_HEAD);
    let stream = TokioIo::new(Patient::new(stream, TAKE));
    let mut connection = pin!(http.serve_connection(stream, TowerToHyperService::new(routes)));
    // How somebody leaves is their own affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    /// Who has connected, in memory, so that time can be played.
    struct Queue(mpsc::UnboundedReceiver<DuplexStream>);

    impl Listener for Queue {
        type Io = DuplexStream;
        type Addr = ();

        async fn accept(&mut self) -> (DuplexStream, ()) {
            match self.0.recv().await {
                Some(stream) => (stream, ()),
                None => std::future::pending().await,
            }
        }

        fn local_addr(&self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Server {
        queue: mpsc::UnboundedSender<DuplexStream>,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<io::Result<()>>,
    }

    impl Server {
        fn start() -> Self {
            let (queue, incoming) = mpsc::unbounded_channel();
            let slow = || async {
                tokio::time::sleep(Duration::from_mins(5)).await;
                "slow"
            };
            let large = || async { "x".repeat(1 << 20) };
            let routes =
                Router::new().route("/", get(|| async { "ok" })).route("/slow", get(slow)).route("/large", get(large));
            let stop = CancellationToken::new();
            Self { queue, stop: stop.clone(), task: tokio::spawn(serve(Queue(incoming), routes, stop)) }
        }

        /// Connects, and sends this.
        async fn send(&self, text: &str) -> DuplexStream {
            let (mut ours, theirs) = duplex(64 * 1024);
            self.queue.send(theirs).unwrap();
            ours.write_all(text.as_bytes()).await.unwrap();
            ours
        }
    }

    /// All that comes until the end.
    async fn rest(mut stream: DuplexStream) -> String {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        String::from_utf8(all).unwrap()
    }

    fn request(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_and_a_connection_that_rests_are_closed_in_time() {
        let server = Server::start();
        for (text, answered) in [(String::new(), false), ("GET / HTT".to_owned(), false), (request("/"), true)] {
            let start = Instant::now();
            let answer = rest(server.send(&text).await).await;
            assert_eq!(answer.ends_with("ok"), answered, "{answer}");
            assert!((HEAD..HEAD * 2).contains(&start.elapsed()), "{text:?}: {:?}", start.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_more_than_there_may_be_waits_until_somebody_who_says_nothing_is_closed() {
        let (server, start) = (Server::start(), Instant::now());
        let mut silent = Vec::new();
        for _ in 0..MOST {
            silent.push(server.send("GET / HTTP/1.1\r\n").await);
        }
        let mut one_more = server.send(&request("/")).await;
        let mut answer = [0; 12];
        one_more.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        assert!((HEAD..HEAD * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_takes_long_is_waited_for_and_one_that_nobody_takes_is_cut() {
        let (server, start) = (Server::start(), Instant::now());
        let mut slow = server.send(&request("/slow")).await;
        let large = server.send(&request("/large")).await;
        let mut answer = [0; 12];
        slow.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        assert!(start.elapsed() >= Duration::from_mins(5));
        let taken = rest(large).await;
        assert!(taken.starts_with("HTTP/1.1 200") && taken.len() <= 64 * 1024, "{}", taken.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_is_too_long_is_refused() {
        let server = Server::start();
        let text = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(LONGEST_HEAD));
        let answer = rest(server.send(&text).await).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_a_request_under_way_is_finished_and_a_connection_that_rests_closes() {
        let (server, start) = (Server::start(), Instant::now());
        let mut resting = server.send(&request("/")).await;
        resting.read_exact(&mut [0; 12]).await.unwrap();
        let slow = server.send(&request("/slow")).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.stop.cancel();
        assert!(rest(resting).await.ends_with("ok"));
        assert!(start.elapsed() < HEAD);
        assert!(rest(slow).await.ends_with("slow"));
        server.task.await.unwrap().unwrap();
    }
}
