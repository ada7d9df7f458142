//! One bank on the page.

mod grants;

use std::time::Duration;

use crate::admin::html::Html;
use crate::admin::view::{BankView, CertificateView};
use crate::oauth::{GrantReport, GrantState};
use crate::telemetry::Reach;
use crate::words::Timestamp;

use super::words;

/// Days before a certificate's end from which it is worth a colour.
const SOON: i64 = 30;
/// How long before its end a consent is worth a colour: from then on the log and `/readyz` tell of it, too.
const CONSENT_SOON: Duration = Duration::from_hours(14 * 24);
/// Seconds from which clocks that differ are worth a word.
const CLOCKS_APART: i64 = 30;
/// The bank's section. What is marked `data-live` is replaced as a whole when it has changed.
pub(super) fn section(html: &mut Html, view: &BankView, now: Timestamp) {
    html.put(
        "<section class=\"bank\" aria-labelledby=\"{}-title\"><div id=\"{}-live\" data-live>",
        &[&view.name, &view.name],
    );
    html.put("<div class=\"title\"><h2 id=\"{}-title\">{}</h2>", &[&view.name, &view.title]);
    if view.missing.is_empty() {
        html.put("<span class=\"badge good\">ready</span></div>", &[]);
    } else {
        html.put("<span class=\"badge bad\">not ready</span></div><ul class=\"note bad\">", &[]);
        for missing in &view.missing {
            html.put("<li>", &[]);
            with_code(html, missing);
            html.put("</li>", &[]);
        }
        html.put("</ul>", &[]);
    }
    consents(html, view, now);
    facts(html, view, now);
    html.put("<h3 id=\"{}-grants\">Grants</h3>", &[&view.name]);
    grants::table(html, view, now);
    html.put("</div>", &[]);
    if is_by_person(view) {
        grants::another(html, view);
    }
    html.put("</section>", &[]);
}

/// A text whose commands stand between backticks.
fn with_code(html: &mut Html, text: &str) {
    for (index, part) in text.split('`').enumerate() {
        html.put(if index % 2 == 0 { "{}" } else { "<code>{}</code>" }, &[&part]);
    }
}

/// Consents that end soon: nothing is missing yet, and a person may be hard to find.
fn consents(html: &mut Html, view: &BankView, now: Timestamp) {
    let living = |grant: &&GrantReport| grant.issued_at.is_some() && grant.state != GrantState::NeedsAuthorization;
    let grants = view.grants.as_deref().unwrap_or_default().iter().filter(living);
    let ending: Vec<_> = grants.filter(|grant| ends_soon(grant.consent_until, now)).collect();
    let Some(first) = ending.iter().min_by_key(|grant| grant.consent_until) else { return };
    let until = first.consent_until.map(|until| words::distance(until, now)).unwrap_or_default();
    html.put("<p class=\"note watch\">", &[]);
    match ending.len() {
        1 => html.put("The consent of <strong>{}</strong> ends {}: ", &[&first.grant, &until]),
        more => html.put("<strong>{} consents end soon</strong>, that of {} {}: ", &[&more, &first.grant, &until]),
    };
    html.put("let the account's owner authorize the access again.</p>", &[]);
}

fn is_by_person(view: &BankView) -> bool {
    view.grant_type == "authorization_code"
}

fn facts(html: &mut Html, view: &BankView, now: Timestamp) {
    html.put("<dl class=\"facts\"><div><dt>Apps call</dt><dd>", &[]);
    for (index, listen) in view.listens.iter().enumerate() {
        html.put(if index > 0 { ", <code>{}</code>" } else { "<code>{}</code>" }, &[listen]);
    }
    html.put("</dd></div><div><dt>The bank</dt><dd><code>{}</code></dd></div>", &[&view.base_url]);
    html.put("<div><dt>Reachability</dt><dd>", &[]);
    reach(html, view);
    if let Some(ahead) = view.clock_ahead.filter(|ahead| ahead.abs() > CLOCKS_APART) {
        let way = if ahead > 0 { "ahead of" } else { "behind" };
        html.put("</dd></div><div><dt>Clock</dt><dd><span class=\"dot bad\"></span>", &[]);
        html.put("<strong>{} s {} the bank's</strong>: synchronize this machine's clock", &[&ahead.abs(), &way]);
    }
    html.put("</dd></div><div><dt>Certificate</dt><dd>", &[]);
    match &view.certificate {
        Some(shown) => certificate(html, shown, now),
        None => _ = html.put("none is shown to this bank", &[]),
    }
    html.put("</dd></div></dl>", &[]);
}

fn reach(html: &mut Html, view: &BankView) {
    match &view.reach {
        Reach::Untried => _ = html.put("<span class=\"dot\"></span>not tried since the start", &[]),
        Reach::Reached(ago) => {
            html.put("<span class=\"dot good\"></span>reached {} ago", &[&words::span(*ago)]);
        }
        Reach::Failed { ago, reason } => {
            html.put(
                "<span class=\"dot bad\"></span><strong>not reached</strong> {} ago: {}",
                &[&words::span(*ago), reason],
            );
        }
    }
    match view.connections {
        0 => {}
        1 => _ = html.put("; 1 connection open", &[]),
        more => _ = html.put("; {} connections open", &[&more]),
    }
}

fn certificate(html: &mut Html, shown: &CertificateView, now: Timestamp) {
    let facts = &shown.facts;
    let holder = facts.organization.as_ref().or(facts.common_name.as_ref()).unwrap_or(&facts.subject);
    html.put("<strong>{}</strong>", &[holder]);
    if let Some(identifier) = &facts.organization_identifier {
        html.put(" <code>{}</code>", &[identifier]);
    }
    html.put("<br>", &[]);
    for role in &facts.roles {
        html.put("<span class=\"role\" title=\"{}\">{}</span> ", &[&role.meaning(), role]);
    }
    if facts.roles.is_empty() {
        html.put("<span class=\"role\">no PSD2 role</span> ", &[]);
    }
    let mark = if shown.days_left < 0 || facts.is_early(now) {
        "bad"
    } else if shown.days_left < SOON {
        "watch"
    } else {
        "good"
    };
    html.put("<br><span class=\"dot {}\"></span>", &[&mark]);
    match shown.days_left {
        ..0 => html.put("<strong>ended</strong> on ", &[]),
        0 => html.put("<strong>ends today</strong>, ", &[]),
        1 => html.put("<strong>1 day</strong> left, to ", &[]),
        days => html.put("<strong>{} days</strong> left, to ", &[&days]),
    };
    html.put("<time datetime=\"{}\">{}</time>", &[&facts.not_after, &day(facts.not_after)]);
    if !shown.findings.is_empty() {
        html.put("<ul class=\"note watch\">", &[]);
        for finding in &shown.findings {
            html.put("<li>{}</li>", &[finding]);
        }
        html.put("</ul>", &[]);
    }
}

fn ends_soon(consent_until: Option<Timestamp>, now: Timestamp) -> bool {
    consent_until.is_some_and(|until| until <= now.plus(CONSENT_SOON))
}

/// The date alone.
fn day(at: Timestamp) -> String {
    at.to_string().split('T').next().unwrap_or_default().to_owned()
}
