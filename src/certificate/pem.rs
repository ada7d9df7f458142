//! PEM files (RFC 7468) as people have them: several sections, text between them, RFC 1421 headers within.
//!
//! The content of plain sections is read by `rustls-pki-types`. It knows neither encrypted keys nor headers, so the
//! sections are told apart here.

use der::Decode;
use der::asn1::Any;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::Certificate;

use super::CertificateError;

/// One section.
pub(super) struct Section<'a> {
    /// What stands after `BEGIN`.
    pub(super) label: &'a str,
    /// The section with its first and last line.
    pub(super) whole: &'a [u8],
    /// What is between the first and the last line.
    pub(super) content: &'a [u8],
}

/// The certificates of a PEM file, in its order. Whether they parse is not looked at here.
pub fn chain(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let sections = sections(file)?;
    let certificates: Result<Vec<_>, _> = sections
        .iter()
        .filter(|section| section.label == "CERTIFICATE")
        .map(|section| CertificateDer::from_pem_slice(section.whole).map_err(|error| damaged(&error)))
        .collect();
    match certificates? {
        none if none.is_empty() => Err(CertificateError::NoCertificate(labels(&sections))),
        some => Ok(some),
    }
}

/// The sections of a file; never none. The errors tell a binary file from a text without PEM.
pub(super) fn sections(file: &[u8]) -> Result<Vec<Section<'_>>, CertificateError> {
    let mut sections = Vec::new();
    let mut rest = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    while let Some((begin, label, content)) = next_begin(rest) {
        let end = find(content, format!("-----END {label}-----").as_bytes())
            .ok_or_else(|| CertificateError::DamagedPem(format!("-----BEGIN {label}----- has no end")))?;
        let end_of_whole = rest.len() - content.len() + end + label.len() + "-----END -----".len();
        sections.push(Section { label, whole: &rest[begin..end_of_whole], content: &content[..end] });
        rest = &rest[end_of_whole..];
    }
    if sections.is_empty() {
        return Err(binary_kind(file).map_or(CertificateError::NotPem, CertificateError::Binary));
    }
    Ok(sections)
}

/// The labels of sections, for an error.
pub(super) fn labels(sections: &[Section<'_>]) -> String {
    let mut labels: Vec<&str> = sections.iter().map(|section| section.label).collect();
    labels.dedup();
    labels.join(", ")
}

/// What `rustls-pki-types` found wrong with a section. Its words hold nothing of the content.
pub(super) fn damaged(error: &rustls_pki_types::pem::Error) -> CertificateError {
    match error {
        rustls_pki_types::pem::Error::Base64Decode(_) => CertificateError::DamagedPem("it is not base64".to_owned()),
        _ => CertificateError::DamagedPem("a section is cut off".to_owned()),
    }
}

/// The next line `-----BEGIN LABEL-----`: where it starts, the label, and what follows the line.
fn next_begin(text: &[u8]) -> Option<(usize, &str, &[u8])> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let mut from = 0;
    loop {
        let begin = from + find(&text[from..], BEGIN)?;
        let after = &text[begin + BEGIN.len()..];
        let label = find(after, b"-----").and_then(|end| Some((std::str::from_utf8(&after[..end]).ok()?, end)));
        match label {
            Some((label, end)) if label.chars().all(|c| c.is_ascii_graphic() || c == ' ') => {
                return Some((begin, label, &after[end + 5..]));
            }
            _ => from = begin + BEGIN.len(),
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// What a binary file is, if it is one of those that people take for PEM.
fn binary_kind(file: &[u8]) -> Option<&'static str> {
    let first = Vec::<Any>::from_der(file).ok().and_then(|parts| parts.into_iter().next());
    // PFX begins with version 3 (RFC 7292, section 4), often in an encoding of indefinite length that is not DER.
    let is_pfx = first.is_some_and(|first| first.value() == [3]) || file.starts_with(&[0x30, 0x80, 2, 1, 3]);
    if is_pfx {
        Some("a PKCS#12 file")
    } else if Certificate::from_der(file).is_ok() {
        Some("a certificate")
    } else if PrivateKeyDer::try_from(file).is_ok() || pkcs8::EncryptedPrivateKeyInfoRef::try_from(file).is_ok() {
        Some("a private key")
    } else {
        None
    }
}
