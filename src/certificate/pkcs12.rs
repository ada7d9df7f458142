//! PKCS#12 files (RFC 7292) as trust service providers send them: today's, and those of RC2 and 3DES.

use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::words::Secret;

use super::key::check_pair;
use super::{CertificateError, Facts, PrivateKey};

/// What is in a PKCS#12 file: the certificate of its key, then as much of the chain as it holds; and the key.
///
/// The library keeps its own copy of the key for the time of the call, and does not wipe it.
pub fn read(
    file: &[u8],
    passphrase: Option<&Secret>,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKey), CertificateError> {
    let password = match passphrase {
        Some(passphrase) => passphrase.expose_str().ok_or(CertificateError::PassphraseNotText)?,
        None => "",
    };
    let archive = Pkcs12Archive::from_pkcs12(file, password).map_err(|error| failure(error, passphrase.is_some()))?;
    let mut certificates = Vec::new();
    for bag in &archive.certs {
        let der = bag.cert.as_der();
        certificates.push((Facts::of(der)?, CertificateDer::from(der.to_vec())));
    }
    if archive.keys.is_empty() {
        return Err(CertificateError::Pkcs12WithoutKey);
    }
    for bag in &archive.keys {
        let key = PrivateKey::from_pkcs8(Zeroizing::new(bag.key.as_der().to_vec()));
        let signing = key.signing_key()?;
        let leaf =
            certificates.iter().position(|(facts, _)| check_pair(&*signing, std::slice::from_ref(facts)).is_ok());
        if let Some(leaf) = leaf {
            return Ok((chain_from(leaf, certificates), key));
        }
    }
    Err(CertificateError::Pkcs12WithoutCertificate)
}

/// The leaf, its issuer, and so on, as far as the file goes. The order of bags means nothing.
fn chain_from(leaf: usize, mut rest: Vec<(Facts, CertificateDer<'static>)>) -> Vec<CertificateDer<'static>> {
    let (mut last, certificate) = rest.swap_remove(leaf);
    let mut chain = vec![certificate];
    while !last.is_self_issued()
        && let Some(next) = rest.iter().position(|(facts, _)| facts.subject == last.issuer)
    {
        let (facts, certificate) = rest.swap_remove(next);
        last = facts;
        chain.push(certificate);
    }
    chain
}

fn failure(error: Error, with_passphrase: bool) -> CertificateError {
    match error {
        // Without a MAC a wrong password shows as a broken padding or content.
        Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) | Error::InvalidPrivateKey => {
            if with_passphrase {
                CertificateError::WrongPassphrase
            } else {
                CertificateError::PassphraseMissing
            }
        }
        Error::UnsupportedEncryptionScheme | Error::UnsupportedMacAlgorithm => {
            CertificateError::UnsupportedEncryption(error.to_string())
        }
        Error::InvalidParameters => CertificateError::TooCostly,
        other => CertificateError::NotPkcs12(other.to_string()),
    }
}
