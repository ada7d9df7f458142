//! What is worth a word about a login's scopes.

use crate::config::Bank;
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
