//! The path of a request target, and whether a rule about paths may rely on it.

use std::borrow::Cow;

/// The path without its query.
pub(super) fn path_only(path_and_query: &[u8]) -> &[u8] {
    let end = path_and_query.iter().position(|&byte| byte == b'?').unwrap_or(path_and_query.len());
    &path_and_query[..end]
}

/// Whether the bank could take this path for another one than it spells: then no rule may rely on it.
///
/// Servers differ in whether they decode before they resolve dots, collapse empty segments, cut `;parameters`, or take
/// a backslash for a slash.
pub(super) fn is_ambiguous(path: &[u8]) -> bool {
    let Some(path) = path.strip_prefix(b"/") else {
        return true;
    };
    let mut segments = path.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if (segment.is_empty() && !is_last) || is_ambiguous_segment(segment) {
            return true;
        }
    }
    false
}

/// What a careless server may look at of a segment: whatever the case of its letters, escaped or not, without dots and
/// spaces at its end.
pub(super) fn folded(segment: &[u8]) -> Cow<'_, [u8]> {
    let is_folded = |byte: &u8| byte.is_ascii() && !byte.is_ascii_uppercase() && *byte != b'%';
    if segment.iter().all(is_folded) && !segment.ends_with(b".") && !segment.ends_with(b" ") {
        return segment.into();
    }
    let decoded: Vec<u8> = percent_encoding::percent_decode(segment).collect();
    // First to capitals: some letters beyond ASCII have a capital within it.
    let folded = String::from_utf8_lossy(&decoded).to_uppercase().to_lowercase();
    folded.trim_end_matches(['.', ' ']).as_bytes().to_vec().into()
}

fn is_ambiguous_segment(segment: &[u8]) -> bool {
    is_dots(segment)
        || !is_plain_text_when_decoded(segment)
        || segment.iter().any(|&byte| matches!(byte, b'\\' | b';' | b'#') || !byte.is_ascii_graphic())
        || segment
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'%')
            .any(|(at, _)| escape(&segment[at + 1..]).is_none_or(is_ambiguous_when_decoded))
}

/// Whether there is nothing but dots, and spaces, which some servers cut off at the end: `.`, `..`, and what some take
/// for them.
fn is_dots(segment: &[u8]) -> bool {
    !segment.is_empty() && percent_encoding::percent_decode(segment).all(|byte| matches!(byte, b'.' | b' '))
}

/// Overlong sequences (RFC 3629, section 10) are how slashes and dots got past checks, and so are characters that some
/// servers turn into them.
fn is_plain_text_when_decoded(segment: &[u8]) -> bool {
    !segment.contains(&b'%')
        || percent_encoding::percent_decode(segment)
            .decode_utf8()
            .is_ok_and(|text| text.is_ascii() || !text.chars().any(is_look_alike))
}

/// Characters that become ASCII where a server normalizes (NFKC) or fits text into an older character set: slashes,
/// dots and percent signs of other widths, letters in other shapes. And those that cannot be seen, which some leave out.
fn is_look_alike(char: char) -> bool {
    matches!(char,
        // Controls; no-break space, soft hyphen, ordinals and superscripts.
        '\u{80}'..='\u{a0}' | '\u{aa}' | '\u{ad}' | '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{ba}'
        // Letters above and long s; strokes that are laid over a character.
        | '\u{17f}' | '\u{2b0}'..='\u{2b8}' | '\u{2e0}'..='\u{2e3}' | '\u{337}' | '\u{338}' | '\u{34f}' | '\u{61c}'
        // Spaces, dots, fraction slash, superscripts and subscripts, letterlike symbols, number forms.
        | '\u{2000}'..='\u{209f}' | '\u{2100}'..='\u{218f}'
        // Slashes of mathematics, and what is circled.
        | '\u{2215}' | '\u{2216}' | '\u{2460}'..='\u{24ff}' | '\u{27cb}' | '\u{27cd}' | '\u{29f5}' | '\u{29f8}' | '\u{29f9}'
        // Ideographic space and full stop; small, half-width and full-width forms.
        | '\u{3000}' | '\u{3002}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe10}'..='\u{fe19}' | '\u{fe30}'..='\u{fe6f}'
        | '\u{feff}' | '\u{ff00}'..='\u{ffef}'
        // Letters of mathematics, what is enclosed, and tags.
        | '\u{1d400}'..='\u{1d7ff}' | '\u{1f100}'..='\u{1f1ff}' | '\u{e0000}'..='\u{e01ef}')
}

/// The octet that two hexadecimal digits stand for.
fn escape(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| digits.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// Unreserved characters need no escape (RFC 3986, section 2.3), so whoever escapes one hides it; the others are
/// delimiters that a second decoding would bring to life.
fn is_ambiguous_when_decoded(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(octet, b'-' | b'.' | b'_' | b'~' | b'/' | b'\\' | b'%' | b';' | b'?' | b'#')
        || octet.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_not_part_of_the_path() {
        assert_eq!(path_only(b"/a?b?c"), b"/a");
        assert_eq!(path_only(b"/a"), b"/a");
    }

    #[test]
    fn plain_paths_are_not_ambiguous() {
        for path in [
            "/",
            "/v1/accounts",
            "/v1/accounts/",
            "/a/b%20c",
            "/a:b@c",
            "/%C3%A4",
            "/%E6%97%A5%E6%9C%AC",
            "/.well-known/x",
            "/a..b",
        ] {
            assert!(!is_ambiguous(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn paths_that_a_server_may_read_in_two_ways_are_ambiguous() {
        for path in [
            "",
            "*",
            "v1",
            "//v1",
            "/a//b",
            "/./a",
            "/a/..",
            "/a/../b",
            "/%2e%2e/a",
            "/.../a",
            "/a/..%20/b",
            "/%20/a",
            "/a%2Fb",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/p%61yments",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a;b",
            "/a%3Bb",
            "/a%00",
            "/a%252e",
            "/a b",
            "/a#b",
            "/\u{e4}",
            "/a%c0%af",
            "/%c0%ae%c0%ae/a",
            "/a%e0%80%af",
            "/a%ff",
            "/a%EF%BC%8Fb",
            "/a%e2%88%95b",
            "/a%E2%81%84b",
            "/a%EF%BC%BCb",
            "/%EF%BC%8E%EF%BC%8E/a",
            "/%E2%80%A5/a",
            "/a%EF%BC%852fb",
            "/%EF%BD%90ayments",
            "/pay%C2%ADments",
            "/pay%E2%80%8Bments",
            "/a%C2%85b",
        ] {
            assert!(is_ambiguous(path.as_bytes()), "{path}");
        }
    }
}
