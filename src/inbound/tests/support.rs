//! A service made of a closure, and an app that speaks raw bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::inbound::{Caller, Departure, Malformed, ServeSettings, Service, Stream, serve};
use crate::message::{Body, BodyError, BodyStream, Fields, Frame, Request, Response, Size};

impl Stream for DuplexStream {
    fn can_break_off(&self) -> bool {
        true
    }
}

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A service made of a closure. It counts calls and those of them that were dropped unfinished.
#[derive(Clone)]
pub(super) struct Answering {
    answer: Arc<dyn Fn(Request, Departure) -> Answer + Send + Sync>,
    pub(super) calls: Arc<AtomicUsize>,
    pub(super) dropped: Arc<AtomicUsize>,
}

impl Answering {
    pub(super) fn new<F: Future<Output = Response> + Send + 'static>(
        answer: impl Fn(Request) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::departing(move |request, _| answer(request))
    }

    /// As [`new`](Self::new), with what the connection asks of the request's departure.
    pub(super) fn departing<F: Future<Output = Response> + Send + 'static>(
        answer: impl Fn(Request, Departure) -> F + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(move |request, departure| -> Answer { Box::pin(answer(request, departure)) });
        Self { answer, calls: Arc::default(), dropped: Arc::default() }
    }
}

impl Service for Answering {
    async fn call(&self, request: Request, _: &Caller, departure: &Departure) -> Response {
        struct Count<'a>(&'a AtomicUsize);
        impl Drop for Count<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        let count = Count(&self.dropped);
        let response = (self.answer)(request, departure.clone()).await;
        std::mem::forget(count);
        response
    }

    fn refuse(&self, malformed: &Malformed, _: &Caller) -> Response {
        Response::new(malformed.status, Body::full(malformed.reason))
    }
}

/// 200 with this body and no field.
pub(super) fn ok(body: impl Into<Bytes>) -> Response {
    Response::new(StatusCode::OK, Body::full(body))
}

/// Answers each request with its target.
pub(super) fn targets() -> Answering {
    Answering::new(|request: Request| async move { ok(request.target) })
}

/// A body whose frames somebody else sends.
pub(super) struct Fed(mpsc::UnboundedReceiver<Result<Frame, BodyError>>, Size);

pub(super) type Feed = mpsc::UnboundedSender<Result<Frame, BodyError>>;

pub(super) fn fed(size: Size) -> (Feed, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Body::stream(Fed(receiver, size)))
}

/// A body of these frames, which are there at once.
pub(super) fn frames(size: Size, frames: impl IntoIterator<Item = Result<Frame, BodyError>>) -> Body {
    let (sender, body) = fed(size);
    for frame in frames {
        sender.send(frame).unwrap();
    }
    body
}

#[expect(clippy::unnecessary_wraps, reason = "it stands in lists of frames and errors")]
pub(super) fn data(data: &'static str) -> Result<Frame, BodyError> {
    Ok(Frame::Data(Bytes::from_static(data.as_bytes())))
}

pub(super) fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.push(name, value);
    }
    fields
}

impl BodyStream for Fed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.0.poll_recv(cx)
    }

    fn size(&self) -> Size {
        self.1
    }
}

/// An app at the other end of a connection that is being served.
pub(super) struct App<S> {
    pub(super) io: S,
    pub(super) serving: JoinHandle<()>,
    pub(super) drain: CancellationToken,
}

fn served<S: Stream>(io: S, service: Answering) -> (JoinHandle<()>, CancellationToken) {
    let drain = CancellationToken::new();
    let token = drain.clone();
    let serving = tokio::spawn(async move {
        serve(io, Caller::Unix { uid: None, is_stranger: false }, service, &ServeSettings::default(), token).await;
    });
    (serving, drain)
}

/// An app on a connection in memory, which holds `room` bytes each way.
pub(super) fn app_with_room(service: Answering, room: usize) -> App<DuplexStream> {
    let (io, ours) = duplex(room);
    let (serving, drain) = served(ours, service);
    App { io, serving, drain }
}

pub(super) fn app(service: Answering) -> App<DuplexStream> {
    app_with_room(service, 1024 * 1024)
}

/// An app on a unix socket, which can be closed for writing only. Its bytes are there at once, so paused time holds.
pub(super) fn unix_app(service: Answering) -> App<UnixStream> {
    let (io, ours) = UnixStream::pair().unwrap();
    let (serving, drain) = served(ours, service);
    App { io, serving, drain }
}

/// An app on a TCP connection, which can be reset. Not for paused time, which would run away while bytes are under way.
pub(super) async fn tcp_app(service: Answering) -> App<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let io = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (ours, _) = listener.accept().await.unwrap();
    let (serving, drain) = served(ours, service);
    App { io, serving, drain }
}

impl<S: Stream> App<S> {
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Everything until what has come ends so.
    pub(super) async fn read_to(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            let byte = self.io.read_u8().await.unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&text));
            });
            text.push(byte);
        }
        String::from_utf8(text).unwrap()
    }

    /// Everything until the connection closes.
    pub(super) async fn read_all(&mut self) -> io::Result<String> {
        let mut text = Vec::new();
        self.io.read_to_end(&mut text).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Sends a GET for `/a` and reads an answer, to show that the connection lives.
    pub(super) async fn works(&mut self) -> bool {
        self.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await;
        self.read_to("\r\n\r\n/a").await.starts_with("HTTP/1.1 200 OK\r\n")
    }
}
