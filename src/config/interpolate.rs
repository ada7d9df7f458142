//! `${NAME}` and `${NAME:-default}` inside strings, replaced from the environment.

use zeroize::Zeroizing;

use super::{Environment, Invalid};

/// Replaces each `${NAME}` by the variable's value, and `${NAME:-default}` by the default where the variable is unset or
/// empty, as a shell does. `$${` stands for a plain `${`; any other `$` is itself.
pub(super) fn interpolate(text: &str, environment: &dyn Environment) -> Result<Zeroizing<String>, Invalid> {
    let mut result = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        result.push_str(&rest[..at]);
        let inside = &rest[at + 2..];
        let end = inside
            .find('}')
            .ok_or_else(|| Invalid::new("a `${` has no `}`", "close it, or write `$${` for a plain `${`"))?;
        result.push_str(&variable(&inside[..end], environment)?);
        rest = &inside[end + 1..];
    }
    result.push_str(rest);
    Ok(result)
}

fn variable(inside: &str, environment: &dyn Environment) -> Result<Zeroizing<String>, Invalid> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Invalid::new(
            "what stands in `${}` is no variable's name",
            "write `${NAME}` or `${NAME:-default}`, and `$${` for a plain `${`",
        ));
    }
    let value = environment.variable(name).map(Zeroizing::new);
    match (value, default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(Zeroizing::new(default.to_owned())),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(Zeroizing::new(default.to_owned())),
        (None, None) => Err(Invalid::new(
            format!("the environment variable `{name}` is not set"),
            format!("set it, or write a default: `${{{name}:-…}}`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("bank.example".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn filled(text: &str) -> Option<String> {
        interpolate(text, &environment).ok().map(|text| text.to_string())
    }

    #[test]
    fn variables_are_replaced_and_defaults_stand_in() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("https://${HOST}/${PATH_:-v1}", "https://bank.example/v1"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${NONE:-}", ""),
            ("a$b$$c$", "a$b$$c$"),
            ("$${HOST}", "${HOST}"),
            ("$$${HOST}", "$${HOST}"),
        ] {
            assert_eq!(filled(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_a_problem() {
        for text in ["${NONE}", "${HOST", "${}", "${a b}", "${9}", "${HOST:default}"] {
            assert_eq!(filled(text), None, "{text}");
        }
    }

    #[test]
    fn what_comes_from_the_environment_is_not_read_again() {
        let nested = |_: &str| Some("${HOST}".to_owned());
        assert_eq!(interpolate("${X}", &nested).expect("is set").as_str(), "${HOST}");
    }
}
