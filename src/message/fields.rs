//! Field lines (RFC 9110, section 5) in the order and the spelling in which they came.

use std::fmt;
use std::ops::Range;

use http::HeaderMap;

/// The field lines of a message's head or trailer section.
///
/// All text lies in one buffer, so that a head costs two allocations however many lines it has.
#[derive(Clone, Default)]
pub struct Fields {
    text: Vec<u8>,
    lines: Vec<Line>,
}

/// Where a line's name and value lie in the text.
#[derive(Clone, Debug)]
struct Line {
    name: Range<usize>,
    value: Range<usize>,
}

impl Line {
    fn is_named(&self, name: &str, text: &[u8]) -> bool {
        // Most names differ in length, and then nothing needs to be looked up.
        self.name.len() == name.len() && text[self.name.clone()].eq_ignore_ascii_case(name.as_bytes())
    }
}

impl Fields {
    /// No lines.
    pub fn new() -> Self {
        Self::default()
    }

    /// No lines yet, with room for `lines` lines of `bytes` bytes together.
    pub fn with_capacity(lines: usize, bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), lines: Vec::with_capacity(lines) }
    }

    /// No lines yet over a copy of a field section's text, for [`Self::push_range`] to name them; with room for more.
    pub(super) fn from_text(text: &[u8], spare_bytes: usize, lines: usize) -> Self {
        let mut fields = Self::with_capacity(lines, text.len() + spare_bytes);
        fields.text.extend_from_slice(text);
        fields
    }

    /// Adds a line whose name and value lie in the text already.
    pub(super) fn push_range(&mut self, name: Range<usize>, value: Range<usize>) {
        self.lines.push(Line { name, value });
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The lines, names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (&self.text[line.name.clone()], &self.text[line.value.clone()]))
    }

    /// The value of the first line of that name; names do not mind case (RFC 9110, section 5.1).
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.lines.iter().find(|line| line.is_named(name, &self.text)).map(|line| &self.text[line.value.clone()])
    }

    /// The values of all lines of that name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.lines.iter().filter(move |line| line.is_named(name, &self.text)).map(|line| &self.text[line.value.clone()])
    }

    /// Whether there is a line of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The comma-separated members of all lines of that name, trimmed, without empty ones (RFC 9110, section 5.6.1).
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|m| !m.is_empty())
    }

    /// Adds a line at the end. The caller answers for its syntax: a token, and no CR, LF or NUL.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = self.append(name.as_ref());
        let value = self.append(value.as_ref());
        self.lines.push(Line { name, value });
    }

    /// Gives the first line of that name this value, in its place and spelling, and removes the others; or adds one.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let Some(first) = self.lines.iter().position(|line| line.is_named(name, &self.text)) else {
            return self.push(name, value);
        };
        self.lines[first].value = self.append(value.as_ref());
        let text = &self.text;
        let mut index = 0;
        self.lines.retain(|line| {
            index += 1;
            index <= first + 1 || !line.is_named(name, text)
        });
    }

    /// Removes all lines of that name; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.lines.len();
        let text = &self.text;
        self.lines.retain(|line| !line.is_named(name, text));
        self.lines.len() < before
    }

    /// Keeps the lines that `keep` says yes to, in their order.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let text = &self.text;
        self.lines.retain(|line| keep(&text[line.name.clone()], &text[line.value.clone()]));
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        start..self.text.len()
    }
}

/// The lines of an HTTP/2 message. A map keeps the order in which names came, with lines of one name side by side.
impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Self {
        let mut fields = Self::with_capacity(map.len(), 32 * map.len());
        for (name, value) in map {
            fields.push(name, value);
        }
        fields
    }
}

/// Names only: values may be tokens, PSU data and signatures.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.push(name, value);
        }
        fields
    }

    fn lines(fields: &Fields) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields.iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn lines_keep_case_order_and_interleaving() {
        let given = [("X-a", "1"), ("x-B", "2"), ("X-A", "3")];
        let expected: Vec<_> = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(lines(&fields(&given)), expected);
    }

    #[test]
    fn names_are_found_in_any_case() {
        let fields = fields(&[("Digest", "a"), ("DIGEST", "b")]);
        assert_eq!(fields.get("digest"), Some(&b"a"[..]));
        assert_eq!(fields.get_all("digest").count(), 2);
    }

    #[test]
    fn setting_a_field_keeps_its_place_and_removes_the_others() {
        let mut some = fields(&[("A", "1"), ("Authorization", "old"), ("B", "2"), ("authorization", "older")]);
        some.set("authorization", "new");
        assert_eq!(lines(&some), lines(&fields(&[("A", "1"), ("Authorization", "new"), ("B", "2")])));
        some.set("C", "3");
        assert_eq!(some.len(), 4);
    }

    #[test]
    fn removing_keeps_the_order_of_the_rest() {
        let mut some = fields(&[("A", "1"), ("B", "2"), ("a", "3"), ("C", "4")]);
        assert!(some.remove("A"));
        assert!(!some.remove("A"));
        assert_eq!(lines(&some), lines(&fields(&[("B", "2"), ("C", "4")])));
    }

    #[test]
    fn a_list_is_split_at_commas_and_over_lines() {
        let some = fields(&[("Connection", "close, X-a,"), ("connection", " ,Y")]);
        assert_eq!(some.list("connection").collect::<Vec<_>>(), [&b"close"[..], b"X-a", b"Y"]);
    }

    #[test]
    fn debug_shows_names_and_no_value() {
        assert_eq!(format!("{:?}", fields(&[("Authorization", "Bearer secret")])), r#"["Authorization"]"#);
    }
}
