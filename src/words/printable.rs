//! Text from outside as a terminal survives it.

/// `text` with control characters made visible: it comes from a file or a bank, and may end on a terminal.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}
