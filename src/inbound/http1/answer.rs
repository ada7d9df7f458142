//! Writing an answer: its head, how its body is framed, and the body as it comes.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use http::{StatusCode, Version};

use crate::inbound::Stream;
use crate::message::http1::framing::may_have_content;
use crate::message::http1::writing::{write_field, write_status_line};
use crate::message::{Body, Frame, Response, Size};

use super::spare::give_channel;
use super::wire::UploadState;
use super::{After, Connection, Exchange};

/// When so much has gone out, others have their turn: a large body whose app and bank are fast never waits by itself.
const TURN: usize = 512 * 1024;

/// How the body of an answer is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// There is none, and the fields may speak of one as they like: HEAD, 304.
    Described,
    /// There is none and never was: 204.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Until the connection closes, for HTTP/1.0.
    UntilClose,
}

/// An answer's body on its way.
struct Sending {
    body: Body,
    content: Content,
    /// Bytes that are yet to come, with [`Content::Length`].
    left: u64,
    complete: bool,
}

impl<S: Stream> Connection<'_, S> {
    /// Writes the answer, and sees to what is left of the request.
    pub(super) async fn answer(&mut self, mut response: Response, mut exchange: Exchange) -> After {
        self.take_interims(&mut exchange, None);
        if let Some(channel) = self.interims.take() {
            give_channel(channel);
        }
        if response.status.is_informational() {
            // As a final answer this would leave the app waiting for ever.
            return After::BreakOff;
        }
        if content(&response, exchange) == Content::UntilClose && !self.wire.lock().io.can_break_off() {
            // In a box, as this is rare.
            match Box::pin(self.gather(response.body)).await {
                Ok(body) => response.body = body,
                Err(after) => return after,
            }
        }
        let content = content(&response, exchange);
        let keep = self.keeps(content, exchange) && !asks_to_close(&response);
        self.write_head(&response, content, keep, exchange.version);
        let left = if let Content::Length(length) = content { length } else { 0 };
        let complete = matches!(content, Content::Described | Content::None);
        let mut sending = Sending { body: response.body, content, left, complete };
        if content == Content::UntilClose {
            // Only now, so that it holds whatever ends us on the way: a part must not be taken for the whole.
            self.wire.lock().io.break_off();
        }
        let sent = poll_fn(|cx| self.poll_send(&mut sending, cx)).await;
        if content == Content::UntilClose && sent.is_ok() {
            self.wire.lock().io.end_in_order();
        }
        drop(sending);
        self.deadline.clear();
        if let Err(after) = sent {
            return after;
        }
        let (state, decoder) = self.wire.lock().end_upload();
        match decoder {
            _ if !keep || state == UploadState::Failed => After::Close,
            None => After::Persist,
            Some(_) if exchange.withholds_body => After::Close,
            Some(decoder) => self.skip_body(decoder).await,
        }
    }

    /// Whether the connection can go on after this answer.
    fn keeps(&self, content: Content, exchange: Exchange) -> bool {
        let next_can_be_found = match self.wire.lock().upload_state() {
            UploadState::Complete => true,
            // An app that was not told to go on may send the body all the same, or the next request.
            UploadState::Incomplete => !exchange.withholds_body,
            UploadState::Failed => false,
        };
        exchange.persists && content != Content::UntilClose && next_can_be_found && !self.drain.is_cancelled()
    }

    /// The head as the service gave it; what concerns this connection only is ours.
    fn write_head(&mut self, response: &Response, content: Content, keep: bool, version: Version) {
        let text = self.out.text();
        write_status_line(text, response.status, &response.reason);
        let mut has_length = false;
        for (name, value) in response.fields.iter() {
            if name.eq_ignore_ascii_case(b"content-length") {
                if has_length || !content.agrees_with(value) {
                    continue;
                }
                has_length = true;
            }
            if !is_of_the_connection(name) {
                write_field(text, name, value);
            }
        }
        match content {
            Content::Length(length) if !has_length => {
                write_field(text, b"Content-Length", length.to_string().as_bytes());
            }
            Content::Chunked => write_field(text, b"Transfer-Encoding", b"chunked"),
            _ => {}
        }
        if !keep {
            write_field(text, b"Connection", b"close");
        } else if version == Version::HTTP_10 {
            write_field(text, b"Connection", b"keep-alive");
        }
        text.extend_from_slice(b"\r\n");
    }

    /// Takes what the body has and writes it, until both are through. An error says how the connection ends.
    fn poll_send(&mut self, sending: &mut Sending, cx: &mut Context<'_>) -> Poll<Result<(), After>> {
        let mut written = 0;
        loop {
            let waits_for_body = match self.poll_take(sending, cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(())) => false,
                Poll::Ready(Err(after)) => {
                    // What has come of the answer may tell the app something; it is not waited for.
                    let _ = self.poll_write(cx);
                    return Poll::Ready(Err(after));
                }
            };
            written += self.out.waiting();
            match self.poll_write(cx) {
                Poll::Ready(true) if sending.complete => return Poll::Ready(Ok(())),
                Poll::Ready(true) if !waits_for_body && written < TURN => {}
                Poll::Ready(true) if !waits_for_body => {
                    // Unlike a wake-up, this looks for what has come for others before it is this answer's turn again.
                    let _ = pin!(tokio::task::yield_now()).poll(cx);
                    break;
                }
                Poll::Ready(false) => return Poll::Ready(Err(After::Gone)),
                Poll::Ready(true) | Poll::Pending => break,
            }
        }
        self.wire.lock().poll_gone(cx).map(|()| Err(After::Gone))
    }

    /// Queues frames of the body. Ready when there is no room for more, or nothing more; pending when the body is.
    fn poll_take(&mut self, sending: &mut Sending, cx: &mut Context<'_>) -> Poll<Result<(), After>> {
        let is_chunked = sending.content == Content::Chunked;
        while !sending.complete && self.out.has_room() {
            match sending.body.poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                    if matches!(sending.content, Content::Length(_)) {
                        let Some(left) = sending.left.checked_sub(data.len() as u64) else {
                            return Poll::Ready(Err(After::BreakOff));
                        };
                        sending.left = left;
                        // The app has all of it, whatever the bank says after that.
                        sending.complete = left == 0;
                    }
                    self.out.data(data, is_chunked);
                }
                Poll::Ready(Some(Ok(Frame::Trailers(fields)))) => {
                    if is_chunked {
                        self.out.end(Some(&fields));
                    }
                    sending.complete = true;
                }
                Poll::Ready(None) => {
                    if is_chunked {
                        self.out.end(None);
                    }
                    sending.complete = true;
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(After::BreakOff)),
            }
            if sending.complete && sending.left > 0 {
                return Poll::Ready(Err(After::BreakOff));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Content {
    /// Whether a `Content-Length` of this value may stand in the head.
    fn agrees_with(self, value: &[u8]) -> bool {
        match self {
            Self::Described => true,
            Self::Length(length) => is_number(value, length),
            Self::None | Self::Chunked | Self::UntilClose => false,
        }
    }
}

/// Whether these are the digits of that number, and no more.
fn is_number(mut digits: &[u8], mut number: u64) -> bool {
    while let Some((last, rest)) = digits.split_last() {
        if u64::from(*last) != u64::from(b'0') + number % 10 {
            return false;
        }
        (digits, number) = (rest, number / 10);
        if number == 0 {
            return digits.is_empty();
        }
    }
    false
}

fn content(response: &Response, exchange: Exchange) -> Content {
    match response.body.size() {
        _ if exchange.is_head && response.status != StatusCode::NO_CONTENT => Content::Described,
        _ if response.status == StatusCode::NOT_MODIFIED => Content::Described,
        _ if !may_have_content(response.status) => Content::None,
        Size::Exact(length) => Content::Length(length),
        Size::Unknown if exchange.version == Version::HTTP_10 => Content::UntilClose,
        Size::Unknown => Content::Chunked,
    }
}

/// Whether the service wants this to be the connection's last answer.
fn asks_to_close(response: &Response) -> bool {
    response.fields.list("Connection").any(|option| option.eq_ignore_ascii_case(b"close"))
}

/// Whether a field is between two neighbours. What the service says of them must not confuse the framing.
fn is_of_the_connection(name: &[u8]) -> bool {
    ["connection", "transfer-encoding", "keep-alive"].iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_told_from_all_that_is_written_otherwise() {
        for number in [0, 7, 10, 100, 1234, u64::MAX] {
            assert!(is_number(number.to_string().as_bytes(), number));
            assert!(!is_number(format!("0{number}").as_bytes(), number));
            assert!(!is_number(format!("{number}0").as_bytes(), number));
            assert!(!is_number(format!("+{number}").as_bytes(), number));
        }
        assert!(!is_number(b"", 0));
        assert!(!is_number(b"00", 0));
        assert!(!is_number(b"8", 7));
    }
}
