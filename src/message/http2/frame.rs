//! Frames (RFC 9113, sections 4 and 6).

pub use h2::Reason;

/// What a client's side of a connection begins with (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame's head.
pub const FRAME_HEAD: usize = 9;

/// Bytes that a frame may carry unless its receiver said otherwise.
pub const DEFAULT_MAX_FRAME: usize = 16 * 1024;

/// The window that a stream and a connection begin with (RFC 9113, section 6.9.2).
pub const DEFAULT_WINDOW: u32 = 65_535;

/// The largest window (RFC 9113, section 6.9.1).
pub const MAX_WINDOW: i64 = (1 << 31) - 1;

/// Types of frames (RFC 9113, section 6).
pub mod kind {
    /// Content.
    pub const DATA: u8 = 0;
    /// A field section, or its beginning.
    pub const HEADERS: u8 = 1;
    /// Deprecated.
    pub const PRIORITY: u8 = 2;
    /// The end of a stream before its time.
    pub const RST_STREAM: u8 = 3;
    /// How the sender wants things.
    pub const SETTINGS: u8 = 4;
    /// An answer that nobody asked for.
    pub const PUSH_PROMISE: u8 = 5;
    /// A sign of life.
    pub const PING: u8 = 6;
    /// No more streams.
    pub const GOAWAY: u8 = 7;
    /// More may be sent.
    pub const WINDOW_UPDATE: u8 = 8;
    /// More of a field section.
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    /// DATA, HEADERS: nothing follows on this stream.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING: an answer.
    pub const ACK: u8 = 0x1;
    /// HEADERS, CONTINUATION: the field section is complete.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS: there is padding.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: there is a priority.
    pub const PRIORITY: u8 = 0x20;
}

/// Settings (RFC 9113, section 6.5.2).
pub mod setting {
    /// Whether the receiver may push.
    pub const ENABLE_PUSH: u16 = 2;
    /// How many streams the receiver may open at once.
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    /// How much the receiver may send on a stream before it is told to go on.
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    /// How large a frame the receiver may send.
    pub const MAX_FRAME_SIZE: u16 = 5;
    /// How large a field section the receiver should send at most.
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes that follow.
    pub length: usize,
    /// One of [`kind`], or one that is to be ignored.
    pub kind: u8,
    /// Those of [`flag`] that the type knows.
    pub flags: u8,
    /// The stream, 0 for the connection.
    pub stream: u32,
}

impl FrameHead {
    /// The head at the beginning of `bytes`, if it is complete.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [high, middle, low, kind, flags, stream @ ..] = *bytes.first_chunk::<FRAME_HEAD>()?;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        // The reserved bit says nothing.
        Some(Self { length, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff })
    }

    /// The head's bytes. A length beyond 24 bits cannot be told, and no sender of ours has one.
    pub fn bytes(self) -> [u8; FRAME_HEAD] {
        let [.., high, middle, low] = self.length.to_be_bytes();
        let [a, b, c, d] = self.stream.to_be_bytes();
        [high, middle, low, self.kind, self.flags, a, b, c, d]
    }

    /// Whether a flag is set.
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Adds a frame.
pub fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&FrameHead { length: payload.len(), kind, flags, stream }.bytes());
    out.extend_from_slice(payload);
}

/// Adds a SETTINGS frame.
pub fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let head = FrameHead { length: 6 * settings.len(), kind: kind::SETTINGS, flags: 0, stream: 0 };
    out.extend_from_slice(&head.bytes());
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Adds a field section that is complete, in as many frames as it needs (RFC 9113, section 4.3).
pub fn write_field_section(out: &mut Vec<u8>, stream: u32, end_stream: bool, block: &[u8], max_frame: usize) {
    let mut parts = block.chunks(max_frame.max(1));
    let first = parts.next().unwrap_or_default();
    let mut left = block.len() - first.len();
    let end_of = |left: usize| if left == 0 { flag::END_HEADERS } else { 0 };
    write(out, kind::HEADERS, end_of(left) | u8::from(end_stream), stream, first);
    for part in parts {
        left -= part.len();
        write(out, kind::CONTINUATION, end_of(left), stream, part);
    }
}

/// The payload of a DATA or HEADERS frame without padding and priority (RFC 9113, sections 6.1 and 6.2): where it
/// begins and how long it is. `None` where the padding is longer than the frame.
pub fn unpadded(head: FrameHead, payload: &[u8]) -> Option<(usize, usize)> {
    let (mut start, mut end) = (0, payload.len());
    if head.has(flag::PADDED) {
        let padding = usize::from(*payload.first()?);
        start = 1;
        end = end.checked_sub(padding)?;
    }
    if head.kind == kind::HEADERS && head.has(flag::PRIORITY) {
        start += 5;
    }
    end.checked_sub(start).map(|length| (start, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_as_it_was_written() {
        let head = FrameHead { length: 0x01_02_03, kind: kind::DATA, flags: flag::END_STREAM, stream: 0x7fff_fffe };
        let mut bytes = head.bytes();
        assert_eq!(FrameHead::parse(&bytes), Some(head));
        bytes[5] |= 0x80;
        assert_eq!(FrameHead::parse(&bytes), Some(head), "the reserved bit is ignored");
        assert_eq!(FrameHead::parse(&bytes[..8]), None);
    }

    #[test]
    fn padding_and_priority_are_taken_off_and_never_more_than_there_is() {
        let head = |kind, flags| FrameHead { length: 0, kind, flags, stream: 1 };
        assert_eq!(unpadded(head(kind::DATA, 0), b"abc"), Some((0, 3)));
        assert_eq!(unpadded(head(kind::DATA, flag::PADDED), b"\x02abc\0\0"), Some((1, 3)));
        assert_eq!(unpadded(head(kind::DATA, flag::PADDED), b"\x02\0\0"), Some((1, 0)));
        assert_eq!(unpadded(head(kind::DATA, flag::PADDED), b"\x03\0\0"), None);
        assert_eq!(unpadded(head(kind::DATA, flag::PADDED), b""), None);
        let both = flag::PADDED | flag::PRIORITY;
        assert_eq!(unpadded(head(kind::HEADERS, both), b"\x01pppppabc\0"), Some((6, 3)));
        assert_eq!(unpadded(head(kind::HEADERS, flag::PRIORITY), b"pppp"), None);
    }

    #[test]
    fn a_long_field_section_goes_on_in_continuations() {
        let mut out = Vec::new();
        write_field_section(&mut out, 3, true, b"abcde", 2);
        let mut seen = Vec::new();
        let mut rest = &out[..];
        while let Some(head) = FrameHead::parse(rest) {
            seen.push((head.kind, head.flags, rest[FRAME_HEAD..FRAME_HEAD + head.length].to_vec()));
            rest = &rest[FRAME_HEAD + head.length..];
        }
        let expected = [
            (kind::HEADERS, flag::END_STREAM, b"ab".to_vec()),
            (kind::CONTINUATION, 0, b"cd".to_vec()),
            (kind::CONTINUATION, flag::END_HEADERS, b"e".to_vec()),
        ];
        assert_eq!(seen, expected);
    }
}
