//! The house test: floors, front matter and bank-free code, held by reading the sources.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "house/rules.rs"]
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use rules::{Source, sleeps, violations};

/// Every source file under this folder, with its path from there.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be listed") {
            let path: PathBuf = entry.expect("the entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("it is below the root").to_string_lossy().into_owned();
                sources.push(Source { name, text: fs::read_to_string(&path).expect("the file can be read") });
            }
        }
    }
    sources
}

#[test]
fn the_house_stands() {
    let sources = sources("src");
    assert!(sources.len() > 40, "the sources were found");
    let violations = violations(&sources);
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn no_test_sleeps_for_luck() {
    let tests = sources("tests");
    assert!(tests.len() > 40, "the tests were found");
    let sleeps: Vec<_> = tests.iter().flat_map(sleeps).collect();
    assert!(sleeps.is_empty(), "\n{}", sleeps.join("\n"));
}

#[test]
fn a_planted_sleep_is_found_in_every_spelling() {
    let planted = |name: &str, text: &str| sleeps(&Source { name: name.into(), text: text.into() }).len();
    for text in [
        "fn f() { tokio::time::sleep(SECOND).await }",
        "use std::thread::sleep; fn f() { loop { sleep(SECOND) } }",
        "use std::thread::sleep as rest;",
        "fn f() { tokio::time::sleep_until(later).await }",
    ] {
        assert!(planted("faults.rs", text) > 0, "{text}");
        assert_eq!(planted("support/wait.rs", text), 0, "{text}");
    }
    assert_eq!(planted("faults.rs", "const SQL: &str = \"SELECT pg_sleep(6)\"; // sleep(6)"), 0);
}

/// The violations of one planted file.
fn planted(name: &str, text: &str) -> Vec<String> {
    violations(&[Source { name: name.into(), text: text.into() }])
}

#[test]
fn a_downward_import_and_the_own_room_are_allowed() {
    assert_eq!(planted("proxy/serve.rs", "//! Doc.\nuse crate::oauth::Tokens;\nuse crate::proxy::limits;"), [""; 0]);
    assert_eq!(planted("proxy/serve.rs", "//! Doc.\nuse super::limits;\nuse super::super::words::Kind;"), [""; 0]);
    assert_eq!(planted("proxy/serve.rs", "//! Doc.\nmod tests { use super::super::limits; }"), [""; 0]);
}

#[test]
fn a_planted_upward_import_is_found_in_every_spelling() {
    for text in [
        "use crate::proxy::Proxy;",
        "use crate::{words::Kind, proxy::Proxy};",
        "use super::super::proxy::Proxy;",
        "fn f() { crate::proxy::f() }",
        "fn f() { println!(\"{}\", crate::proxy::NAME) }",
        "mod tests { use crate::proxy::Proxy; }",
        "mod tests { use super::super::super::proxy::Proxy; }",
        "mod rows; fn f() { super::super::proxy::f() }",
        "use crate as house;",
        "use crate::*;",
    ] {
        assert_eq!(planted("store/rows.rs", &format!("//! Doc.\n{text}")).len(), 1, "{text}");
    }
}

#[test]
fn an_import_of_a_neighbour_on_the_same_floor_is_found() {
    assert_eq!(planted("store.rs", "//! Doc.\nuse super::upstream::Client;").len(), 1);
    assert_eq!(planted("inbound/access.rs", "//! Doc.\nuse crate::store::Store;").len(), 1);
}

#[test]
fn imports_in_comments_and_strings_do_not_count() {
    assert_eq!(planted("store.rs", "//! Doc.\n// use crate::proxy::X;\nconst A: &str = \"crate::proxy\";"), [""; 0]);
}

#[test]
fn a_banks_name_is_found_outside_the_simulator_and_in_any_case() {
    for text in ["const A: &str = \"iCard\";", "// as CNB does", "fn is_cnb() {}"] {
        assert_eq!(planted("oauth/login.rs", &format!("//! Doc.\n{text}")).len(), 1, "{text}");
        assert_eq!(planted("sandbox/data.rs", &format!("//! Doc.\n{text}")), [""; 0]);
    }
}

#[test]
fn a_file_without_its_opening_words_is_found() {
    for text in ["", "use std::fmt;", "// A comment.", "//!\n", "/// Doc.\nfn f() {}"] {
        assert_eq!(planted("words/name.rs", text).len(), 1, "{text:?}");
    }
}

#[test]
fn a_room_without_a_floor_is_found() {
    assert_eq!(planted("attic/box.rs", "//! Doc.").len(), 1);
}
