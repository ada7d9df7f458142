//! Field lines as literals, without the table and without Huffman's code.

use super::integer;

/// Whether a value may be put into a table further on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensitivity {
    /// It may; we do not.
    Usual,
    /// It must never be (RFC 7541, section 7.1.3): a token.
    NeverIndexed,
}

/// Says that no table is used, ever: the first thing on a connection. Whatever limit the other side sets later then
/// needs no answer (RFC 7541, section 4.2).
pub fn write_no_table(out: &mut Vec<u8>) {
    integer::write(out, 0x20, 5, 0);
}

/// A line of the static table.
pub fn write_indexed(out: &mut Vec<u8>, index: usize) {
    integer::write(out, 0x80, 7, index);
}

/// A line whose name is that of the static table's line `index`.
pub fn write_named(out: &mut Vec<u8>, index: usize, value: &[u8], sensitivity: Sensitivity) {
    let pattern = pattern(sensitivity);
    integer::write(out, pattern, 4, index);
    write_string(out, value);
}

/// A line. The name is written in lower case (RFC 9113, section 8.2).
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8], sensitivity: Sensitivity) {
    out.push(pattern(sensitivity));
    integer::write(out, 0, 7, name.len());
    let start = out.len();
    out.extend_from_slice(name);
    out[start..].make_ascii_lowercase();
    write_string(out, value);
}

fn pattern(sensitivity: Sensitivity) -> u8 {
    match sensitivity {
        Sensitivity::Usual => 0,
        Sensitivity::NeverIndexed => 0x10,
    }
}

fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    integer::write(out, 0, 7, text.len());
    out.extend_from_slice(text);
}
