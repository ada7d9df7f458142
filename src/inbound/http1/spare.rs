//! Buffers and channels that a worker's connections lend each other: one that rests holds none.

use std::cell::RefCell;

use bytes::BytesMut;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::message::Interim;

/// Room for a usual head with a small body.
pub(in crate::inbound) const SMALL_READ: usize = 4 * 1024;
/// Text that grew beyond this is not kept.
const LARGE_TEXT: usize = 16 * 1024;
/// So many of each kind are kept: about as many connections have something to do in the same turn.
const MOST_KEPT: usize = 64;

/// The way of interim answers.
pub(super) type Channel = (UnboundedSender<Interim>, UnboundedReceiver<Interim>);

thread_local! {
    static READ_BUFFERS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static TEXTS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static CHANNELS: RefCell<Vec<Channel>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for a small read.
pub(in crate::inbound) fn take_read_buffer() -> BytesMut {
    READ_BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(SMALL_READ))
}

/// Takes a buffer back that nothing is in, unless parts of it are still in use, or it has grown.
pub(in crate::inbound) fn give_read_buffer(mut buffer: BytesMut) {
    if buffer.capacity() > 0 && buffer.try_reclaim(SMALL_READ) && buffer.capacity() <= 2 * SMALL_READ {
        READ_BUFFERS.with_borrow_mut(|spare| keep(spare, buffer));
    }
}

/// Empty text.
pub(super) fn take_text() -> Vec<u8> {
    TEXTS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Takes back text that is written.
pub(super) fn give_text(mut text: Vec<u8>) {
    if (1..=LARGE_TEXT).contains(&text.capacity()) {
        text.clear();
        TEXTS.with_borrow_mut(|spare| keep(spare, text));
    }
}

/// A channel that nobody else has an end of.
pub(super) fn take_channel() -> Channel {
    CHANNELS.with_borrow_mut(Vec::pop).unwrap_or_else(unbounded_channel)
}

/// Takes a channel back, unless somebody kept hold of it, whose answers would be taken for another request's.
pub(super) fn give_channel((sender, mut receiver): Channel) {
    if receiver.sender_strong_count() == 1 && receiver.try_recv().is_err() {
        CHANNELS.with_borrow_mut(|spare| keep(spare, (sender, receiver)));
    }
}

fn keep<T>(spare: &mut Vec<T>, one: T) {
    if spare.len() < MOST_KEPT {
        spare.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Fields;

    #[test]
    fn a_buffer_comes_back_empty_and_whole_unless_it_is_in_use_or_has_grown() {
        let mut buffer = take_read_buffer();
        buffer.extend_from_slice(b"hello");
        let part = buffer.split_to(5);
        give_read_buffer(buffer);
        assert!(READ_BUFFERS.with_borrow(Vec::is_empty), "a part of it is in use");
        drop(part);
        let mut buffer = take_read_buffer();
        buffer.extend_from_slice(b"hello");
        drop(buffer.split_to(5));
        give_read_buffer(buffer);
        assert_eq!(take_read_buffer().capacity(), SMALL_READ);
        give_read_buffer(BytesMut::with_capacity(3 * SMALL_READ));
        give_read_buffer(BytesMut::new());
        assert!(READ_BUFFERS.with_borrow(Vec::is_empty));
    }

    #[test]
    fn text_comes_back_empty_unless_it_has_grown() {
        give_text(b"hello".to_vec());
        give_text(vec![0; LARGE_TEXT + 1]);
        assert!(take_text().is_empty());
        assert!(TEXTS.with_borrow(Vec::is_empty));
    }

    #[test]
    fn a_channel_comes_back_only_if_nobody_kept_hold_of_it() {
        let channel = take_channel();
        let kept = channel.0.clone();
        give_channel(channel);
        assert!(CHANNELS.with_borrow(Vec::is_empty));
        drop(kept);
        let channel = take_channel();
        let interim = Interim { status: http::StatusCode::CONTINUE, fields: Fields::new() };
        channel.0.send(interim).unwrap();
        give_channel(channel);
        assert!(CHANNELS.with_borrow(Vec::is_empty));
        give_channel(take_channel());
        assert!(CHANNELS.with_borrow(|spare| spare.len() == 1));
    }
}
