//! One stream: the service's answer to its request, and how that is written.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::inbound::interim::{ends_here, goes_on};
use crate::inbound::{Caller, Departure, ServeSettings, Service};
use crate::message::http1::framing::may_have_content;
use crate::message::{Body, Fields, Frame, Interim, Request, Response, Size};
use crate::words::Deadline;

use super::request::request;

/// So much of what there is has to go out while an app may be idle.
const LEAST: usize = 16 * 1024;

/// Why a stream ends without the end of its answer.
enum Broken {
    /// The app, or its connection, is gone.
    Gone,
    /// The app must not take for complete what it has got.
    Reset(Reason),
}

impl From<h2::Error> for Broken {
    fn from(_: h2::Error) -> Self {
        Self::Gone
    }
}

/// Serves one stream.
pub(super) async fn serve_stream<V: Service>(
    incoming: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    service: &V,
    caller: &Caller,
    settings: &ServeSettings,
) {
    let (parts, stream) = incoming.into_parts();
    let is_head = parts.method == Method::HEAD;
    let response = match request(parts, stream, settings) {
        Ok(request) => call(request, service, caller, &mut respond).await,
        Err(malformed) => Ok(service.refuse(&malformed, caller)),
    };
    let sent = match response {
        Ok(response) => send(response, is_head, &mut respond, settings).await,
        Err(broken) => Err(broken),
    };
    if let Err(Broken::Reset(reason)) = sent {
        // A reset takes back what the connection has not written yet, a head that says what the bank has done included.
        tokio::task::yield_now().await;
        respond.send_reset(reason);
    }
}

/// The service's answer; interim ones go out in the meantime.
async fn call<V: Service>(
    mut request: Request,
    service: &V,
    caller: &Caller,
    respond: &mut SendResponse<Bytes>,
) -> Result<Response, Broken> {
    let (sender, mut interims) = unbounded_channel();
    request.interim = Some(sender.into());
    let departure = Departure::default();
    let mut call = pin!(service.call(request, caller, &departure));
    let response = poll_fn(|cx| {
        if let Poll::Ready(response) = call.as_mut().poll(cx) {
            return Poll::Ready(Ok(response));
        }
        while let Poll::Ready(Some(interim)) = interims.poll_recv(cx) {
            send_interim(&interim, respond)?;
        }
        respond.poll_reset(cx).map(|_| Err(Broken::Gone))
    })
    .await?;
    send_rest(&mut interims, respond)?;
    Ok(response)
}

fn send_rest(interims: &mut UnboundedReceiver<Interim>, respond: &mut SendResponse<Bytes>) -> Result<(), Broken> {
    while let Ok(interim) = interims.try_recv() {
        send_interim(&interim, respond)?;
    }
    Ok(())
}

fn send_interim(interim: &Interim, respond: &mut SendResponse<Bytes>) -> Result<(), Broken> {
    if !goes_on(interim) {
        return Ok(());
    }
    let head = head(interim.status, headers(&interim.fields, |name| ends_here(interim, name.as_str().as_bytes()))?);
    Ok(respond.send_informational(head)?)
}

/// Writes the answer.
async fn send(
    response: Response,
    is_head: bool,
    respond: &mut SendResponse<Bytes>,
    settings: &ServeSettings,
) -> Result<(), Broken> {
    let Response { status, fields, mut body, .. } = response;
    if status.is_informational() {
        return Err(Broken::Reset(Reason::INTERNAL_ERROR));
    }
    let is_described = (is_head && status != StatusCode::NO_CONTENT) || status == StatusCode::NOT_MODIFIED;
    let has_content = !is_described && may_have_content(status);
    let length = match body.size() {
        Size::Exact(length) if has_content => Some(length),
        _ => None,
    };
    let mut headers = headers(&fields, |name| name == header::CONTENT_LENGTH && !is_described)?;
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let ends = !has_content || length == Some(0);
    let mut stream = respond.send_response(head(status, headers), ends)?;
    if ends { Ok(()) } else { send_body(&mut body, length, &mut stream, settings).await }
}

async fn send_body(
    body: &mut Body,
    length: Option<u64>,
    stream: &mut SendStream<Bytes>,
    settings: &ServeSettings,
) -> Result<(), Broken> {
    let mut left = length;
    let mut deadline = Deadline::never();
    loop {
        let frame = poll_fn(|cx| match body.poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => stream.poll_reset(cx).map(|_| Err(Broken::Gone)),
        })
        .await?;
        match frame {
            Some(Ok(Frame::Data(data))) => {
                if let Some(left) = &mut left {
                    *left = left.checked_sub(data.len() as u64).ok_or(Broken::Reset(Reason::INTERNAL_ERROR))?;
                }
                deadline.set(settings.idle);
                send_data(data, left == Some(0), stream, &mut deadline, settings).await?;
                if left == Some(0) {
                    return Ok(());
                }
            }
            Some(Err(_)) => return Err(Broken::Reset(Reason::INTERNAL_ERROR)),
            _ if left.is_some() => return Err(Broken::Reset(Reason::INTERNAL_ERROR)),
            Some(Ok(Frame::Trailers(fields))) => return Ok(stream.send_trailers(headers(&fields, |_| false)?)?),
            None => return Ok(stream.send_data(Bytes::new(), true)?),
        }
    }
}

/// Sends the data as the app makes room for it.
async fn send_data(
    mut data: Bytes,
    ends: bool,
    stream: &mut SendStream<Bytes>,
    deadline: &mut Deadline,
    settings: &ServeSettings,
) -> Result<(), Broken> {
    let mut moved = 0;
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = poll_fn(|cx| {
            if stream.capacity() > 0 {
                return Poll::Ready(Ok(stream.capacity()));
            }
            match stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(room))) => Poll::Ready(Ok(room)),
                Poll::Ready(_) => Poll::Ready(Err(Broken::Gone)),
                // The app does not read.
                Poll::Pending => deadline.poll(cx).map(|()| Err(Broken::Reset(Reason::CANCEL))),
            }
        })
        .await?;
        let piece = data.split_to(room.min(data.len()));
        if !piece.is_empty() {
            // Room for a byte now and then must not keep an answer for ever.
            moved += piece.len();
            if moved >= LEAST {
                deadline.set(settings.idle);
                moved = 0;
            }
            stream.send_data(piece, ends && data.is_empty())?;
        }
    }
    Ok(())
}

fn head(status: StatusCode, headers: HeaderMap) -> http::Response<()> {
    let mut head = http::Response::new(());
    *head.status_mut() = status;
    *head.version_mut() = Version::HTTP_2;
    *head.headers_mut() = headers;
    head
}

/// The field lines as HTTP/2 has them: lower case, and nothing of the connection (RFC 9113, section 8.2.2).
fn headers(fields: &Fields, leave_out: impl Fn(&HeaderName) -> bool) -> Result<HeaderMap, Broken> {
    const OF_THE_CONNECTION: [&str; 5] =
        ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields.iter() {
        let name = HeaderName::from_bytes(name).map_err(|_| Broken::Reset(Reason::INTERNAL_ERROR))?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Broken::Reset(Reason::INTERNAL_ERROR))?;
        if !OF_THE_CONNECTION.contains(&name.as_str()) && !leave_out(&name) {
            headers.append(name, value);
        }
    }
    Ok(headers)
}
