//! `bankside grant`: grants without a running sidecar. A running one sees the change by itself.

use std::io::Read;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use serde_json::Value;

use crate::app::{App, Office};
use crate::oauth::{GrantReport, Removal, Revealed};
use crate::words::{GrantName, Secret};

use super::care::with_care;
use super::configured::Configured;
use super::{Outcome, office, output};

/// No bank answers with more.
const MOST_STDIN: u64 = 1 << 20;
/// After so long somebody is told what is waited for.
const AT_LENGTH: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(super) enum Args {
    /// Lists the grants of all banks
    List {
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Shows one grant
    Show {
        /// The bank's name in the configuration
        bank: String,
        /// The grant's name
        #[arg(default_value = "default")]
        grant: GrantName,
        /// Prints JSON
        #[arg(long)]
        json: bool,
        /// Prints the tokens, too
        #[arg(long)]
        reveal: bool,
    },
    /// Takes a grant over: the bank's JSON token response, on standard input
    Import {
        /// The bank's name in the configuration
        bank: String,
        /// The grant's name
        #[arg(default_value = "default")]
        grant: GrantName,
        /// Prints what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Renews a grant's token at the bank
    Renew {
        /// The bank's name in the configuration
        bank: String,
        /// The grant's name
        #[arg(default_value = "default")]
        grant: GrantName,
        /// Prints what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Removes a grant, and revokes it at the bank
    Remove {
        /// The bank's name in the configuration
        bank: String,
        /// The grant's name
        #[arg(default_value = "default")]
        grant: GrantName,
        /// Leaves it valid at the bank
        #[arg(long)]
        local: bool,
    },
}

pub(super) fn run(args: &Args, configured: &Configured) -> Outcome {
    let app = configured.app()?;
    super::block_on(async {
        match args {
            Args::List { json } => list(&app, *json).await,
            Args::Show { bank, grant, json, reveal } => show(&app, bank, grant, *json, *reveal).await,
            Args::Import { bank, grant, json } => import(&app, bank, grant, *json).await,
            Args::Renew { bank, grant, json } => renew(&app, bank, grant, *json).await,
            Args::Remove { bank, grant, local } => remove(&app, bank, grant, *local).await,
        }
    })
}

async fn list(app: &App, json: bool) -> Outcome {
    let mut reports = Vec::new();
    for bank in office::open(app).await?.banks() {
        reports.extend(bank.tokens.list().await?);
    }
    if json {
        return Ok(output::print_json(&reports.iter().map(GrantReport::json).collect::<Vec<_>>())?);
    }
    let head = ["BANK", "GRANT", "STATE", "EXPIRES", "CONSENT UNTIL", "SCOPES"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(reports.iter().map(as_row)).collect();
    Ok(output::print(&output::table(&rows))?)
}

async fn show(app: &App, bank: &str, grant: &GrantName, json: bool, reveal: bool) -> Outcome {
    let office = office::open(app).await?;
    let tokens = &office.bank(bank)?.tokens;
    let report = tokens.show(grant).await?;
    let revealed = if reveal { Some(tokens.reveal(grant).await?) } else { None };
    let mut value = report.json();
    if let (Some(revealed), Value::Object(fields)) = (&revealed, &mut value) {
        fields.insert("access_token".into(), text(revealed.access_token.as_ref()).into());
        fields.insert("refresh_token".into(), text(revealed.refresh_token.as_ref()).into());
    }
    if json {
        return Ok(output::print_json(&value)?);
    }
    Ok(output::print(&for_people(&report, revealed.as_ref()))?)
}

async fn import(app: &App, bank: &str, grant: &GrantName, json: bool) -> Outcome {
    let office = office::open(app).await?;
    let tokens = &office.bank(bank)?.tokens;
    let mut response = zeroize::Zeroizing::new(Vec::new());
    let read = std::io::stdin().lock().take(MOST_STDIN).read_to_end(&mut response);
    read.context("the token response could not be read from standard input")?;
    let word = "Waiting until the store takes the grant: where this is interrupted, look with `grant list` before it is \
                imported again.";
    let report = output::tell_after(AT_LENGTH, word, tokens.import(grant, &response)).await?;
    if json {
        return Ok(output::print_json(&report.json())?);
    }
    output::complain(&format!("The grant {} of {} is {}.", report.grant, report.bank, report.state));
    Ok(())
}

async fn renew(app: &App, bank: &str, grant: &GrantName, json: bool) -> Outcome {
    let office = office::open(app).await?;
    let tokens = &office.bank(bank)?.tokens;
    let report = with_care(settled(&office, tokens.renew(grant))).await?;
    if json {
        return Ok(output::print_json(&report.json())?);
    }
    let end =
        report.expires_at.map_or_else(|| "its end is not known".to_owned(), |end| format!("it lasts until {end}"));
    output::complain(&format!("The grant {} of {} has a fresh token: {end}.", report.grant, report.bank));
    Ok(())
}

async fn remove(app: &App, bank: &str, grant: &GrantName, local: bool) -> Outcome {
    let office = office::open(app).await?;
    let tokens = &office.bank(bank)?.tokens;
    let removal = with_care(settled(&office, tokens.remove(grant, local))).await?;
    output::complain(&format!("The grant {grant} of {bank} is {}.", became(removal)));
    Ok(())
}

fn became(removal: Removal) -> &'static str {
    match removal {
        Removal::Ended | Removal::Local => "removed",
        Removal::NoRevocation => {
            "forgotten here, but still valid at the bank: no revocation is configured for it (`oauth.revocation`), so the access \
             lasts until it ends, or until the account's owner ends it at the bank"
        }
        Removal::AskedOtherwise => {
            "forgotten here, but was not revoked: its token was asked for otherwise than is configured now, perhaps of another \
             bank, and is valid there until it ends"
        }
    }
}

/// Does it, and waits for a renewal that goes on after that: its answer exists in this process only until the store takes
/// it.
async fn settled<T>(office: &Office, call: impl Future<Output = T>) -> T {
    let done = call.await;
    let word = "Waiting until the store takes the bank's answer: interrupting this may cost the grant.";
    output::tell_after(AT_LENGTH, word, office.settle()).await;
    done
}

fn as_row(report: &GrantReport) -> Vec<String> {
    let time = |at: Option<_>| at.map_or_else(|| "-".to_owned(), |at: crate::words::Timestamp| at.to_string());
    vec![
        report.bank.to_string(),
        report.grant.to_string(),
        report.state.to_string(),
        time(report.expires_at),
        time(report.consent_until),
        report.scopes.join(" "),
    ]
}

fn for_people(report: &GrantReport, revealed: Option<&Revealed>) -> String {
    let time = |at: Option<_>| at.map_or_else(|| "not known".to_owned(), |at: crate::words::Timestamp| at.to_string());
    let mut rows = vec![
        ("bank", report.bank.to_string()),
        ("grant", report.grant.to_string()),
        ("state", report.state.to_string()),
        ("scopes", report.scopes.join(" ")),
        ("issued", time(report.issued_at)),
        ("expires", time(report.expires_at)),
        ("consent until", time(report.consent_until)),
        ("renewable", if report.refreshable { "yes" } else { "no" }.to_owned()),
    ];
    if let Some(revealed) = revealed {
        rows.push(("access token", text(revealed.access_token.as_ref()).unwrap_or_default()));
        rows.push(("refresh token", text(revealed.refresh_token.as_ref()).unwrap_or_default()));
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    output::table(&rows)
}

/// A token as text: only where the user asked to see it.
fn text(secret: Option<&Secret>) -> Option<String> {
    secret.and_then(Secret::expose_str).map(str::to_owned)
}
