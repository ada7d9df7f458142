//! The static and the dynamic table (RFC 7541, section 2.3).

use std::collections::VecDeque;

/// What a line costs in the dynamic table beside its text (RFC 7541, section 4.1).
const OVERHEAD: usize = 32;

/// The static table (RFC 7541, appendix A).
#[rustfmt::skip]
const STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""), (b":method", b"GET"), (b":method", b"POST"), (b":path", b"/"), (b":path", b"/index.html"),
    (b":scheme", b"http"), (b":scheme", b"https"), (b":status", b"200"), (b":status", b"204"), (b":status", b"206"),
    (b":status", b"304"), (b":status", b"400"), (b":status", b"404"), (b":status", b"500"), (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"), (b"accept-language", b""), (b"accept-ranges", b""), (b"accept", b""),
    (b"access-control-allow-origin", b""), (b"age", b""), (b"allow", b""), (b"authorization", b""),
    (b"cache-control", b""), (b"content-disposition", b""), (b"content-encoding", b""), (b"content-language", b""),
    (b"content-length", b""), (b"content-location", b""), (b"content-range", b""), (b"content-type", b""),
    (b"cookie", b""), (b"date", b""), (b"etag", b""), (b"expect", b""), (b"expires", b""), (b"from", b""),
    (b"host", b""), (b"if-match", b""), (b"if-modified-since", b""), (b"if-none-match", b""), (b"if-range", b""),
    (b"if-unmodified-since", b""), (b"last-modified", b""), (b"link", b""), (b"location", b""),
    (b"max-forwards", b""), (b"proxy-authenticate", b""), (b"proxy-authorization", b""), (b"range", b""),
    (b"referer", b""), (b"refresh", b""), (b"retry-after", b""), (b"server", b""), (b"set-cookie", b""),
    (b"strict-transport-security", b""), (b"transfer-encoding", b""), (b"user-agent", b""), (b"vary", b""),
    (b"via", b""), (b"www-authenticate", b""),
];

/// Both tables. The dynamic one keeps its text in one buffer, so that lines that come and go cost no allocation.
#[derive(Debug)]
pub(super) struct Table {
    /// Where each line lies in the text, the newest first.
    lines: VecDeque<Line>,
    text: Vec<u8>,
    /// The lines' size as the standard counts it.
    size: usize,
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    start: usize,
    name: usize,
    value: usize,
}

impl Line {
    fn size(self) -> usize {
        self.name + self.value + OVERHEAD
    }
}

impl Table {
    /// An empty table of at most `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { lines: VecDeque::new(), text: Vec::new(), size: 0, most }
    }

    /// The line of that index, from 1.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let index = index.checked_sub(1)?;
        if let Some(line) = STATIC.get(index) {
            return Some(*line);
        }
        let line = self.lines.get(index - STATIC.len())?;
        let (name, value) = self.text[line.start..line.start + line.name + line.value].split_at(line.name);
        Some((name, value))
    }

    /// Changes how much it may hold.
    pub(super) fn resize(&mut self, most: usize) {
        self.most = most;
        self.shrink_to(most);
    }

    /// Adds a line; one that has no room empties the table (RFC 7541, section 4.4).
    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        let line = Line { start: 0, name: name.len(), value: value.len() };
        if line.size() > self.most {
            return self.shrink_to(0);
        }
        self.shrink_to(self.most - line.size());
        self.compact();
        let line = Line { start: self.text.len(), ..line };
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
        self.size += line.size();
        self.lines.push_front(line);
    }

    fn shrink_to(&mut self, size: usize) {
        while self.size > size
            && let Some(line) = self.lines.pop_back()
        {
            self.size -= line.size();
        }
    }

    /// Gives up the text of lines that have gone, once it is more than what the table may hold.
    fn compact(&mut self) {
        let dead = self.lines.back().map_or(self.text.len(), |line| line.start);
        if dead > self.most {
            self.text.drain(..dead);
            for line in &mut self.lines {
                line.start -= dead;
            }
        }
    }
}
