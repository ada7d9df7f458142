//! `bankside check`: every problem at once, then what the configuration says.

mod findings;
mod login;
mod machine;
mod online;

use clap::Parser;

use crate::app::App;
use crate::certificate::Facts;
use crate::config::{Bank, ClientAuth, GrantType, Severity};
use crate::upstream::TlsClient;
use crate::words::GrantName;

use super::configured::{Configured, tell};
use super::{Failed, Outcome, output};

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Asks the banks, too: names, TLS, certificates, clocks, the client, its scopes and its redirect URI
    #[arg(long)]
    online: bool,
}

pub(super) fn run(args: &Args, configured: &Configured) -> Outcome {
    let app = configured.checked()?;
    tell(app.findings());
    if !app.is_sound() {
        return Err(Failed::Config);
    }
    let of_machine = machine::problems(&app);
    tell(&of_machine);
    if of_machine.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(Failed::Config);
    }
    if args.online { online::run(&app, &summary(&app)) } else { Ok(output::print(&summary(&app))?) }
}

/// What each bank's identity is, and which listeners open.
fn summary(app: &App) -> String {
    let banks = app.banks().map(|(bank, tls)| about_bank(bank, tls));
    let admin = app.config().admin.as_ref().map_or_else(|| "off".to_owned(), ToString::to_string);
    let program =
        format!("{} is good.\nadmin: {admin}; workers: {}", app.config().file.display(), app.config().workers);
    std::iter::once(program).chain(banks).collect::<Vec<_>>().join("\n\n")
}

fn about_bank(bank: &Bank, tls: &TlsClient) -> String {
    let listen: Vec<String> = bank.listen.iter().map(ToString::to_string).collect();
    let identity = match tls.identity() {
        Some(identity) => holder(identity.facts()),
        None => "no client certificate is shown".to_owned(),
    };
    let mut rows = vec![
        ("listens on", listen.join(", ")),
        ("goes to", format!("https://{}:{}{}", bank.base_url.host, bank.base_url.port, bank.base_url.path)),
        ("identity", identity),
        ("grants", grants(bank)),
    ];
    rows.extend(assertion(bank, tls).map(|assertion| ("assertions", assertion)));
    let lines: Vec<String> = rows.iter().map(|(name, value)| format!("  {name:<11} {value}")).collect();
    format!("{} ({})\n{}", bank.name, bank.title, lines.join("\n"))
}

/// What the bank must know to take the client's assertions, where it proves itself by them.
fn assertion(bank: &Bank, tls: &TlsClient) -> Option<String> {
    let ClientAuth::PrivateKeyJwt(what) = &bank.grant_type.token_endpoint()?.client_auth else { return None };
    let identity = tls.identity()?;
    let algorithm = identity.signing_algorithm(what.algorithm).ok()?.name();
    let key_id = what.key_id.clone().or_else(|| identity.facts().jwk_thumbprint()).unwrap_or_default();
    Some(format!("are signed with {algorithm}, kid {key_id}, for {}", what.audience))
}

/// Who the certificate is for, with which roles, and until when.
fn holder(facts: &Facts) -> String {
    let roles: Vec<&str> = facts.roles.iter().map(|role| role.name()).collect();
    let roles = if roles.is_empty() { "no PSD2 roles".to_owned() } else { roles.join(" ") };
    format!("{} ({roles}), until {}", facts.subject, facts.not_after)
}

/// How tokens are come by, and with which scopes.
fn grants(bank: &Bank) -> String {
    let how = match &bank.grant_type {
        GrantType::AuthorizationCode(_) => "by login",
        GrantType::ClientCredentials(_) => "by client credentials",
        GrantType::Fixed(_) => "given",
    };
    let names: std::collections::BTreeSet<GrantName> =
        bank.required_grants().into_iter().chain(bank.grants.keys().cloned()).collect();
    let listed = names.iter().map(|grant| match bank.scopes(grant) {
        [] => grant.to_string(),
        scopes => format!("{grant} ({})", scopes.join(" ")),
    });
    format!("{how}: {}", listed.collect::<Vec<_>>().join(", "))
}
