//! How the files that a configuration names are read: certificates, keys, roots, and secrets.

use std::path::PathBuf;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Map, Value as Json, json};
use zeroize::Zeroizing;

use super::reader::{Field, Located, Read, Reader};
use super::table::table;
use super::tree::{Node, Value};
use super::{FileContent, Place, Severity};
use crate::words::Secret;

/// Nothing that a configuration names is larger; a device or a log file named by mistake is not read to its end.
const LARGEST: u64 = 4 << 20;

impl Reader<'_> {
    /// Reads a file that is named at `place`.
    pub(super) fn file(&mut self, place: &Place, path: PathBuf) -> Option<FileContent> {
        let shown = path.display().to_string();
        self.file_shown_as(&shown, place, path)
    }

    fn file_shown_as(&mut self, shown: &str, place: &Place, path: PathBuf) -> Option<FileContent> {
        let content = read_bounded(&path);
        self.files.insert(path.clone());
        match content {
            Ok(bytes) => Some(FileContent { place: place.clone(), path, bytes: Arc::new(bytes) }),
            Err(error) => {
                self.error(place, format!("{shown} cannot be read: {error}"), "name a file that this user may read");
                None
            }
        }
    }

    /// The path that a node names.
    pub(super) fn path(&mut self, node: &Node) -> Option<PathBuf> {
        let text = String::read(node, self)?;
        Some(node.source.resolve(&text))
    }
}

/// A file's bytes, wiped where they end.
pub(super) fn read_bounded(path: &std::path::Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    use std::io::Read as _;

    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    // As large as needed at once: growing would leave copies of a key behind.
    let capacity = usize::try_from(metadata.len().min(LARGEST)).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(std::io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(bytes)
}

impl Read for FileContent {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let path = reader.path(node)?;
        reader.file(&node.place, path)
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// A PEM file with at least one certificate.
pub(super) struct Roots(pub(super) FileContent);

impl Read for Roots {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let file = FileContent::read(node, reader)?;
        let mut certificates = 0_usize;
        for certificate in CertificateDer::pem_slice_iter(&file.bytes) {
            if certificate.is_err() {
                let reason = format!("{} is not valid PEM", file.path.display());
                reader.error(&node.place, reason, "name a PEM file with certificates");
                return None;
            }
            certificates += 1;
        }
        if certificates == 0 {
            let reason = format!("{} has no certificate in it", file.path.display());
            reader.error(&node.place, reason, "name a PEM file with certificates");
            return None;
        }
        Some(Self(file))
    }

    fn schema(definitions: &mut Map<String, Json>) -> Json {
        FileContent::schema(definitions)
    }
}

/// The path of a file that need not be there yet.
pub(super) struct FilePath(pub(super) PathBuf);

impl Read for FilePath {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.path(node).map(Self)
    }

    fn schema(definitions: &mut Map<String, Json>) -> Json {
        FileContent::schema(definitions)
    }
}

/// Where a secret is, and how that is written: with its variables replaced it may be the secret itself, by mistake.
pub(super) struct Written<T> {
    pub(super) value: T,
    text: String,
}

impl<T: Read> Read for Written<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let value = T::read(node, reader)?;
        let Value::Text(text) = &node.value else { return None };
        Some(Self { value, text: text.to_string() })
    }

    fn schema(definitions: &mut Map<String, Json>) -> Json {
        T::schema(definitions)
    }
}

/// The value of a secret as it is written.
pub(super) struct Plain(Secret);

impl Read for Plain {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        if !node.source.built_in {
            let remedy = "write { file = \"…\" } or { env = \"…\" } unless it is a public test token";
            reader.warn(&node.place, "the secret stands in the configuration itself", remedy);
        }
        Some(Self(Secret::new(text.as_bytes())))
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

table! {
    /// A secret: exactly one of a file, an environment variable, and the value itself.
    RawSecret {
        /// A file; a newline at its end is not part of the secret.
        file: Written<FilePath>,
        /// The name of an environment variable.
        env: Written<String>,
        /// The secret itself: for public test tokens.
        value: Plain,
    }
}

impl RawSecret {
    /// Gets the secret from where it is.
    pub(super) fn resolve(self, place: &Place, reader: &mut Reader<'_>) -> Option<Secret> {
        let given = [self.file.is_absent(), self.env.is_absent(), self.value.is_absent()];
        if given.iter().filter(|absent| !**absent).count() != 1 {
            reader.error(place, "a secret has exactly one of `file`, `env` and `value`", "keep one of them");
            return None;
        }
        let secret = match self {
            Self { file: Field::Given(file), .. } => from_file(file, reader)?,
            Self { env: Field::Given(name), .. } => {
                let Located { place, value: Written { value: name, text } } = name;
                let Some(value) = reader.environment.variable(&name) else {
                    let (reason, remedy) = if text == name {
                        (format!("the environment variable `{name}` is not set"), "set it, or name another one")
                    } else {
                        let reason = format!("the environment variable that {text:?} names is not set");
                        (reason, "`env` is the name itself: write it without `${}`")
                    };
                    reader.error(&place, reason, remedy);
                    return None;
                };
                Secret::new(value)
            }
            Self { value: Field::Given(plain), .. } => plain.value.0,
            _ => return None,
        };
        if secret.is_empty() {
            reader.error(place, "the secret is empty", "give it a value, or leave the key out");
            return None;
        }
        if let Some(oddity) = oddity(secret.expose()) {
            let remedy = "where that is not meant, save the secret without it";
            reader.warn(place, format!("the secret {oddity}"), remedy);
        }
        Some(secret)
    }
}

/// What editors and clipboards leave in secrets, and nobody sees there.
fn oddity(secret: &[u8]) -> Option<&'static str> {
    const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
    let is_blank = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    if secret.starts_with(BYTE_ORDER_MARK) {
        return Some("begins with a byte order mark, which is part of it");
    }
    if secret.iter().any(u8::is_ascii_control) {
        return Some("has a line end, a tab or another control character in it");
    }
    (is_blank(secret.first()) || is_blank(secret.last())).then_some("begins or ends with a space, which is part of it")
}

fn from_file(file: Located<Written<FilePath>>, reader: &mut Reader<'_>) -> Option<Secret> {
    let Located { place, value: Written { value: FilePath(path), text } } = file;
    let shown = if text.contains("${") { text } else { path.display().to_string() };
    let file = reader.file_shown_as(&shown, &place, path)?;
    warn_if_open_to_all(&file, reader);
    let bytes = file.bytes.strip_suffix(b"\n").unwrap_or(&file.bytes);
    Some(Secret::new(bytes.strip_suffix(b"\r").unwrap_or(bytes)))
}

/// Warns of a file with a secret in it that every user of the machine can read.
pub(super) fn warn_if_open_to_all(file: &FileContent, reader: &mut Reader<'_>) {
    if mode_of(&file.path) & 0o004 != 0 {
        let reason = format!("every user of this machine may read {}", file.path.display());
        reader.warn(&file.place, reason, "take the right away: chmod o= FILE");
    }
}

/// A file's mode; nothing where it cannot be told.
pub(super) fn mode_of(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;

    std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode())
}

impl Read for Secret {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(node.value, Value::Table(_)) {
            let remedy = "write { file = \"…\" } or { env = \"…\" } ({ value = \"…\" } for public test tokens)";
            reader.wrong_type(node, "a secret", remedy);
            return None;
        }
        let noted = reader.problems.len();
        let raw = RawSecret::read(node, reader)?;
        // With a misspelt key in it, the lack of the right one goes without saying.
        let is_sound = reader.problems[noted..].iter().all(|problem| problem.severity == Severity::Warning);
        if is_sound { raw.resolve(&node.place, reader) } else { None }
    }

    fn schema(definitions: &mut Map<String, Json>) -> Json {
        RawSecret::schema(definitions)
    }
}
