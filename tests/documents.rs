//! What the documents say, compared with the sources that they speak of.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "documents/events.rs"]
mod events;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bankside::words::Kind;
use events::events;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect("it can be read")
}

/// The text of every Rust file below a folder, with its path.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let (mut folders, mut sources) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it can be listed") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("it can be read");
                sources.push((path, text));
            }
        }
    }
    sources
}

/// What stands between backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_kind_of_problem_has_its_section_of_help() {
    let text = document("docs/TROUBLESHOOTING.md");
    for kind in Kind::ALL {
        let heading = format!("\n## {}\n", kind.name());
        let section = text.split_once(&heading).unwrap_or_else(|| panic!("no section {}", kind.name())).1;
        let section = section.split("\n## ").next().unwrap();
        assert!(section.contains(&format!("The app sees {}", kind.status().as_u16())), "{}", kind.name());
        for part in ["**The log says**", "**Do**"] {
            assert!(section.contains(part), "{}: no {part}", kind.name());
        }
    }
}

#[test]
fn every_event_of_the_log_is_described_with_its_fields() {
    let text = document("docs/LOGGING.md");
    let named = quoted(&text);
    let in_sandbox = |path: &Path| path.to_string_lossy().contains("/src/sandbox");
    let without_tests = |text: &str| text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
    let sources = sources("src").into_iter().filter(|(path, _)| !in_sandbox(path));
    let events: Vec<_> = sources.flat_map(|(_, text)| events(&without_tests(&text))).collect();
    assert!(events.len() > 20, "the events were found: {events:?}");
    for event in events {
        assert!(text.contains(&format!("`{}`", event.message)), "docs/LOGGING.md lacks the event {event:?}");
        for field in &event.fields {
            assert!(named.contains(field.as_str()), "docs/LOGGING.md lacks the field {field} of {event:?}");
        }
    }
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let text = document("docs/SECURITY.md");
    let code: String = ["src", "tests"].iter().flat_map(|folder| sources(folder)).map(|(_, text)| text).collect();
    let table = text.split_once("| tested by |").expect("the table").1.split("\n\n").next().unwrap();
    for row in table.lines().skip(2) {
        let cell = row.trim_end_matches('|').rsplit('|').next().expect("a cell");
        let tests = quoted(cell);
        assert!(!tests.is_empty(), "no test: {row}");
        for test in tests {
            assert!(code.contains(&format!("fn {test}()")), "there is no test {test}");
        }
    }
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let names = [
        "README.md",
        "docs/ARCHITECTURE.md",
        "docs/LOGGING.md",
        "docs/PERFORMANCE.md",
        "docs/SECURITY.md",
        "docs/TROUBLESHOOTING.md",
    ];
    for name in names {
        let folder = root().join(name).parent().expect("a folder").to_owned();
        let text = document(name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { root().join(name) } else { folder.join(file) };
            assert!(target.exists(), "{name}: {link}");
            assert!(anchor.is_empty() || anchors(&target).contains(anchor), "{name}: {link}");
        }
    }
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).expect("it can be read");
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings
        .map(|heading| {
            let kept = heading.to_lowercase();
            kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
        })
        .collect()
}
