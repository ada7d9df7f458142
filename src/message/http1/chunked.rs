//! The chunked transfer coding (RFC 9112, section 7).

use std::io::Write;

use bytes::{Buf, BytesMut};

use crate::message::{BodyError, Fields, Frame};

use super::decoder::Decoded;
use super::framing::is_forbidden_trailer;
use super::writing::write_fields;

/// A chunk's size line with its extensions may be so long.
const MOST_SIZE_LINE: usize = 256;
/// Extensions of all chunks of a body may take so many bytes together: they are read for nothing.
const MOST_EXTENSIONS: usize = 16 * 1024;
/// 16 hexadecimal digits fill 64 bits.
const MOST_DIGITS: usize = 16;
/// A trailer section may be so long, and have so many lines.
const MOST_TRAILER: usize = 16 * 1024;
const MOST_TRAILER_LINES: usize = 64;

/// Decodes a chunked body piece by piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkedDecoder {
    expects: Expects,
    extensions: usize,
    scanned_trailer: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    /// The first line of a chunk.
    Size,
    /// So many bytes more of a chunk's data.
    Data(u64),
    /// The CRLF after a chunk's data.
    DataEnd,
    /// What follows the last chunk.
    Trailer,
    /// Nothing.
    End,
}

impl ChunkedDecoder {
    pub(super) const fn new() -> Self {
        Self { expects: Expects::Size, extensions: 0, scanned_trailer: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.expects == Expects::End
    }

    pub(super) fn decode(&mut self, buf: &mut BytesMut) -> Result<Decoded, BodyError> {
        loop {
            match self.expects {
                Expects::Size => match self.size_line(buf)? {
                    None => return Ok(Decoded::NeedMore),
                    Some(0) => self.expects = Expects::Trailer,
                    Some(size) => self.expects = Expects::Data(size),
                },
                Expects::Data(_) if buf.is_empty() => return Ok(Decoded::NeedMore),
                Expects::Data(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
                    let left = left - taken as u64;
                    self.expects = if left == 0 { Expects::DataEnd } else { Expects::Data(left) };
                    return Ok(Decoded::Frame(Frame::Data(buf.split_to(taken).freeze())));
                }
                Expects::DataEnd => match buf[..] {
                    [b'\r', b'\n', ..] => {
                        buf.advance(2);
                        self.expects = Expects::Size;
                    }
                    [] | [b'\r'] => return Ok(Decoded::NeedMore),
                    _ => return Err(BodyError::Malformed("a chunk is not followed by CRLF")),
                },
                Expects::Trailer => match self.trailer(buf)? {
                    None => return Ok(Decoded::NeedMore),
                    Some(fields) => {
                        self.expects = Expects::End;
                        if !fields.is_empty() {
                            return Ok(Decoded::Frame(Frame::Trailers(fields)));
                        }
                    }
                },
                Expects::End => return Ok(Decoded::End),
            }
        }
    }

    /// Takes `chunk-size [ chunk-ext ] CRLF` and tells the size.
    fn size_line(&mut self, buf: &mut BytesMut) -> Result<Option<u64>, BodyError> {
        let window = &buf[..buf.len().min(MOST_SIZE_LINE)];
        let end = window.iter().position(|&byte| is_control(byte));
        let line = &window[..end.unwrap_or(window.len())];
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > MOST_DIGITS {
            return Err(BodyError::Malformed("a chunk's size is too large"));
        }
        if digits < line.len() && (digits == 0 || !is_extension(&line[digits..], end.is_some())) {
            return Err(BodyError::Malformed("a chunk's size is malformed"));
        }
        match end.map(|end| &window[end..]) {
            Some([b'\r', b'\n', ..]) if digits > 0 => {}
            Some([b'\r']) if digits > 0 && window.len() < MOST_SIZE_LINE => return Ok(None),
            None if window.len() < MOST_SIZE_LINE => return Ok(None),
            _ => return Err(BodyError::Malformed("a chunk's size line is malformed")),
        }
        self.extensions += line.len() - digits;
        if self.extensions > MOST_EXTENSIONS {
            return Err(BodyError::Malformed("the chunks have too many extensions"));
        }
        let size = line[..digits].iter().fold(0, |size, &digit| size << 4 | u64::from(hex_value(digit)));
        let length = line.len() + 2;
        buf.advance(length);
        Ok(Some(size))
    }

    /// Takes the trailer section with the empty line that ends it. Fields that must not stand there are left out.
    fn trailer(&mut self, buf: &mut BytesMut) -> Result<Option<Fields>, BodyError> {
        if buf.starts_with(b"\r\n") {
            buf.advance(2);
            return Ok(Some(Fields::new()));
        }
        let from = self.scanned_trailer.saturating_sub(3);
        let Some(end) = buf[from..].windows(4).position(|four| four == b"\r\n\r\n") else {
            if buf.len() > MOST_TRAILER {
                return Err(BodyError::Malformed("the trailer section is too large"));
            }
            self.scanned_trailer = buf.len();
            return Ok(None);
        };
        let section = buf.split_to(from + end + 4);
        let mut lines = [httparse::EMPTY_HEADER; MOST_TRAILER_LINES];
        let Ok(httparse::Status::Complete((length, lines))) = httparse::parse_headers(&section, &mut lines) else {
            return Err(BodyError::Malformed("the trailer section is malformed"));
        };
        let has_bare_lf = section.windows(2).any(|two| two[1] == b'\n' && two[0] != b'\r');
        if section.len() > MOST_TRAILER || length != section.len() || has_bare_lf {
            return Err(BodyError::Malformed("the trailer section is malformed"));
        }
        let mut fields = Fields::with_capacity(lines.len(), section.len());
        for line in lines.iter().filter(|line| !is_forbidden_trailer(line.name.as_bytes())) {
            fields.push(line.name, line.value);
        }
        Ok(Some(fields))
    }
}

/// Whether this can be `*( BWS ";" … )`. White space alone is no extension, but may become one while the line grows.
fn is_extension(rest: &[u8], is_whole: bool) -> bool {
    match rest.trim_ascii_start().first() {
        Some(first) => *first == b';',
        None => !is_whole,
    }
}

/// What ends a line, or has no place in it.
fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Writes the size line of a chunk of `length` bytes, which is not 0. The data and a CRLF follow.
pub fn begin_chunk(out: &mut Vec<u8>, length: usize) {
    debug_assert!(length > 0, "an empty chunk would end the body");
    // Writing to a Vec does not fail.
    let _ = write!(out, "{length:x}\r\n");
}

/// Writes a chunk. An empty one would end the body, so no data is nothing.
pub fn encode_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    begin_chunk(out, data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk and the trailer section, if there is one.
pub fn encode_end(out: &mut Vec<u8>, trailers: Option<&Fields>) {
    out.extend_from_slice(b"0\r\n");
    match trailers {
        Some(fields) => write_fields(out, fields),
        None => out.extend_from_slice(b"\r\n"),
    }
}
