//! `bankside check --online`: what is seen of each bank from here, and what does not work.

use anyhow::anyhow;

use crate::app::App;
use crate::config::{Alpn, Bank};
use crate::upstream::probe::{Answer, Handshake, Seen, probe};
use crate::upstream::{Endpoint, Failure, TlsClient};
use crate::words::{Clock, Timestamp, with_causes};

use super::super::{Failed, Outcome, output};
use super::findings::{Findings, settings};
use super::login;

/// Clocks that are further apart, in seconds, make certificates and tokens early or late.
const SKEW: i64 = 30;
/// Clocks that are further apart than this, in seconds, are a mistake, not a slow network or a cache.
const WRONG: i64 = 300;

/// Looks at every bank. The page, which begins with what the configuration says, goes to standard output; if anything
/// failed, so does the command.
pub(super) fn run(app: &App, summary: &str) -> Outcome {
    super::super::block_on(async {
        let (office, unopened) = match login::open(app).await {
            Ok(office) => (office, None),
            // A configuration that is not for its store is not good.
            Err(Failed::Config) => return Err(Failed::Config),
            Err(Failed::Because(error)) => (None, Some(error)),
        };
        output::print(summary)?;
        if let Some(error) = &unopened {
            output::print(&format!("\nstore\n    FAILED      {error:#}; see [store]"))?;
        }
        let mut failures = usize::from(unopened.is_some());
        for (bank, tls) in app.banks() {
            let mut findings = Findings::default();
            for (endpoint, path, what) in endpoints(bank) {
                let seen = probe(&endpoint, &path, tls, &settings(bank), bank.timeouts.response).await;
                findings.lines.push(format!("  {what} https://{}:{}", endpoint.host, endpoint.port));
                tell(&seen, tls, Clock::system().now(), &mut findings);
            }
            login::look(bank, tls, office.as_ref(), &mut findings).await;
            output::print(&format!("\n{} online\n{}", bank.name, findings.lines.join("\n")))?;
            failures += findings.failures;
        }
        match failures {
            0 => Ok(()),
            1 => Err(Failed::Because(anyhow!("1 thing failed online"))),
            several => Err(Failed::Because(anyhow!("{several} things failed online"))),
        }
    })
}

/// Where the bank is reached: its API, and its token endpoint where that lives elsewhere.
fn endpoints(bank: &Bank) -> Vec<(Endpoint, String, &'static str)> {
    let api = Endpoint { host: bank.base_url.host.clone(), port: bank.base_url.port };
    let path = if bank.base_url.path.is_empty() { "/" } else { &bank.base_url.path };
    let mut endpoints = vec![(api, path.to_owned(), "API")];
    if let Some(token) = bank.grant_type.token_endpoint() {
        let endpoint = Endpoint { host: token.url.host.clone(), port: token.url.port };
        if endpoint != endpoints[0].0 {
            endpoints.push((endpoint, "/".to_owned(), "tokens"));
        }
    }
    endpoints
}

fn tell(seen: &Seen, tls: &TlsClient, now: Timestamp, findings: &mut Findings) {
    if !seen.addresses.is_empty() {
        let addresses: Vec<String> = seen.addresses.iter().map(|address| address.ip().to_string()).collect();
        findings.row("addresses", &addresses.join(", "));
    }
    if let Ok(handshake) = &seen.handshake {
        findings.row("connection", &connection(handshake));
    }
    for (index, facts) in seen.chain.iter().enumerate() {
        let name = if index == 0 { "shows" } else { "" };
        findings.row(name, &format!("{} (issued by {}, to {})", facts.subject, facts.issuer, facts.not_after));
    }
    if seen.handshake.is_ok() {
        tell_request(seen, tls, findings);
    }
    match (&seen.handshake, &seen.answer) {
        (Err(failure), _) | (_, Some(Err(failure))) => fail(failure, findings),
        (_, Some(Ok(answer))) => tell_answer(answer, tls, now, findings),
        (Ok(_), None) => {}
    }
}

fn connection(handshake: &Handshake) -> String {
    let peer = handshake.peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
    let version = handshake.version.replace("TLSv1_", "TLS 1.");
    let protocol = match handshake.protocol {
        Alpn::H2 => "HTTP/2",
        Alpn::Http11 => "HTTP/1.1",
    };
    format!("{peer}, {version}, {}, {protocol}", handshake.cipher)
}

fn fail(failure: &Failure, findings: &mut Findings) {
    findings.fail(&with_causes(failure), failure.remedy());
}

/// Whether a certificate was asked for, and whether ours is one of those.
fn tell_request(seen: &Seen, tls: &TlsClient, findings: &mut Findings) {
    match seen.asked_for.as_deref() {
        None => findings.row("asks for", "no client certificate"),
        Some([]) => findings.row("asks for", "a client certificate, of a CA that it does not name"),
        Some(names) => findings.row("asks for", &format!("a client certificate of: {}", names.join(" | "))),
    }
    match (tls.identity(), seen.asked_for.as_deref()) {
        (Some(_), None) => {
            let remedy = "some servers ask on certain paths only; else set tls.client_certificate = false";
            findings.mind("the bank did not ask for the certificate that it is to be shown", remedy);
        }
        (None, Some(_)) => findings.mind(
            "the bank asks for a certificate, and is shown none",
            "add [identity], or set tls.client_certificate = true, unless this bank does without",
        ),
        (Some(identity), Some(names)) if !names.is_empty() => {
            let is_named = identity.chain().iter().any(|facts| names.contains(&facts.issuer));
            if !is_named {
                let reason = format!("the bank does not name our issuer, {}", identity.facts().issuer);
                findings.mind(&reason, "ask the bank whether it accepts this trust service provider");
            }
        }
        _ => {}
    }
}

fn tell_answer(answer: &Answer, tls: &TlsClient, now: Timestamp, findings: &mut Findings) {
    let ours = match (tls.identity(), answer.refuses_certificate) {
        (_, true) => {
            let remedy = "check with `bankside certificate` that the QWAC is valid and is the one that the bank knows";
            return findings.fail("the bank's web server refuses our certificate in its answer", remedy);
        }
        (Some(_), false) => "taken",
        (None, false) => "not shown",
    };
    findings.row("ours", &format!("{ours}; a request without a token was answered {}", answer.status.as_u16()));
    let Some(date) = answer.date else { return };
    let skew = now.seconds() - date.seconds();
    findings.row("clock", &format!("{} s apart", skew.abs()));
    let who = if skew > 0 { "ahead of" } else { "behind" };
    let reason = format!("this machine's clock is {} s {who} the bank's", skew.abs());
    if skew.abs() > WRONG {
        findings.fail(&reason, "synchronize it (NTP): certificates and tokens are early or late by it");
    } else if skew.abs() > SKEW {
        findings.mind(&reason, "synchronize it (NTP)");
    }
}
