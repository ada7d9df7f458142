//! `bankside certificate`: what the QWAC says.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Parser;
use zeroize::Zeroizing;

use crate::certificate::{CertificateError, Material, Report};
use crate::config::{self, Config, FileContent, IdentitySource, Problems};
use crate::upstream::Identity;
use crate::words::{Clock, Secret};

use super::configured::Configured;
use super::{Outcome, output};

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// A certificate file, PEM, DER or PKCS#12; without it, each identity of the configuration
    file: Option<PathBuf>,
    /// Prints JSON: an object, or an array where the configuration has several identities
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, configured: &Configured) -> Outcome {
    let reports = match &args.file {
        Some(file) => vec![of_file(file)?],
        None => of_config(&configured.config()?)?,
    };
    let json: Vec<_> = reports.iter().map(Report::json).collect();
    match (args.json, json.as_slice()) {
        (true, [one]) => output::print_json(one)?,
        (true, several) => output::print_json(&several)?,
        (false, _) => output::print(&reports.iter().map(Report::to_string).collect::<Vec<_>>().join("\n\n"))?,
    }
    Ok(())
}

/// How to see what only a passphrase opens.
const SEALED: &str =
    "name it as `pkcs12` in [identity] with its passphrase, and run `bankside certificate` without a file";

fn of_file(file: &Path) -> anyhow::Result<Report> {
    let bytes = Zeroizing::new(fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?);
    let material = match Material::from_file(&bytes, None) {
        Err(error @ (CertificateError::PassphraseMissing | CertificateError::WrongPassphrase)) => {
            return Err(anyhow!("{}: {error}; {SEALED}", file.display()));
        }
        read => read.with_context(|| file.display().to_string())?,
    };
    Ok(material.report(Clock::system().now()))
}

/// A report on each identity of the configuration, once where banks share it.
fn of_config(config: &Config) -> anyhow::Result<Vec<Report>> {
    let mut seen = Vec::new();
    let mut reports = Vec::new();
    for identity in config.banks.iter().filter_map(|bank| bank.identity.as_ref()) {
        if !seen.contains(&&identity.place) {
            seen.push(&identity.place);
            reports.push(of_identity(identity)?);
        }
    }
    if reports.is_empty() {
        return Err(anyhow!("the configuration has no identity: no bank is shown a client certificate"));
    }
    Ok(reports)
}

fn of_identity(identity: &config::Identity) -> anyhow::Result<Report> {
    let now = Clock::system().now();
    let material = match &identity.source {
        IdentitySource::Pem { certificate, private_key, passphrase } => {
            let with_key = material(certificate, None)?.with_key(&private_key.bytes, passphrase.as_ref());
            with_key.with_context(|| private_key.path.display().to_string())?
        }
        IdentitySource::Pkcs12 { file, passphrase } => material(file, passphrase.as_ref())?,
        IdentitySource::Pkcs11 { certificate, .. } => {
            // The HSM is asked for a signature, and the certificate proves it.
            let proved = Identity::load(identity, &mut Vec::new()).map(|_| true);
            let proved = proved.map_err(|problems| anyhow!(Problems(problems)))?;
            return Ok(material(certificate, None)?.report_with(Some(proved), now));
        }
    };
    Ok(material.report(now))
}

fn material(file: &FileContent, passphrase: Option<&Secret>) -> anyhow::Result<Material> {
    Material::from_file(&file.bytes, passphrase).with_context(|| file.path.display().to_string())
}
