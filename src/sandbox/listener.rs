//! A bank's listener: TCP on loopback, TLS that may demand a QWAC, then HTTP/1.1 or HTTP/2.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Error;
use super::control::{Control, Door};
use super::gate::{Connection, Gate};
use super::peer::{Peer, PeerCertificate};
use super::record::{RawRead, lock};

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// Binds a loopback port; 0 takes any free one.
pub(super) async fn bind(port: u16) -> Result<(TcpListener, u16), Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let bound = TcpListener::bind(address).await.and_then(|listener| {
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    });
    bound.map_err(|source| Error::Bind { address, source })
}

/// One listener with all that its connections need.
pub(super) struct Listener {
    pub(super) acceptor: TlsAcceptor,
    pub(super) gate: Arc<Gate>,
    pub(super) http: auto::Builder<TokioExecutor>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Listener {
    /// Accepts until the sandbox stops.
    pub(super) fn serve(self, tcp: TcpListener) {
        let tasks = self.tasks.clone();
        let listener = Arc::new(self);
        tasks.spawn(async move {
            let stop = listener.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = Self::accept(listener, tcp) => {}
            }
        });
    }

    async fn accept(self: Arc<Self>, tcp: TcpListener) {
        loop {
            // Out of file descriptors, or a client that hung up early: neither ends the bank.
            let Ok((stream, _)) = tcp.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let listener = Arc::clone(&self);
            self.tasks.spawn(async move { listener.connection(stream).await });
        }
    }

    async fn connection(&self, stream: TcpStream) {
        let control = &self.gate.control;
        let cut = self.stop.child_token();
        let number = control.open(&cut);
        tokio::select! {
            () = cut.cancelled() => {}
            () = self.handshake_and_serve(stream, number, cut.clone()) => {}
        }
        control.close(number);
    }

    async fn handshake_and_serve(&self, stream: TcpStream, number: u64, cut: CancellationToken) {
        let control = &self.gate.control;
        match control.door() {
            Door::Open => {}
            Door::Reset => {
                // Without lingering, the close is a reset.
                drop(socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
                return;
            }
            Door::Stall => std::future::pending().await,
        }
        drop(stream.set_nodelay(true));
        let Ok(Ok(tls)) = tokio::time::timeout(HANDSHAKE, self.acceptor.accept(stream)).await else {
            control.count(|counters| counters.handshakes_failed += 1);
            return;
        };
        count_handshake(control, &tls);
        let raw = control.record_connection(number);
        let connection = Arc::new(Connection { number, peer: peer(&tls), cut, raw: raw.clone() });
        let service = service_fn(|request| {
            let (gate, connection) = (Arc::clone(&self.gate), Arc::clone(&connection));
            async move { gate.pass(&connection, request).await }
        });
        // How a client leaves is its own affair.
        drop(self.http.serve_connection(TokioIo::new(Teed { stream: tls, raw }), service).await);
    }
}

fn count_handshake(control: &Control, tls: &TlsStream<TcpStream>) {
    let (_, session) = tls.get_ref();
    control.count(|counters| {
        counters.handshakes += 1;
        counters.handshakes_resumed += u64::from(session.handshake_kind() == Some(HandshakeKind::Resumed));
        counters.http2_connections += u64::from(session.alpn_protocol() == Some(b"h2"));
    });
}

fn peer(tls: &TlsStream<TcpStream>) -> Peer {
    let leaf = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    Peer(leaf.and_then(|leaf| PeerCertificate::read(leaf).ok()).map(Arc::new))
}

/// A stream whose incoming bytes are remembered, where the sandbox records.
struct Teed<S> {
    stream: S,
    raw: Option<Arc<Mutex<RawRead>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Teed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if let Some(raw) = &self.raw {
            lock(raw).push(&buf.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Teed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
