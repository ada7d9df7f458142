//! HTTP/2 frames by hand, for what the library's server does not do.

use super::bank::Peer;

/// Reads the preface, and says SETTINGS (RFC 9113, section 3.4).
pub(super) async fn begin(peer: &mut Peer) {
    preface(peer).await;
    peer.say(frame(4, 0, 0, &[])).await;
}

/// Reads the preface.
pub(super) async fn preface(peer: &mut Peer) {
    peer.take(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()).await;
}

/// Answers the request of this stream: `:status: 200`, and the end.
pub(super) async fn answer(peer: &mut Peer, stream: u32) {
    peer.say(frame(1, 5, stream, &[0x88])).await;
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Reads frames until so many requests are there.
pub(super) async fn requests(peer: &mut Peer, mut count: usize) {
    while count > 0 {
        let head = peer.take(9).await;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        peer.take(usize::try_from(length).unwrap()).await;
        count -= usize::from(head[3] == 1);
    }
}

/// Asks for a sign of life; the streams that are reset before it comes.
pub(super) async fn resets(peer: &mut Peer) -> Vec<u32> {
    peer.say(frame(6, 0, 0, b"are you?")).await;
    let mut resets = Vec::new();
    loop {
        let (kind, flags, stream) = next(peer).await;
        match kind {
            3 => resets.push(stream),
            6 if flags == 1 => return resets,
            _ => {}
        }
    }
}

/// The streams of which something comes until `last` is complete.
pub(super) async fn streams_until_end(peer: &mut Peer, last: u32) -> Vec<u32> {
    let mut streams = vec![last];
    loop {
        let (kind, flags, stream) = next(peer).await;
        if stream != 0 && !streams.contains(&stream) {
            streams.push(stream);
        }
        if (kind, flags, stream) == (0, 1, last) {
            return streams;
        }
    }
}

/// Reads until we are asked for a sign of life.
pub(super) async fn until_ping(peer: &mut Peer) {
    while !matches!(next(peer).await, (6, 0, _)) {}
}

/// The next stream that is reset.
pub(super) async fn until_reset(peer: &mut Peer) -> u32 {
    loop {
        if let (3, _, stream) = next(peer).await {
            return stream;
        }
    }
}

async fn next(peer: &mut Peer) -> (u8, u8, u32) {
    let head = peer.take(9).await;
    peer.take(usize::from(head[1]) << 8 | usize::from(head[2])).await;
    (head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]))
}
