//! Whom we trust: the system's roots, read once per process, and the files that a bank's `tls.ca` names.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::config::{FileContent, Problem, Tls};

/// The roots for one bank. Banks without files of their own share one store.
pub(super) fn roots(tls: &Tls, problems: &mut Vec<Problem>) -> Arc<RootCertStore> {
    if tls.ca.is_empty() && tls.system_roots {
        return Arc::clone(system_roots());
    }
    let mut store = if tls.system_roots { RootCertStore::clone(system_roots()) } else { RootCertStore::empty() };
    for file in &tls.ca {
        add_file(&mut store, file, problems);
    }
    if store.is_empty() && problems.is_empty() {
        problems.push(Problem::error(
            &tls.place,
            "no root is left that the bank's certificate could lead to",
            "name the bank's root in tls.ca, or leave tls.system_roots on",
        ));
    }
    Arc::new(store)
}

/// Reading and parsing some 140 certificates takes milliseconds, and their memory is shared by all banks. Where the
/// image has none, those of Mozilla that the program carries count.
fn system_roots() -> &'static Arc<RootCertStore> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    SYSTEM.get_or_init(|| {
        let mut store = RootCertStore::empty();
        // Single files of the system that do not parse are of no concern: what they would have proved stays unproved.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(store)
    })
}

/// Adds what a file of `tls.ca` holds.
fn add_file(store: &mut RootCertStore, file: &FileContent, problems: &mut Vec<Problem>) {
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(&file.bytes) {
        let added = certificate.map_err(|error| error.to_string()).and_then(|certificate| {
            found += 1;
            store.add(certificate).map_err(|error| error.to_string())
        });
        if let Err(error) = added {
            problems.push(Problem::error(
                &file.place,
                format!("a certificate in {} cannot be used as a root: {error}", file.path.display()),
                "put the PEM of the bank's root certificate there",
            ));
            return;
        }
    }
    if found == 0 {
        problems.push(Problem::error(
            &file.place,
            format!("{} holds no certificate in PEM form", file.path.display()),
            "put the bank's root certificate there; openssl x509 -inform DER -in ROOT -out root.pem makes PEM of DER",
        ));
    }
}

#[cfg(test)]
mod tests {
    use crate::certificate::pki::Authority;
    use crate::upstream::tls_bank::{file, trusting};

    use super::*;

    fn problems_of(tls: &Tls) -> Vec<String> {
        let mut problems = Vec::new();
        roots(tls, &mut problems);
        problems.into_iter().map(|problem| problem.reason).collect()
    }

    #[test]
    fn the_systems_roots_are_shared_and_files_come_beside_them() {
        let mut tls = trusting(&Authority::new("Bank Root"));
        let mut problems = Vec::new();
        let alone = roots(&tls, &mut problems);
        assert_eq!(alone.len(), 1);
        tls.system_roots = true;
        let beside = roots(&tls, &mut problems);
        tls.ca.clear();
        let system = roots(&tls, &mut problems);
        assert_eq!(beside.len(), system.len() + 1);
        assert!(Arc::ptr_eq(&system, &roots(&tls, &mut problems)));
        assert_eq!(problems, []);
    }

    #[test]
    fn a_file_without_a_root_is_a_problem() {
        let mut tls = trusting(&Authority::new("Bank Root"));
        tls.ca = vec![file("empty.pem", "")];
        assert_eq!(problems_of(&tls), ["empty.pem holds no certificate in PEM form"]);
        tls.ca = vec![file("bad.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")];
        assert!(problems_of(&tls)[0].starts_with("a certificate in bad.pem cannot be used as a root"));
    }

    #[test]
    fn nothing_to_trust_is_a_problem() {
        let mut tls = trusting(&Authority::new("Bank Root"));
        tls.ca.clear();
        assert_eq!(problems_of(&tls), ["no root is left that the bank's certificate could lead to"]);
    }
}
