//! The page for people: banks, certificates, grants, and buttons that the page's own script brings to life.
//!
//! The server makes all of it, so that it can be read without the script; the script asks for it again and again, and
//! puts what has changed in its place.

mod bank;
mod words;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::html::Html;
use super::server::{AdminState, ReloadReport};
use super::view;

const CSS: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const ICON: &str = include_str!("page/icon.svg");

pub(super) async fn css() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], CSS).into_response()
}

pub(super) async fn js() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}

pub(super) async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml")], ICON).into_response()
}

/// `GET /`.
pub(super) async fn page(State(state): State<Arc<AdminState>>) -> Response {
    let banks = view::banks(&state).await;
    let now = state.clock.now();
    let mut html = Html::new();
    head(&mut html, "bankside");
    html.put("<header class=\"top\"><h1><img src=\"/icon.svg\" alt=\"\" width=\"36\" height=\"36\">bankside</h1>", &[]);
    summary(&mut html, &banks, state.drain.is_cancelled());
    html.put(
        "</header><p id=\"news\" role=\"status\"></p><p id=\"lost\" class=\"note bad\" role=\"alert\" hidden>",
        &[],
    );
    html.put("The sidecar does not answer. What stands here may be out of date.</p>", &[]);
    reload(&mut html, state.view.load().reload.as_ref());
    html.put(
        "<noscript><p class=\"note\">Without scripts this page can be read, but changes nothing: load it again to see ",
        &[],
    );
    html.put(
        "what is new, and use <code>bankside login</code> and <code>bankside grant</code>.</p></noscript><main>",
        &[],
    );
    for view in &banks {
        bank::section(&mut html, view, now);
    }
    html.put("</main><footer>bankside {} · <a href=\"/metrics\">metrics</a> · ", &[&env!("CARGO_PKG_VERSION")]);
    html.put("<a href=\"/readyz\">readiness</a> · <a href=\"/api/openapi.json\">API</a></footer>", &[]);
    dialogs(&mut html);
    html.put("<script src=\"/page.js\" defer></script></body></html>", &[]);
    answer(StatusCode::OK, html)
}

/// What the person sees who comes back from a bank.
pub(super) fn with_way_back(status: StatusCode, title: &str, text: &str) -> Response {
    let mut html = Html::new();
    head(&mut html, title);
    let mark = if status.is_success() { "good" } else { "bad" };
    html.put(
        "<main class=\"alone\"><section class=\"bank\"><h1 class=\"{}\">{}</h1><p>{}</p>",
        &[&mark, &title, &text],
    );
    html.put("<p><a class=\"button\" href=\"/\">Back to all banks</a></p></section></main></body></html>", &[]);
    answer(status, html)
}

fn answer(status: StatusCode, html: Html) -> Response {
    (status, axum::response::Html(html.into_string())).into_response()
}

fn head(html: &mut Html, title: &str) {
    html.put("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>", &[&title]);
    html.put("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">", &[]);
    html.put("<meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"/icon.svg\">", &[]);
    html.put("<link rel=\"stylesheet\" href=\"/page.css\"></head><body>", &[]);
}

fn summary(html: &mut Html, banks: &[view::BankView], is_ending: bool) {
    let ready = banks.iter().filter(|bank| bank.missing.is_empty()).count();
    let is_good = ready == banks.len() && !is_ending;
    let state = if is_good { "good" } else { "bad" };
    html.put("<p id=\"summary\" class=\"badge {}\" data-live>", &[&state]);
    match (is_ending, is_good) {
        (true, _) => html.put("The sidecar is ending", &[]),
        (false, true) if ready == 1 => html.put("The bank is ready", &[]),
        (false, true) => html.put("All {} banks are ready", &[&ready]),
        (false, false) => html.put("{} of {} banks ready", &[&ready, &banks.len()]),
    };
    html.put("</p>", &[]);
}

/// A reload that failed: what runs is not what the files say.
fn reload(html: &mut Html, report: Option<&ReloadReport>) {
    html.put("<div id=\"reload\" data-live>", &[]);
    if let Some(report) = report.filter(|report| !report.problems.is_empty()) {
        html.put(
            "<div class=\"note bad\"><strong>The last reload failed</strong>, at <time>{}</time>. ",
            &[&report.at],
        );
        html.put("What ran before runs on.<ul>", &[]);
        for problem in &report.problems {
            html.put("<li>{}</li>", &[problem]);
        }
        html.put("</ul></div>", &[]);
    }
    html.put("</div>", &[]);
}

/// They are there from the start, so that what is typed into them is not replaced.
fn dialogs(html: &mut Html) {
    html.put(include_str!("page/dialogs.html"), &[]);
}
