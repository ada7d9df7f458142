//! A bank's grants on the page, and what can be done with each.

use crate::admin::html::Html;
use crate::admin::page::words;
use crate::admin::view::BankView;
use crate::oauth::{GrantReport, LastFailure};
use crate::words::Timestamp;

use super::{ends_soon, is_by_person};

/// How many grants of a bank are shown.
const MOST: usize = 200;

/// The table of those that there are.
pub(super) fn table(html: &mut Html, view: &BankView, now: Timestamp) {
    let grants = match &view.grants {
        Ok(grants) if grants.is_empty() => {
            html.put("<p>There are none yet.</p>", &[]);
            return;
        }
        Ok(grants) => grants,
        Err(error) => {
            html.put("<p class=\"note bad\">The grants cannot be shown: {}</p>", &[error]);
            return;
        }
    };
    html.put("<table aria-labelledby=\"{}-grants\"><thead><tr><th scope=\"col\">Name</th>", &[&view.name]);
    html.put("<th scope=\"col\">State</th><th scope=\"col\">Token ends</th><th scope=\"col\">Consent ends</th>", &[]);
    html.put(
        "<th scope=\"col\">Scopes</th><th scope=\"col\"><span class=\"unseen\">Actions</span></th></tr></thead><tbody>",
        &[],
    );
    let shown = most_pressing(grants, now);
    for grant in &shown {
        row(html, view, grant, now);
    }
    html.put("</tbody></table>", &[]);
    if grants.len() > shown.len() {
        let more = grants.len() - shown.len();
        html.put("<p class=\"more\">and {} more: <code>bankside grant list</code> and ", &[&more]);
        html.put(
            "<a href=\"/api/banks\">the API</a> have them all. Those that need somebody are shown first.</p>",
            &[],
        );
    }
}

/// As many grants as are shown, in the order of their names: those that need somebody come before others.
fn most_pressing(grants: &[GrantReport], now: Timestamp) -> Vec<&GrantReport> {
    let mut shown: Vec<&GrantReport> = grants.iter().collect();
    if shown.len() > MOST {
        // The sort is stable: the names' order stays within each of the two.
        shown.sort_by_key(|grant| !is_pressing(grant, now));
        shown.truncate(MOST);
        shown.sort_by(|one, other| one.grant.cmp(&other.grant));
    }
    shown
}

fn is_pressing(grant: &GrantReport, now: Timestamp) -> bool {
    words::mark(grant.state) == "bad" || grant.last_failure.is_some() || ends_soon(grant.consent_until, now)
}

fn row(html: &mut Html, view: &BankView, grant: &GrantReport, now: Timestamp) {
    let (state, mark) = (words::state(grant.state), words::mark(grant.state));
    html.put("<tr data-grant=\"{} of {}\" data-state=\"{}\">", &[&grant.grant, &view.title, &state]);
    html.put("<th scope=\"row\">{}</th><td data-label=\"State\">", &[&grant.grant]);
    html.put("<span class=\"badge {}\">{}</span></td><td data-label=\"Token ends\">", &[&mark, &state]);
    moment(html, grant.expires_at, now);
    html.put("</td><td data-label=\"Consent ends\">", &[]);
    // One element for both: on a phone, the cell spreads its elements over its width.
    html.put("<span>", &[]);
    if ends_soon(grant.consent_until, now) && grant.issued_at.is_some() {
        html.put("<span class=\"dot watch\"></span>", &[]);
    }
    moment(html, grant.consent_until, now);
    html.put("</span>", &[]);
    html.put("</td><td data-label=\"Scopes\">{}</td><td class=\"actions\">", &[&scopes(grant)]);
    if view.grant_type != "fixed" {
        buttons(html, view, grant);
    }
    html.put("</td></tr>", &[]);
    if let Some(failure) = &grant.last_failure {
        why(html, failure, now);
    }
}

/// Why the last renewal brought no token, below the grant's row.
fn why(html: &mut Html, failure: &LastFailure, now: Timestamp) {
    html.put(
        "<tr class=\"why\"><td colspan=\"6\"><p class=\"note bad\"><strong>The last renewal failed:</strong> ",
        &[],
    );
    html.put("{}. {}.", &[&failure.reason, &failure.remedy]);
    if failure.retry_at > now {
        html.put(
            " It is tried again <time datetime=\"{}\">{}</time>.",
            &[&failure.retry_at, &words::distance(failure.retry_at, now)],
        );
    }
    html.put("</p></td></tr>", &[]);
}

fn scopes(grant: &GrantReport) -> String {
    if grant.scopes.is_empty() { "–".into() } else { grant.scopes.join(", ") }
}

/// Each button has an id, so that the focus stays where it was when the row is replaced.
fn buttons(html: &mut Html, view: &BankView, grant: &GrantReport) {
    let is_there = grant.issued_at.is_some();
    if is_by_person(view) {
        let (class, word) = if is_there { ("quiet", "Authorize again") } else { ("", "Authorize") };
        button(html, view, grant, "authorize", class, word);
    }
    if grant.refreshable {
        button(html, view, grant, "renew", "quiet", "Renew");
    }
    if is_there {
        button(html, view, grant, "remove", "quiet", "Remove");
    }
}

fn button(html: &mut Html, view: &BankView, grant: &GrantReport, does: &str, class: &str, word: &str) {
    html.put("<button type=\"button\" class=\"script {}\" id=\"{}/{}/{}\"", &[&class, &view.name, &grant.grant, &does]);
    html.put(" data-do=\"{}\" data-bank=\"{}\" data-grant-name=\"{}\"", &[&does, &view.name, &grant.grant]);
    html.put(" data-revokes=\"{}\"", &[&view.revokes]);
    html.put(
        " data-ends-here=\"{}\" aria-label=\"{} {} of {}\">",
        &[&view.ends_here, &word, &grant.grant, &view.title],
    );
    html.put("{}</button>", &[&word]);
}

/// A grant of a name that there is none of yet.
pub(super) fn another(html: &mut Html, view: &BankView) {
    html.put("<form class=\"another script\" data-bank=\"{}\" data-ends-here=\"{}\">", &[&view.name, &view.ends_here]);
    html.put("<label for=\"{}-another\">Another grant</label>", &[&view.name]);
    html.put("<input id=\"{}-another\" name=\"grant\" required maxlength=\"128\" autocomplete=\"off\" ", &[&view.name]);
    html.put("autocapitalize=\"none\" spellcheck=\"false\" placeholder=\"name\" pattern=\"[A-Za-z0-9][A-Za-z0-9_.:@+\\-]*\" ", &[]);
    html.put(
        "title=\"Letters, digits and -_.:@+\"><button type=\"submit\" class=\"quiet\">Authorize</button></form>",
        &[],
    );
}

fn moment(html: &mut Html, at: Option<Timestamp>, now: Timestamp) {
    match at {
        Some(at) => html.put("<time datetime=\"{}\" title=\"{}\">{}</time>", &[&at, &at, &words::distance(at, now)]),
        None => html.put("–", &[]),
    };
}
