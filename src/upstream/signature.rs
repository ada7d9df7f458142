//! Signatures of messages that are no handshakes, by the identity's key wherever it lies.

use std::io;
use std::time::Duration;

use rustls::SignatureScheme;
use rustls::sign::Signer;
use tokio::time::timeout;

use crate::config::{Bank, ClientAuth, Problem, SigningAlgorithm};

use super::Identity;

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The key can do none that may be.
    #[error("the identity's key, {key}, does not sign with {wanted}")]
    Unfit {
        /// The kind of key.
        key: String,
        /// The algorithm that is wanted, or several.
        wanted: String,
    },
    /// The key, or the HSM that it lies in, says no.
    #[error("the identity's key did not sign")]
    Failed(#[source] rustls::Error),
    /// What signs has ended.
    #[error("nothing signs any more")]
    Ended(#[source] io::Error),
    /// It took too long.
    #[error("the identity's key did not sign within {} ms", .0.as_millis())]
    Late(Duration),
}

impl Identity {
    /// The algorithm of JWS that messages are signed with: the wanted one, else the first that the key can do.
    pub fn signing_algorithm(&self, wanted: Option<SigningAlgorithm>) -> Result<SigningAlgorithm, SignatureError> {
        self.signer(wanted).map(|(algorithm, _)| algorithm)
    }

    /// Signs a message. The signature is as TLS has it: ECDSA's numbers are in DER (RFC 8446, section 4.2.3).
    ///
    /// An HSM takes its time, so it signs where its handshakes do, and nobody else waits; its threads are few, so
    /// `patience` counts from here.
    pub async fn sign(
        &self,
        algorithm: SigningAlgorithm,
        message: Vec<u8>,
        patience: Duration,
    ) -> Result<Vec<u8>, SignatureError> {
        let (_, signer) = self.signer(Some(algorithm))?;
        let signing = self.where_it_signs(async move { Ok(signer.sign(&message)) });
        let outcome = timeout(patience, signing).await.map_err(|_| SignatureError::Late(patience))?;
        outcome.map_err(SignatureError::Ended)?.map_err(SignatureError::Failed)
    }

    /// Runs this where signatures take nobody's time.
    async fn where_it_signs<T: Send + 'static>(
        &self,
        work: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        #[cfg(feature = "pkcs11")]
        if let Some(threads) = self.handshakes() {
            return threads.run(work).await;
        }
        work.await
    }

    /// Why this bank's client assertions could not be signed.
    pub(super) fn assertion_problem(&self, bank: &Bank) -> Option<Problem> {
        let ClientAuth::PrivateKeyJwt(assertion) = &bank.grant_type.token_endpoint()?.client_auth else { return None };
        let error = self.signing_algorithm(assertion.algorithm).err()?;
        let able = SigningAlgorithm::ALL.into_iter().filter(|able| self.signing_algorithm(Some(*able)).is_ok());
        let able: Vec<_> = able.map(SigningAlgorithm::name).collect();
        let remedy = match able.as_slice() {
            [] => "choose another oauth.client_auth".to_owned(),
            able => format!("the key can do {}; or choose another oauth.client_auth", able.join(" and ")),
        };
        Some(Problem::error(&assertion.place, error.to_string(), remedy))
    }

    fn signer(&self, wanted: Option<SigningAlgorithm>) -> Result<(SigningAlgorithm, Box<dyn Signer>), SignatureError> {
        let wanted = wanted.map_or(SigningAlgorithm::ALL.to_vec(), |wanted| vec![wanted]);
        let key = self.certified_key();
        let found =
            wanted.iter().find_map(|algorithm| Some((*algorithm, key.key.choose_scheme(&[scheme(*algorithm)])?)));
        found.ok_or_else(|| {
            let names: Vec<_> = wanted.iter().map(|algorithm| algorithm.name()).collect();
            SignatureError::Unfit { key: self.facts().key.to_string(), wanted: names.join(", ") }
        })
    }
}

/// An algorithm of JWS as TLS 1.3 names it: there, too, a curve goes with one hash (RFC 8446, section 4.2.3), and the
/// salt of PSS is as long as the hash (RFC 7518, section 3.5).
fn scheme(algorithm: SigningAlgorithm) -> SignatureScheme {
    match algorithm {
        SigningAlgorithm::Es256 => SignatureScheme::ECDSA_NISTP256_SHA256,
        SigningAlgorithm::Es384 => SignatureScheme::ECDSA_NISTP384_SHA384,
        SigningAlgorithm::Es512 => SignatureScheme::ECDSA_NISTP521_SHA512,
        SigningAlgorithm::EdDsa => SignatureScheme::ED25519,
        SigningAlgorithm::Ps256 => SignatureScheme::RSA_PSS_SHA256,
        SigningAlgorithm::Rs256 => SignatureScheme::RSA_PKCS1_SHA256,
    }
}
