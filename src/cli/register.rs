//! `bankside register`: the app's registration at a bank, over mutual TLS.

use clap::{ArgGroup, Parser};
use serde_json::{Value, json};

use crate::app::BankDesk;
use crate::oauth::RegistrationReport;

use super::care::with_care;
use super::configured::Configured;
use super::{Outcome, office, output};

#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(group = ArgGroup::new("what").args(["list", "renew_secret", "delete"]))]
pub(super) struct Args {
    /// The bank's name in the configuration
    bank: String,
    /// What the app is called at the bank [default: the organization that the QWAC names]
    #[arg(long, value_name = "N", conflicts_with = "what")]
    name: Option<String>,
    /// Lists the registrations that the bank and the store know
    #[arg(long)]
    list: bool,
    /// Prints JSON
    #[arg(long, requires = "list")]
    json: bool,
    /// Gets another secret; the bank takes the old one no more
    #[arg(long)]
    renew_secret: bool,
    /// Deletes the registration with this client id; the bank ends its grants
    #[arg(long, value_name = "ID")]
    delete: Option<String>,
    /// Forgets it here, and leaves it at the bank
    #[arg(long, requires = "delete")]
    local: bool,
}

pub(super) fn run(args: &Args, configured: &Configured) -> Outcome {
    let app = configured.app()?;
    super::block_on(async {
        let office = office::open(&app).await?;
        let desk = office.bank(&args.bank)?;
        let (tokens, tell) = (&desk.tokens, &output::complain);
        if args.list {
            let reports = tokens.registrations(tell).await?;
            return Ok(output::print(&listing(&reports, args.json)?)?);
        }
        if let Some(client_id) = &args.delete {
            with_care(tokens.unregister(client_id, args.local, tell)).await?;
            output::complain(&format!("The registration {client_id} is deleted."));
            return Ok(());
        }
        let client_id = if args.renew_secret {
            with_care(tokens.renew_secret(tell)).await?
        } else {
            with_care(tokens.register(&name(args, desk), tell)).await?
        };
        output::complain("The credentials are in the store. The client id is:");
        Ok(output::print(&client_id)?)
    })
}

/// What the app is called, if nobody says: as its holder, or else as this program.
fn name(args: &Args, desk: &BankDesk) -> String {
    let of_holder = || desk.tls.identity().and_then(|identity| identity.facts().organization.clone());
    args.name.clone().or_else(of_holder).unwrap_or_else(|| "bankside".to_owned())
}

fn listing(reports: &[RegistrationReport], json: bool) -> serde_json::Result<String> {
    if json {
        return serde_json::to_string_pretty(&reports.iter().map(as_json).collect::<Vec<_>>());
    }
    let head = ["CLIENT ID", "NAME", "SCOPES", "REGISTERED", "SECRET", "AT THE BANK", "IN USE"];
    let head = head.map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(reports.iter().map(as_row)).collect();
    Ok(output::table(&rows))
}

fn as_json(report: &RegistrationReport) -> Value {
    json!({
        "client_id": report.client_id,
        "client_name": report.name,
        "scopes": report.scopes,
        "registered_at": report.registered_at.map(|at| at.to_string()),
        "secret_stored": report.has_secret,
        "at_bank": report.at_bank,
        "in_use": report.in_use,
    })
}

fn as_row(report: &RegistrationReport) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let yes_or_no = |yes| if yes { "yes" } else { "no" }.to_owned();
    vec![
        report.client_id.clone(),
        or_dash(report.name.clone()),
        or_dash(report.scopes.as_ref().map(|scopes| scopes.join(" "))),
        or_dash(report.registered_at.map(|at| at.to_string())),
        yes_or_no(report.has_secret),
        or_dash(report.at_bank.map(yes_or_no)),
        yes_or_no(report.in_use),
    ]
}
