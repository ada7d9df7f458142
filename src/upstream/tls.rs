//! The TLS configuration towards one bank, built as a whole and never changed.

mod crypto;

use std::fmt;
use std::sync::Arc;

use rustls::client::{Resumption, UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use crate::certificate::{Facts, Role, finding};
use crate::config::{self, Alpn, Bank, Problem, TlsVersion};

use super::identity::Identity;
use super::probe::witness::{Resolver, Verifier, Witness};
use super::roots;
use super::wire::Life;

pub(super) use crypto::provider;
use crypto::{client_provider, versions};

/// TLS towards one bank: who we are, whom we trust, which versions and protocols.
///
/// Sessions to resume are kept here and so end with it: a resumed session would show the bank an old certificate.
pub struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    identity: Option<Identity>,
    /// Whom we trust.
    roots: Arc<RootCertStore>,
    min_version: TlsVersion,
    life: Life,
}

/// How many sessions are kept. The library takes 8 for each name, and a client talks to a few: API, OAuth.
const SESSIONS: usize = 4 * 8;

impl TlsClient {
    /// Reads and checks the bank's identity and roots as a whole. What is only worth knowing is added to `warnings`.
    pub fn build(bank: &Bank, warnings: &mut Vec<Problem>) -> Result<Self, Vec<Problem>> {
        let client = Self::new(&bank.tls, bank.identity.as_ref(), warnings)?;
        warnings.extend(client.facts().into_iter().flat_map(|leaf| missing_roles(bank, leaf)));
        client.assertion_problem(bank).map_or(Ok(client), |problem| Err(vec![problem]))
    }

    /// As [`TlsClient::build`], from the parts of a bank that matter. An identity is not shown where
    /// `client_certificate` is false.
    pub fn new(
        tls: &config::Tls,
        identity: Option<&config::Identity>,
        warnings: &mut Vec<Problem>,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let roots = roots::roots(tls, &mut problems);
        let server_name = tls.server_name.as_ref().and_then(|name| {
            let parsed = ServerName::try_from(name.clone());
            if parsed.is_err() {
                let reason = format!("{name:?} is neither a host name nor an address");
                problems.push(Problem::error(&tls.place, reason, "give the name that the bank's certificate has"));
            }
            parsed.ok()
        });
        let identity = identity
            .filter(|_| tls.client_certificate)
            .and_then(|identity| Identity::load(identity, warnings).map_err(|more| problems.extend(more)).ok());
        if !problems.is_empty() {
            return Err(problems);
        }
        let config = client_config(tls, Arc::clone(&roots), identity.as_ref()).map_err(|error| {
            vec![Problem::error(&tls.place, format!("TLS cannot be set up: {error}"), "see tls.min_version")]
        })?;
        let (config, min_version, life) = (Arc::new(config), tls.min_version, Life::default());
        Ok(Self { config, server_name, identity, roots, min_version, life })
    }

    /// Whether its connections are like those of `other`: the same identity, trust, versions and protocols.
    pub fn is_like(&self, other: &Self) -> bool {
        let is_same_identity = match (&self.identity, &other.identity) {
            (Some(own), Some(other)) => own.is_like(other),
            (None, None) => true,
            _ => false,
        };
        is_same_identity
            && self.server_name == other.server_name
            && self.min_version == other.min_version
            && self.config.alpn_protocols == other.config.alpn_protocols
            && self.roots.roots == other.roots.roots
    }

    /// Who we are to this bank, if we say so at all.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// What our leaf says.
    pub fn facts(&self) -> Option<&Facts> {
        self.identity.as_ref().map(Identity::facts)
    }

    /// SHA-256 of our leaf: a changed one means that tokens bound to the former are of no use (RFC 8705, section 3).
    pub fn leaf_fingerprint(&self) -> Option<&[u8; 32]> {
        self.identity.as_ref().map(Identity::leaf_fingerprint)
    }

    /// The same, with somebody who notes what banks show and ask for, and with no sessions to resume.
    pub(super) fn observed(&self, witness: &Arc<Witness>) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::disabled();
        let resolver = Resolver { inner: Arc::clone(&config.client_auth_cert_resolver), witness: Arc::clone(witness) };
        config.client_auth_cert_resolver = Arc::new(resolver);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&self.roots), provider()).build();
        // It fails without roots only, which `new` refuses.
        if let Ok(inner) = verifier {
            let verifier = Verifier { inner, witness: Arc::clone(witness) };
            config.dangerous().set_certificate_verifier(Arc::new(verifier));
        }
        Self {
            config: Arc::new(config),
            server_name: self.server_name.clone(),
            identity: self.identity.clone(),
            roots: Arc::clone(&self.roots),
            min_version: self.min_version,
            life: Life::default(),
        }
    }

    /// The same, without an identity, and with keys that may protect so many records.
    #[cfg(test)]
    pub(super) fn with_limit(self, records: u64) -> Self {
        let mut provider = rustls::crypto::CryptoProvider::clone(&provider());
        for suite in &mut provider.cipher_suites {
            *suite = super::tls_bank::with_limit(*suite, records);
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(super::tls_stream::in_place(provider)))
            .with_protocol_versions(versions(self.min_version))
            .expect("its suites serve its versions")
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols.clone_from(&self.config.alpn_protocols);
        Self { config: Arc::new(config), ..self }
    }

    /// What its connections live by, also when it is gone itself.
    pub fn life(&self) -> &Life {
        &self.life
    }

    /// The beginning of a connection with this configuration, to a bank of this name.
    pub(super) fn session(&self, name: ServerName<'static>) -> Result<UnbufferedClientConnection, rustls::Error> {
        UnbufferedClientConnection::new(Arc::clone(&self.config), name)
    }

    /// Why the client could not authenticate at this bank's token endpoint by our key (`private_key_jwt`).
    pub fn assertion_problem(&self, bank: &Bank) -> Option<Problem> {
        self.identity().and_then(|identity| identity.assertion_problem(bank))
    }

    /// The scopes that the bank is asked for, and that the certificate which it is shown has no role for.
    pub fn missing_roles(&self, bank: &Bank) -> Vec<Problem> {
        self.identity().map(|identity| missing_roles(bank, identity.facts())).unwrap_or_default()
    }

    /// Whether the bank may choose this protocol.
    pub(super) fn offers(&self, protocol: Alpn) -> bool {
        self.config.alpn_protocols.iter().any(|offered| offered == alpn_name(protocol))
    }

    /// The name that the bank's certificate must have, where it is not the URL's host.
    pub(super) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.server_name.as_ref()
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// The scopes that the bank is asked for, and that the certificate has no role for.
fn missing_roles(bank: &Bank, leaf: &Facts) -> Vec<Problem> {
    let findings = bank.needed_roles().filter_map(|needed| {
        let finding = finding::of_scope(leaf, Role::named(needed.role)?, &needed.scope)?;
        Some(Problem::warning(&bank.place.child("scopes"), finding.to_string(), finding.remedy()))
    });
    findings.collect()
}

fn client_config(
    tls: &config::Tls,
    roots: Arc<RootCertStore>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(client_provider())
        .with_protocol_versions(versions(tls.min_version))?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified_key()))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = tls.alpn.iter().map(|protocol| alpn_name(*protocol).to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

fn alpn_name(protocol: Alpn) -> &'static [u8] {
    match protocol {
        Alpn::H2 => b"h2",
        Alpn::Http11 => b"http/1.1",
    }
}

#[cfg(test)]
mod tests {
    use crate::certificate::pki::{self, Authority};
    use crate::upstream::tls_bank::{file, pem_identity, trusting};

    use super::*;

    #[test]
    fn all_problems_are_told_at_once() {
        let mut tls = trusting(&Authority::new("Bank Root"));
        tls.ca = vec![file("one.pem", ""), file("two.pem", "")];
        tls.server_name = Some("not a name".to_owned());
        let identity = pem_identity("", "", None);
        let problems = TlsClient::new(&tls, Some(&identity), &mut Vec::new()).expect_err("problems");
        let places: Vec<_> = problems.iter().map(|problem| &*problem.place.key).collect();
        assert_eq!(places, ["one.pem", "two.pem", "banks.examplebank.tls", "qwac.pem"]);
    }

    #[test]
    fn clients_are_alike_as_long_as_nothing_of_their_connections_has_changed() {
        let (root, holder) = (Authority::new("Bank Root"), Authority::new("QWACs"));
        let [one, other] = [(); 2].map(|()| holder.issue(&pki::qwac(), pki::Kind::P256));
        let client = |tls: &config::Tls, leaf: &pki::Issued| {
            let identity = pem_identity(&leaf.pem, &leaf.key_pem, None);
            TlsClient::new(tls, Some(&identity), &mut Vec::new()).expect("a client")
        };
        let tls = trusting(&root);
        let first = client(&tls, &one);
        assert!(first.is_like(&client(&tls, &one)));
        assert!(!first.is_like(&client(&tls, &other)), "another certificate");
        assert!(!first.is_like(&TlsClient::new(&tls, None, &mut Vec::new()).expect("a client")), "none");
        let changes: [&dyn Fn(&mut config::Tls); 4] = [
            &|tls| tls.ca = trusting(&Authority::new("Bank Root")).ca,
            &|tls| tls.min_version = TlsVersion::Tls13,
            &|tls| tls.alpn.reverse(),
            &|tls| tls.server_name = Some("another.example".to_owned()),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut tls = tls.clone();
            change(&mut tls);
            assert!(!first.is_like(&client(&tls, &one)), "change {number}");
        }
    }

    #[test]
    fn no_early_data_is_ever_sent() {
        let tls = TlsClient::new(&trusting(&Authority::new("Bank Root")), None, &mut Vec::new()).expect("a client");
        assert!(!tls.config.enable_early_data);
    }
}
