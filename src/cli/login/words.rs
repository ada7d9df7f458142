//! What is worth a word about a login's scopes.

use std::collections::BTreeSet;

use crate::config::Bank;
use crate::oauth::GrantReport;
use crate::words::GrantName;

/// A warning where the grant has no scopes, and others of the bank that are configured have: a name that is mistyped, or
/// forgotten, would let a person consent to nothing.
pub(super) fn of_no_scopes(bank: &Bank, grant: &GrantName) -> Option<String> {
    let with_scopes: Vec<&GrantName> =
        bank.grants.iter().filter(|(_, scopes)| !scopes.is_empty()).map(|(name, _)| name).collect();
    if with_scopes.is_empty() || !bank.scopes(grant).is_empty() {
        return None;
    }
    let ways: Vec<String> = with_scopes.iter().map(|name| format!("`bankside login {} {name}`", bank.name)).collect();
    Some(format!(
        "warning: the grant {grant} of {} has no scopes, so the bank is asked for none; grants that have: {}",
        bank.name,
        ways.join(", ")
    ))
}

/// A warning where the bank did not give all that it was asked for. What it calls a scope may stand between others' words.
pub(super) fn of_fewer_scopes(bank: &Bank, report: &GrantReport) -> Option<String> {
    let given: BTreeSet<&str> = report.scopes.iter().flat_map(|scope| scope.split_ascii_whitespace()).collect();
    let is_missing = |scope: &&String| !scope.split_ascii_whitespace().all(|word| given.contains(word));
    let missing: Vec<&str> = bank.scopes(&report.grant).iter().filter(is_missing).map(String::as_str).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "warning: the bank did not give all scopes that were asked for; missing: {}. Look at what the account's owner \
             chose, and at the scopes of the registration",
            missing.join(" ")
        )
    })
}
