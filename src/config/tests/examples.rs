//! What lies in `config/`: the examples, the built-in profiles, and the file with every key.

use serde_json::Value as Json;

use super::*;
use crate::config::profile::built_in;

#[test]
fn the_examples_load_without_a_warning() {
    let examples = files_in("config");
    assert!(examples.len() >= 3);
    for (name, text) in examples {
        let config = load(&text).unwrap_or_else(|problems| panic!("{name}:\n{problems}"));
        assert_eq!(config.warnings, [], "{name}");
    }
}

#[test]
fn every_profile_is_complete_but_for_what_the_user_must_say() {
    let profiles = files_in("config/banks");
    assert_eq!(profile_names().count(), profiles.len());
    for name in profile_names() {
        let text = format!(
            "{IDENTITY}[banks.examplebank]\nprofile = \"{name}\"\nlisten = \"127.0.0.1:0\"\n\
             base_url = \"https://api.bank.example\"\nredirect_uri = \"https://example.com/callback\"\n"
        );
        let config = load(&text).unwrap_or_else(|problems| panic!("{name}:\n{problems}"));
        assert_eq!(config.warnings, [], "{name}");
    }
}

#[test]
fn a_profile_without_a_base_makes_it_a_setting_of_the_bank() {
    let without: Vec<_> =
        files_in("config/banks").into_iter().filter(|(_, text)| !text.contains("\nbase_url")).collect();
    assert_eq!(without.len(), 1);
    let name = without[0].0.trim_end_matches(".toml");
    let text = format!("[banks.examplebank]\nprofile = \"{name}\"\nlisten = \"127.0.0.1:0\"\n");
    assert_eq!(problems(&text), [(1, "banks.examplebank.base_url".to_owned(), "is missing".to_owned())]);
}

#[test]
fn every_value_of_a_profile_has_its_origin_in_a_comment() {
    for (name, text) in files_in("config/banks") {
        let mut origin_above = false;
        for line in text.lines() {
            if line.contains(" = ") && !line.starts_with('#') {
                let has_one = line.contains('#') || origin_above || line.starts_with("title");
                assert!(has_one, "{name}: {line}");
            }
            // A comment on a line of its own is for the paragraph below it.
            origin_above = line.starts_with("# (") || origin_above && !line.is_empty() || line.ends_with("fields]");
        }
    }
}

#[test]
fn the_full_example_shows_every_key_and_no_other() {
    let (_, text) = files_in("config").into_iter().find(|(name, _)| name == "bankside.toml").expect("it is there");
    let uncommented: Vec<_> = text.lines().map(uncomment).collect();
    let all: toml::Table = uncommented.join("\n").parse().expect("valid with every line in force");
    let Json::Object(all) = serde_json::to_value(all).expect("as JSON") else { panic!("a table") };
    let schema = schema();
    let mut missing = Vec::new();
    compare(&[&Json::Object(all)], &schema, &schema, "", &mut missing);
    assert_eq!(missing, Vec::<String>::new());
}

/// A setting that is left out begins with `#` and its key, a comment with a space.
fn uncomment(line: &str) -> &str {
    let setting = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()));
    setting.unwrap_or(line)
}

/// Notes keys that the schema has and none of `tables` shows; panics at one that the schema does not know.
fn compare(tables: &[&Json], schema: &Json, root: &Json, path: &str, missing: &mut Vec<String>) {
    let schema = match schema["$ref"].as_str().and_then(|name| root.pointer(name.trim_start_matches('#'))) {
        Some(schema) => schema,
        None => schema,
    };
    if let Some(item) = schema.get("items") {
        let items: Vec<_> = tables.iter().filter_map(|table| table.as_array()).flatten().collect();
        return compare(&items, item, root, path, missing);
    }
    if let Some(any) = schema.get("additionalProperties").filter(|any| any.is_object()) {
        let values: Vec<_> =
            tables.iter().filter_map(|table| table.as_object()).flat_map(|table| table.values()).collect();
        return compare(&values, any, root, path, missing);
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    // Secrets are shown in one of their forms each, and an identity of a bank has the keys of the global one.
    if schema["properties"].get("env").is_some() || path.starts_with(".banks.identity") {
        return;
    }
    for table in tables.iter().filter_map(|table| table.as_object()) {
        for key in table.keys() {
            assert!(properties.contains_key(key), "{path}.{key} is not in the schema");
        }
    }
    for (key, schema) in properties {
        let values: Vec<_> = tables.iter().filter_map(|table| table.get(key)).collect();
        if values.is_empty() {
            missing.push(format!("{path}.{key}"));
        }
        compare(&values, schema, root, &format!("{path}.{key}"), missing);
    }
}

#[test]
fn the_schema_documents_every_key_and_shows_its_default() {
    let schema = schema();
    for (name, table) in schema["$defs"].as_object().expect("definitions") {
        for (key, property) in table["properties"].as_object().expect("properties") {
            assert!(!property["description"].as_str().unwrap_or_default().is_empty(), "{name}.{key}");
        }
        assert_eq!(table["additionalProperties"], Json::Bool(false), "{name}");
    }
    assert_eq!(schema.pointer("/$defs/Timeouts/properties/connect/default"), Some(&"5s".into()));
    assert_eq!(schema.pointer("/$defs/Limits/properties/in_flight/default"), Some(&1024.into()));
    assert_eq!(schema.pointer("/properties/banks/additionalProperties/$ref"), Some(&"#/$defs/Bank".into()));
}

#[test]
fn the_field_that_overrides_a_certificate_passes_where_tokens_are_fixed_and_nowhere_else() {
    for name in profile_names() {
        let text = built_in(name).expect("it is built in");
        let is_fixed = text.contains("grant_type = \"fixed\"");
        assert_eq!(text.contains("remove = [\"X-Client-Certificate\"]"), !is_fixed, "{name}");
    }
}
