//! Why a certificate or key cannot be read, and what to do about it.

/// Each is a different mistake of a person, so each says a different thing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The bytes are no X.509 certificate.
    #[error("it is not an X.509 certificate ({0})")]
    NotACertificate(#[source] der::Error),
    /// A text without any PEM section, or something else altogether.
    #[error("it holds nothing in PEM form")]
    NotPem,
    /// The same where the private key is expected.
    #[error("it holds nothing in PEM form")]
    KeyNotPem,
    /// DER where PEM is expected.
    #[error("it is {0} in binary (DER) form, not PEM")]
    Binary(&'static str),
    /// A PEM section that is cut off or not base64.
    #[error("its PEM is damaged: {0}")]
    DamagedPem(String),
    /// PEM, but no certificate in it.
    #[error("it holds no certificate, only {0}")]
    NoCertificate(String),
    /// PEM, but no private key in it.
    #[error("it holds no private key, only {0}")]
    NoKey(String),
    /// A public key where the private one is expected.
    #[error("it holds a public key, not the private one")]
    PublicKey,
    /// OpenSSH's own form.
    #[error("the key is in OpenSSH's own form")]
    OpenSsh,
    /// The key is encrypted, and there is no passphrase.
    #[error("the key is encrypted, and no passphrase is given")]
    PassphraseMissing,
    /// The passphrase does not open it. A damaged file looks the same.
    #[error("the passphrase does not open it")]
    WrongPassphrase,
    /// PKCS#12 and the passphrase's text is not UTF-8.
    #[error("the passphrase is not UTF-8 text")]
    PassphraseNotText,
    /// An encryption that is not known here.
    #[error("it is encrypted in a way that is not supported: {0}")]
    UnsupportedEncryption(String),
    /// Decrypting it would take more time or memory than any honest file asks for.
    #[error("its key derivation asks for more work than is reasonable")]
    TooCostly,
    /// The key does not parse, or is of a kind or size that TLS does not take.
    #[error("the private key cannot be used: {0}")]
    UnusableKey(String),
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// The key belongs to a certificate of the chain that is not the first.
    #[error("the private key belongs to certificate {0} of the chain, not to the first")]
    LeafNotFirst(usize),
    /// The file is not PKCS#12.
    #[error("it is not a PKCS#12 file that can be read: {0}")]
    NotPkcs12(String),
    /// PKCS#12 without a key.
    #[error("the PKCS#12 file holds no private key")]
    Pkcs12WithoutKey,
    /// PKCS#12 whose certificates do not match its key.
    #[error("the PKCS#12 file holds no certificate for its private key")]
    Pkcs12WithoutCertificate,
}

impl CertificateError {
    /// What to do, without a full stop.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotACertificate(_) | Self::NotPem | Self::NoCertificate(_) => {
                "name a file with the certificate in PEM form (-----BEGIN CERTIFICATE-----), leaf first"
            }
            Self::Binary("a PKCS#12 file") => "name it with pkcs12 instead of certificate and private_key",
            Self::Binary("a certificate") => "convert it: openssl x509 -inform DER -in FILE -out qwac.pem",
            Self::Binary(_) => "convert it: openssl pkey -inform DER -in FILE -out qwac-key.pem",
            Self::DamagedPem(_) => "copy the file anew, whole, from where it came from",
            Self::NoKey(_) | Self::KeyNotPem => "name the file with -----BEGIN PRIVATE KEY----- or the like",
            Self::PublicKey => "name the file with the private key that the certificate was requested with",
            Self::OpenSsh => "convert it: ssh-keygen -p -m PKCS8 -f FILE",
            Self::PassphraseMissing => "give it in identity.passphrase",
            Self::WrongPassphrase => "give the right identity.passphrase; if it is right, the file is damaged",
            Self::PassphraseNotText => "give identity.passphrase as UTF-8",
            Self::UnsupportedEncryption(_) | Self::TooCostly => {
                "encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out qwac-key.pem"
            }
            Self::UnusableKey(_) => "use an RSA key of 2048 to 8192 bits, or one on P-256 or P-384",
            Self::KeyMismatch | Self::Pkcs12WithoutCertificate => {
                "bring the certificate and the key together that were made for each other"
            }
            Self::LeafNotFirst(_) => "put the leaf first, then the chain in order",
            Self::NotPkcs12(_) => "name the .p12 or .pfx file as the trust service provider sent it",
            Self::Pkcs12WithoutKey => "export it anew, with the private key",
        }
    }
}
