//! The ways in which private keys are encrypted: PBES2, PKCS#12's own in PKCS#8, and OpenSSL's traditional one.

use aes::{Aes128, Aes192, Aes256};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, Sequence, Tag, Tagged};
use des::TdesEde3;
use md5::{Digest, Md5};
use pkcs8::pkcs5;
use pkcs8::pkcs5::pbes2::{self, Kdf};
use zeroize::Zeroizing;

use crate::words::{Secret, printable};

use super::CertificateError;
use super::pem::Section;

/// More iterations than any tool writes by itself; a minute of work at most.
const MOST_ITERATIONS: u32 = 20_000_000;
/// More memory than any tool asks scrypt for by itself, in bytes.
const MOST_MEMORY: u64 = 1 << 30;

/// RFC 5958, section 3.
#[derive(Sequence)]
struct EncryptedKey<'a> {
    algorithm: Algorithm<'a>,
    data: &'a OctetStringRef,
}

#[derive(Sequence)]
struct Algorithm<'a> {
    oid: ObjectIdentifier,
    #[asn1(optional = "true")]
    parameters: Option<AnyRef<'a>>,
}

/// The content of an `ENCRYPTED PRIVATE KEY` section: a key in PKCS#8.
pub(super) fn pkcs8(
    section: &Section<'_>,
    passphrase: Option<&Secret>,
) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let der = base64_content(section.content)?;
    let key = EncryptedKey::from_der(&der).map_err(|error| CertificateError::DamagedPem(error.to_string()))?;
    let passphrase = passphrase.ok_or(CertificateError::PassphraseMissing)?;
    let plain = match key.algorithm.oid {
        pbes2::PBES2_OID => pbes2_decrypt(&key, passphrase)?,
        #[cfg(feature = "pkcs12")]
        pkcs12_pbe::SHA1_3DES => pkcs12_pbe::decrypt(&key, passphrase)?,
        other => return Err(CertificateError::UnsupportedEncryption(other.to_string())),
    };
    sequence(plain)
}

fn pbes2_decrypt(key: &EncryptedKey<'_>, passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let damaged = |error: der::Error| CertificateError::DamagedPem(error.to_string());
    let parameters = key.algorithm.parameters.ok_or_else(|| damaged(Tag::Sequence.value_error().into()))?;
    let parameters: pbes2::Parameters = parameters.decode_as().map_err(|_| {
        CertificateError::UnsupportedEncryption("an unknown key derivation or cipher in PBES2".to_owned())
    })?;
    let honest = match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count <= MOST_ITERATIONS,
        Kdf::Scrypt(scrypt) => {
            let memory = scrypt.cost_parameter.saturating_mul(u64::from(scrypt.block_size)).saturating_mul(128);
            memory <= MOST_MEMORY && scrypt.parallelization <= 16
        }
        _ => true,
    };
    if !honest {
        return Err(CertificateError::TooCostly);
    }
    match parameters.decrypt(passphrase.expose(), key.data.as_bytes()) {
        Ok(plain) => Ok(Zeroizing::new(plain)),
        Err(pkcs5::Error::DecryptFailed) => Err(CertificateError::WrongPassphrase),
        Err(other) => Err(CertificateError::UnsupportedEncryption(other.to_string())),
    }
}

/// `pbeWithSHAAnd3-KeyTripleDES-CBC` (RFC 7292, appendix C), which older tools also use outside of PKCS#12.
#[cfg(feature = "pkcs12")]
mod pkcs12_pbe {
    use ::pkcs12::kdf::{Pkcs12KeyType, derive_key_utf8};
    use sha1::Sha1;

    use super::{
        CertificateError, EncryptedKey, MOST_ITERATIONS, ObjectIdentifier, OctetStringRef, Secret, Sequence, TdesEde3,
        Zeroizing, cbc_decrypt,
    };

    pub(super) const SHA1_3DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3");

    #[derive(Sequence)]
    struct Parameters<'a> {
        salt: &'a OctetStringRef,
        iterations: u32,
    }

    pub(super) fn decrypt(key: &EncryptedKey<'_>, passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
        let parameters: Option<Parameters<'_>> = key.algorithm.parameters.and_then(|any| any.decode_as().ok());
        let parameters = parameters.ok_or_else(|| CertificateError::DamagedPem("it lacks parameters".to_owned()))?;
        let rounds = i32::try_from(parameters.iterations.min(MOST_ITERATIONS + 1)).unwrap_or(i32::MAX);
        if parameters.iterations > MOST_ITERATIONS {
            return Err(CertificateError::TooCostly);
        }
        let text = passphrase.expose_str().ok_or(CertificateError::PassphraseNotText)?;
        let derive = |kind, length| {
            derive_key_utf8::<Sha1>(text, parameters.salt.as_bytes(), kind, rounds, length)
                .map(Zeroizing::new)
                .map_err(|_| CertificateError::PassphraseNotText)
        };
        let (secret, iv) = (derive(Pkcs12KeyType::EncryptionKey, 24)?, derive(Pkcs12KeyType::Iv, 8)?);
        cbc_decrypt::<TdesEde3>(&secret, &iv, Zeroizing::new(key.data.as_bytes().to_vec()))
    }
}

/// What the headers of a traditionally encrypted section say (RFC 1421, sections 4.6.1.1 and 4.6.1.3), and its content.
pub(super) struct Dek {
    cipher: String,
    iv: Vec<u8>,
    data: Zeroizing<Vec<u8>>,
}

/// The section's encryption, if it has one.
pub(super) fn dek_info(section: &Section<'_>) -> Result<Option<Dek>, CertificateError> {
    let text = String::from_utf8_lossy(section.content);
    let text = Zeroizing::new(text.into_owned());
    let (headers, body): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.contains(':'));
    if headers.is_empty() {
        return Ok(None);
    }
    let damaged = || CertificateError::DamagedPem("its DEK-Info is malformed".to_owned());
    let info = headers.iter().find_map(|line| line.strip_prefix("DEK-Info:")).ok_or_else(damaged)?;
    let (cipher, iv) = info.trim().split_once(',').ok_or_else(damaged)?;
    let iv = unhex(iv.trim()).ok_or_else(damaged)?;
    let body = Zeroizing::new(body.concat());
    Ok(Some(Dek { cipher: cipher.trim().to_ascii_uppercase(), iv, data: base64_content(body.as_bytes())? }))
}

/// Decrypts what OpenSSL's `EVP_BytesToKey` with MD5 and the first 8 bytes of the IV as salt had encrypted.
pub(super) fn traditional(dek: &Dek, passphrase: Option<&Secret>) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    type Decrypt = fn(&[u8], &[u8], Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, CertificateError>;
    let (decrypt, key_length, iv_length): (Decrypt, usize, usize) = match dek.cipher.as_str() {
        "AES-128-CBC" => (cbc_decrypt::<Aes128>, 16, 16),
        "AES-192-CBC" => (cbc_decrypt::<Aes192>, 24, 16),
        "AES-256-CBC" => (cbc_decrypt::<Aes256>, 32, 16),
        "DES-EDE3-CBC" => (cbc_decrypt::<TdesEde3>, 24, 8),
        other => return Err(CertificateError::UnsupportedEncryption(printable(other))),
    };
    if dek.iv.len() != iv_length {
        return Err(CertificateError::DamagedPem("its DEK-Info is malformed".to_owned()));
    }
    let passphrase = passphrase.ok_or(CertificateError::PassphraseMissing)?;
    let key = bytes_to_key(passphrase.expose(), &dek.iv[..8], key_length);
    sequence(decrypt(&key, &dek.iv, dek.data.clone())?)
}

fn bytes_to_key(passphrase: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    while key.len() < length {
        let previous = key.len().saturating_sub(16);
        let block = Md5::new().chain_update(&key[previous..]).chain_update(passphrase).chain_update(salt).finalize();
        key.extend_from_slice(&block);
    }
    key.truncate(length);
    key
}

fn cbc_decrypt<C: BlockCipherDecrypt + KeyInit>(
    key: &[u8],
    iv: &[u8],
    mut data: Zeroizing<Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let cipher =
        Decryptor::<C>::new_from_slices(key, iv).map_err(|error| CertificateError::DamagedPem(error.to_string()))?;
    let length = cipher.decrypt_padded::<Pkcs7>(&mut data).map_err(|_| CertificateError::WrongPassphrase)?.len();
    data.truncate(length);
    Ok(data)
}

/// Padding is right by chance once in 256 wrong passphrases; a whole DER sequence never is.
fn sequence(plain: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    match AnyRef::from_der(&plain) {
        Ok(any) if any.tag() == Tag::Sequence => Ok(plain),
        _ => Err(CertificateError::WrongPassphrase),
    }
}

fn base64_content(content: &[u8]) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let digits: Vec<u8> = content.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    LENIENT.decode(digits).map(Zeroizing::new).map_err(|_| CertificateError::DamagedPem("it is not base64".to_owned()))
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
