//! The page that `bankside certificate` prints, for people and as JSON: pure functions of facts.

use std::fmt;

use serde_json::{Value, json};

use crate::words::Timestamp;

use super::{Facts, Finding, Role, finding};

/// All there is to say about a chain at one time.
#[derive(Clone, Debug)]
pub struct Report {
    chain: Vec<Facts>,
    key_matches: Option<bool>,
    now: Timestamp,
    findings: Vec<Finding>,
}

impl Report {
    /// A report on `chain`, leaf first. `key_matches` is `None` where there is no key to look at.
    pub(super) fn new(chain: Vec<Facts>, key_matches: Option<bool>, now: Timestamp) -> Self {
        let mut findings = finding::of_time(&chain, now);
        findings.extend(finding::of_chain(&chain));
        Self { chain, key_matches, now, findings }
    }

    /// What a bank may not like, with what depends on the time first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The machine's form.
    pub fn json(&self) -> Value {
        let leaf = self.leaf();
        json!({
            "subject": leaf.subject,
            "common_name": leaf.common_name,
            "organization": leaf.organization,
            "organization_identifier": leaf.organization_identifier,
            "roles": leaf.roles.iter().map(|role| role.name()).collect::<Vec<_>>(),
            "nca_id": leaf.nca_id,
            "nca_name": leaf.nca_name,
            "issuer": leaf.issuer,
            "serial": leaf.serial,
            "not_before": leaf.not_before.to_string(),
            "not_after": leaf.not_after.to_string(),
            "days_left": leaf.days_left(self.now),
            "key": leaf.key.to_string(),
            "jwk": leaf.jwk(),
            "key_usages": leaf.key_usages,
            "extended_key_usages": leaf.extended_key_usages,
            "client_auth": leaf.client_auth,
            "names": leaf.names,
            "fingerprint_sha256": leaf.fingerprint_hex(),
            "key_matches": self.key_matches,
            "chain": self.chain.iter().map(|facts| self.json_of_link(facts)).collect::<Vec<_>>(),
            "warnings": self.findings.iter().map(Finding::to_string).collect::<Vec<_>>(),
        })
    }

    fn json_of_link(&self, facts: &Facts) -> Value {
        json!({
            "subject": facts.subject,
            "issuer": facts.issuer,
            "serial": facts.serial,
            "not_after": facts.not_after.to_string(),
            "days_left": facts.days_left(self.now),
        })
    }

    fn leaf(&self) -> &Facts {
        // Reports are made of `Material`, which has a leaf.
        &self.chain[0]
    }
}

/// The page for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leaf = self.leaf();
        line(f, "Holder", leaf.organization.as_ref().or(leaf.common_name.as_ref()).unwrap_or(&leaf.subject))?;
        line(f, "Identifier", leaf.organization_identifier.as_deref().unwrap_or("none (no organizationIdentifier)"))?;
        line(f, "PSD2 roles", &roles(&leaf.roles))?;
        line(f, "Authority", &authority(leaf))?;
        line(f, "Valid", &validity(leaf, self.now))?;
        line(f, "Subject", &leaf.subject)?;
        line(f, "Issuer", &leaf.issuer)?;
        line(f, "Serial", &leaf.serial)?;
        line(f, "Names", &listed(&leaf.names))?;
        line(f, "Key", &leaf.key.to_string())?;
        line(f, "Private key", key_words(self.key_matches))?;
        line(f, "Key usages", &restricted(leaf.key_usages.as_deref()))?;
        line(f, "Meant for", &restricted(leaf.extended_key_usages.as_deref()))?;
        line(f, "TLS client", if leaf.client_auth { "yes" } else { "no: clientAuth is missing" })?;
        line(f, "SHA-256", &leaf.fingerprint_hex())?;
        f.write_str("\nChain, as the bank will see it\n")?;
        for (index, facts) in self.chain.iter().enumerate() {
            writeln!(f, "  {}. {} (to {})", index + 1, facts.subject, facts.not_after)?;
        }
        for (index, finding) in self.findings.iter().enumerate() {
            let heading = if index == 0 { "\nMind\n" } else { "" };
            writeln!(f, "{heading}  - {finding}; {}", finding.remedy())?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, label: &str, value: &str) -> fmt::Result {
    writeln!(f, "{label:<12} {value}")
}

fn roles(roles: &[Role]) -> String {
    listed(&roles.iter().map(|role| format!("{role} ({})", role.meaning())).collect::<Vec<_>>())
}

fn authority(leaf: &Facts) -> String {
    match (&leaf.nca_name, &leaf.nca_id) {
        (Some(name), Some(id)) => format!("{name} ({id})"),
        _ => "none".to_owned(),
    }
}

fn validity(leaf: &Facts, now: Timestamp) -> String {
    let left = match leaf.days_left(now) {
        _ if leaf.is_early(now) => "not valid yet".to_owned(),
        0 => "ends today".to_owned(),
        1 => "1 day left".to_owned(),
        over if over < 0 => "EXPIRED".to_owned(),
        days => format!("{days} days left"),
    };
    format!("{} to {} ({left})", leaf.not_before, leaf.not_after)
}

fn listed(words: &[String]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn restricted(usages: Option<&[String]>) -> String {
    usages.map_or("anything (not restricted)".to_owned(), listed)
}

fn key_words(matches: Option<bool>) -> &'static str {
    match matches {
        Some(true) => "matches the certificate",
        Some(false) => "DOES NOT MATCH the certificate",
        None => "not looked at",
    }
}
