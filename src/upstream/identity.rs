//! From the configuration's identity to the certificate and key that TLS shows and signs with.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};

use crate::certificate::{CertificateError, Facts, Finding, PrivateKey, finding, key, pem};
use crate::config::{self, FileContent, IdentitySource, Place, Problem};
use crate::words::{Secret, Timestamp};

#[cfg(feature = "pkcs11")]
use super::hsm::Handshakes;

/// Who we are to a bank: a certificate chain, the key that it was made for, and what it says.
///
/// The key is behind `SigningKey`: whether it lies in memory or elsewhere is nobody's concern past this file.
#[derive(Clone)]
pub struct Identity {
    place: Place,
    key: Arc<CertifiedKey>,
    chain: Arc<[Facts]>,
    #[cfg(feature = "pkcs11")]
    handshakes: Option<Arc<Handshakes>>,
}

impl Identity {
    /// Reads and checks an identity. What is wrong with the files is an error; what a bank may not like about the
    /// certificate is added to `warnings`. What depends on the time is [`Identity::findings_at`].
    pub fn load(identity: &config::Identity, warnings: &mut Vec<Problem>) -> Result<Self, Vec<Problem>> {
        let loaded = match &identity.source {
            IdentitySource::Pem { certificate, private_key, passphrase } => {
                from_pem(certificate, private_key, passphrase.as_ref(), warnings)
            }
            IdentitySource::Pkcs12 { file, passphrase } => from_pkcs12(file, passphrase.as_ref()),
            IdentitySource::Pkcs11 { certificate, key } => from_pkcs11(certificate, key),
        };
        let loaded = loaded.map_err(|problem| vec![problem])?;
        let Loaded { place, certificates, chain, key, .. } = loaded;
        for finding in finding::of_chain(&chain) {
            warnings.push(Problem::warning(&place, finding.to_string(), finding.remedy()));
        }
        Ok(Self {
            place,
            key: Arc::new(CertifiedKey::new(certificates, key)),
            chain: chain.into(),
            #[cfg(feature = "pkcs11")]
            handshakes: loaded.handshakes,
        })
    }

    /// What the leaf says.
    pub fn facts(&self) -> &Facts {
        // `load` refuses an empty chain.
        &self.chain[0]
    }

    /// What the chain says, leaf first, as the bank will see it.
    pub fn chain(&self) -> &Arc<[Facts]> {
        &self.chain
    }

    /// What a bank may not like at this time: a certificate that is over, that is not valid yet, that ends soon.
    pub fn findings_at(&self, now: Timestamp) -> Vec<Finding> {
        finding::of_time(&self.chain, now)
    }

    /// [`Identity::findings_at`] as `check` tells them: an expired certificate is an error there.
    pub fn problems_at(&self, now: Timestamp) -> Vec<Problem> {
        let problem = |finding: Finding| {
            let make = if finding.is_fatal_for_check() { Problem::error } else { Problem::warning };
            make(&self.place, finding.to_string(), finding.remedy())
        };
        self.findings_at(now).into_iter().map(problem).collect()
    }

    /// SHA-256 of the leaf: a token that a bank binds to it names it so (RFC 8705, section 3.1).
    pub fn leaf_fingerprint(&self) -> &[u8; 32] {
        &self.facts().fingerprint
    }

    /// Whether banks see the same in both. The key is the one that the leaf was made for. What lies in an HSM may have
    /// another way there, so it is never taken for the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        #[cfg(feature = "pkcs11")]
        if self.handshakes.is_some() || other.handshakes.is_some() {
            return false;
        }
        self.key.cert == other.key.cert
    }

    /// Where its handshakes run, if not where they are asked for: with a key in an HSM, signing takes time.
    #[cfg(feature = "pkcs11")]
    pub(super) fn handshakes(&self) -> Option<&Arc<Handshakes>> {
        self.handshakes.as_ref()
    }

    /// What TLS needs.
    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("subject", &self.facts().subject).finish_non_exhaustive()
    }
}

/// An identity that is read and fits together.
struct Loaded {
    /// The key of the configuration that names the certificate.
    place: Place,
    certificates: Vec<CertificateDer<'static>>,
    chain: Vec<Facts>,
    key: Arc<dyn SigningKey>,
    #[cfg(feature = "pkcs11")]
    handshakes: Option<Arc<Handshakes>>,
}

impl Loaded {
    /// With a key in memory.
    fn in_memory(
        place: &Place,
        certificates: Vec<CertificateDer<'static>>,
        chain: Vec<Facts>,
        key: Arc<dyn SigningKey>,
    ) -> Self {
        Self {
            place: place.clone(),
            certificates,
            chain,
            key,
            #[cfg(feature = "pkcs11")]
            handshakes: None,
        }
    }
}

fn from_pem(
    certificate: &FileContent,
    private_key: &FileContent,
    passphrase: Option<&Secret>,
    warnings: &mut Vec<Problem>,
) -> Result<Loaded, Problem> {
    let certificates = pem::chain(&certificate.bytes).map_err(|error| problem(certificate, &error))?;
    let chain = facts(certificate, &certificates)?;
    let read = PrivateKey::from_pem(&private_key.bytes, passphrase).map_err(|error| problem(private_key, &error))?;
    if passphrase.is_some() && !read.was_encrypted() {
        let reason = format!("{} is not encrypted, though there is a passphrase for it", private_key.path.display());
        warnings.push(Problem::warning(&private_key.place, reason, "encrypt the key, or remove the passphrase"));
    }
    let key = read.signing_key().map_err(|error| problem(private_key, &error))?;
    key::check_pair(&*key, &chain).map_err(|error| {
        let both = format!("{} and {}: {error}", certificate.path.display(), private_key.path.display());
        Problem::error(&private_key.place, both, error.remedy())
    })?;
    Ok(Loaded::in_memory(&certificate.place, certificates, chain, key))
}

#[cfg(feature = "pkcs12")]
fn from_pkcs12(file: &FileContent, passphrase: Option<&Secret>) -> Result<Loaded, Problem> {
    let read = crate::certificate::pkcs12::read(&file.bytes, passphrase);
    let (certificates, key) = read.map_err(|error| problem(file, &error))?;
    let chain = facts(file, &certificates)?;
    let key = key.signing_key().map_err(|error| problem(file, &error))?;
    Ok(Loaded::in_memory(&file.place, certificates, chain, key))
}

#[cfg(not(feature = "pkcs12"))]
fn from_pkcs12(file: &FileContent, _passphrase: Option<&Secret>) -> Result<Loaded, Problem> {
    let remedy = "use a build with the feature pkcs12, or convert it to PEM with openssl pkcs12";
    Err(Problem::error(&file.place, "this build of bankside does not read PKCS#12", remedy))
}

#[cfg(feature = "pkcs11")]
fn from_pkcs11(certificate: &FileContent, key: &config::Pkcs11) -> Result<Loaded, Problem> {
    let certificates = pem::chain(&certificate.bytes).map_err(|error| problem(certificate, &error))?;
    let chain = facts(certificate, &certificates)?;
    let key = super::hsm::open(key, &chain)
        .map_err(|error| Problem::error(&key.place, format!("{}: {error}", key.module.display()), error.remedy()))?;
    let handshakes = Some(Arc::clone(key.handshakes()));
    Ok(Loaded { place: certificate.place.clone(), certificates, chain, key: Arc::new(key), handshakes })
}

#[cfg(not(feature = "pkcs11"))]
fn from_pkcs11(_certificate: &FileContent, key: &config::Pkcs11) -> Result<Loaded, Problem> {
    let remedy = "use a build with the feature pkcs11";
    Err(Problem::error(&key.place, "this build of bankside does not speak PKCS#11", remedy))
}

fn facts(file: &FileContent, certificates: &[CertificateDer<'static>]) -> Result<Vec<Facts>, Problem> {
    certificates.iter().map(|der| Facts::of(der).map_err(|error| problem(file, &error))).collect()
}

fn problem(file: &FileContent, error: &CertificateError) -> Problem {
    Problem::error(&file.place, format!("{}: {error}", file.path.display()), error.remedy())
}

#[cfg(test)]
mod tests;
