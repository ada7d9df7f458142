//! PostgreSQL's password file, as its own clients read it (libpq, "The Password File").

use zeroize::Zeroizing;

use crate::words::Secret;

/// The password of the first line that fits: `host:port:database:user:password`, where `*` fits anything and a backslash
/// takes the meaning from a colon or backslash.
pub(super) fn password_for(file: &[u8], host: &str, port: u16, database: &str, user: &str) -> Option<Secret> {
    let port = port.to_string();
    let wanted = [host, &port, database, user];
    let lines = file.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.starts_with(b"#")).find_map(|line| {
        let fields = fields(line);
        let (password, names) = fields.split_last().filter(|(_, names)| names.len() == wanted.len())?;
        let fits = names.iter().zip(wanted).all(|(name, wanted)| ***name == *b"*" || ***name == *wanted.as_bytes());
        fits.then(|| Secret::new(password.as_slice()))
    })
}

/// The parts between colons. The fifth is all the rest.
fn fields(line: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut fields = vec![Zeroizing::new(Vec::with_capacity(line.len()))];
    let mut bytes = line.iter();
    while let Some(&byte) = bytes.next() {
        let byte = match byte {
            b':' if fields.len() < 5 => {
                fields.push(Zeroizing::new(Vec::with_capacity(line.len())));
                continue;
            }
            b'\\' => *bytes.next().unwrap_or(&b'\\'),
            byte => byte,
        };
        if let Some(field) = fields.last_mut() {
            field.push(byte);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] =
        b"# a comment:*:*:*:no\n\nother:*:*:*:theirs\r\nh\\:1:5432:d:u:first\n*:*:d:u:p:a\\:s\\\\s \nh:*:*:*:late";

    #[test]
    fn the_first_line_that_fits_counts() {
        for (host, database, password) in [
            ("other", "x", Some("theirs")),
            ("h:1", "d", Some("first")),
            ("h", "d", Some("p:a:s\\s ")),
            ("h2", "x", None),
        ] {
            let found = password_for(FILE, host, 5432, database, "u");
            assert_eq!(found.as_ref().and_then(Secret::expose_str), password, "{host}");
        }
    }

    #[test]
    fn what_is_no_password_file_has_no_password() {
        for file in [&b""[..], b"secret", b"h:5432:d:u", b"\\", b":::::", b"\xff:\xff"] {
            assert!(password_for(file, "h", 5432, "d", "u").is_none());
        }
    }
}
