//! Rules for header fields of a bank, over those of its profile.

use super::*;

/// The rules of a bank over a profile in a file, which stands on another one.
fn rules_over_profiles(headers: &str) -> Result<[Vec<(String, String)>; 3], Vec<String>> {
    let directory = directory();
    write(directory.path(), "base.toml", "headers.default = { X-A = \"base\", X-B = \"base\" }\n");
    let upper = "profile = \"./base.toml\"\n[headers]\nset = { x-b = \"upper\" }\nremove = [\"X-C\", \"X-D\"]\n";
    write(directory.path(), "upper.toml", upper);
    let text = format!("{IDENTITY}{BANK}profile = \"./upper.toml\"\n[banks.examplebank.headers]\n{headers}");
    let config = load_in(directory.path(), &text).map_err(|problems| {
        problems.0.iter().map(|one| format!("{}:{}: {}", one.place, one.place.key, one.reason)).collect::<Vec<_>>()
    })?;
    let rules = &config.banks[0].headers;
    let shown = |rules: &[(String, HeaderTemplate)]| {
        let shown = rules.iter().map(|(name, value)| (name.clone(), value.0.expose_str().unwrap_or("").to_owned()));
        shown.collect::<Vec<_>>()
    };
    let remove = rules.remove.iter().map(|name| (name.clone(), String::new())).collect();
    Ok([shown(&rules.set), shown(&rules.default), remove])
}

#[test]
fn a_rule_for_a_field_takes_the_place_of_the_profiles_whatever_its_kind_and_spelling() {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let removed = pairs(&[("X-C", ""), ("X-D", "")]);
    let upper = ("x-b", "upper");
    for (headers, set, default, remove) in [
        ("", &[upper][..], &[("X-A", "base")][..], removed.clone()),
        ("set = { X-A = \"own\" }", &[("X-A", "own"), upper], &[], removed.clone()),
        ("default = { x-a = \"own\" }", &[upper], &[("x-a", "own")], removed.clone()),
        ("default = { X-B = \"own\" }", &[], &[("X-B", "own"), ("X-A", "base")], removed),
        ("remove = [\"X-A\", \"X-B\"]", &[], &[], pairs(&[("X-A", ""), ("X-B", "")])),
        ("set = { X-D = \"own\" }", &[("X-D", "own"), upper], &[("X-A", "base")], pairs(&[("X-C", "")])),
    ] {
        let expected = [pairs(set), pairs(default), remove];
        assert_eq!(rules_over_profiles(headers), Ok(expected), "{headers}");
    }
}

#[test]
fn two_rules_for_a_field_in_one_file_are_told_at_their_line() {
    let lines = format!("{IDENTITY}{BANK}profile = \"./upper.toml\"\n[banks.examplebank.headers]\n").lines().count();
    let told = rules_over_profiles("set = { X-A = \"own\" }\ndefault = { x-a = \"own\" }").expect_err("it is told");
    let place = format!("bankside.toml:{}:banks.examplebank.headers.default.x-a", lines + 2);
    assert_eq!(told, [format!("{place}: the field `x-a` has more than one rule")]);
}
