//! Whatever a chunked body is cut into, the same comes of it, and no byte behind it is taken.
#![no_main]

use bankside::message::Frame;
use bankside::message::http1::{Decoded, Decoder, Framing};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

/// The content, whether it ended, and what is left; `None` where it is malformed.
fn decode(data: &[u8], step: usize) -> Option<(Vec<u8>, bool, Vec<u8>)> {
    let (mut decoder, mut buffer, mut content) = (Decoder::new(Framing::Chunked), BytesMut::new(), Vec::new());
    let mut parts = data.chunks(step);
    loop {
        match decoder.decode(&mut buffer) {
            Ok(Decoded::Frame(Frame::Data(data))) => content.extend_from_slice(&data),
            Ok(Decoded::Frame(Frame::Trailers(_))) => {}
            Ok(Decoded::End) => {
                let rest = parts.fold(buffer.to_vec(), |mut rest, part| {
                    rest.extend_from_slice(part);
                    rest
                });
                return Some((content, true, rest));
            }
            Ok(Decoded::NeedMore) => match parts.next() {
                Some(part) => buffer.extend_from_slice(part),
                None => return Some((content, false, Vec::new())),
            },
            Err(_) => return None,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let whole = decode(data, data.len().max(1));
    if let (Some(whole), Some(parts)) = (&whole, decode(data, 1)) {
        assert_eq!(*whole, parts);
    }
    if let Some((_, true, rest)) = &whole {
        assert!(data.ends_with(rest));
    }
});
