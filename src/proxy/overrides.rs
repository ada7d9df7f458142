//! Fields and parameters by which a request names another method or path than its request line: some frameworks obey them,
//! and a rule would have judged the wrong request.

use crate::message::Fields;

/// Fields that name another method.
const METHOD_FIELDS: [&str; 4] = ["x-http-method-override", "x-http-method", "x-method-override", "x-original-method"];
/// Fields that name another path.
const PATH_FIELDS: [&str; 4] = ["x-original-url", "x-rewrite-url", "x-override-url", "x-http-path-override"];
/// The parameter that names another method.
const METHOD_PARAMETER: &[u8] = b"_method";

/// Whether a server may take the request for one with another method.
pub(super) fn of_method(fields: &Fields, path_and_query: &[u8]) -> bool {
    has_one_of(fields, &METHOD_FIELDS) || has_method_parameter(path_and_query)
}

/// Whether a server may take the request for one with another path.
pub(super) fn of_path(fields: &Fields) -> bool {
    has_one_of(fields, &PATH_FIELDS)
}

/// Whether a server may take another method or path from a field of this name.
pub(super) fn is_one(name: &[u8]) -> bool {
    METHOD_FIELDS.iter().chain(&PATH_FIELDS).any(|wanted| is_same_name(name, wanted))
}

fn has_one_of(fields: &Fields, names: &[&str]) -> bool {
    fields.iter().any(|(name, _)| names.iter().any(|wanted| is_same_name(name, wanted)))
}

/// Whether a server may take one name for the other: gateways such as CGI make the same of a hyphen, an underscore and
/// whatever else is no letter or digit.
pub(super) fn is_same_name(name: &[u8], wanted: &str) -> bool {
    let plain = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' };
    name.len() == wanted.len() && name.iter().copied().map(plain).eq(wanted.bytes().map(plain))
}

fn has_method_parameter(path_and_query: &[u8]) -> bool {
    let Some(start) = path_and_query.iter().position(|&byte| byte == b'?') else { return false };
    path_and_query[start + 1..]
        .split(|byte| matches!(byte, b'&' | b';'))
        .filter_map(|parameter| parameter.split(|&byte| byte == b'=').next())
        .any(is_method_parameter)
}

/// Whether a framework may take the name for that of the parameter. PHP leaves out spaces before a name and all from a NUL
/// on, takes spaces, dots and brackets for underscores, and a bracket behind the name for the beginning of an index.
fn is_method_parameter(name: &[u8]) -> bool {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'+');
    let plain = |byte: u8| if matches!(byte, b' ' | b'+' | b'.' | b'[') { b'_' } else { byte.to_ascii_lowercase() };
    let mut name = percent_encoding::percent_decode(name).take_while(|byte| *byte != 0).skip_while(is_space);
    METHOD_PARAMETER.iter().all(|wanted| name.next().map(plain) == Some(*wanted))
        && matches!(name.next(), None | Some(b'['))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str) -> Fields {
        let mut fields = Fields::new();
        fields.push(name, "DELETE");
        fields
    }

    #[test]
    fn another_method_is_found_however_it_is_spelt() {
        for name in
            ["X-HTTP-Method-Override", "x-http-method", "X_HTTP_METHOD_OVERRIDE", "X-Method-Override", "X.HTTP.Method"]
        {
            assert!(of_method(&fields(name), b"/x") && !of_path(&fields(name)), "{name}");
        }
        for target in
            ["/x?_method=DELETE", "/x?a=b&_METHOD=delete", "/x?%5fmethod=PUT", "/x?a;_method=PUT", "/x?_method"]
        {
            assert!(of_method(&Fields::new(), target.as_bytes()), "{target}");
        }
    }

    /// PHP leaves out spaces before a name and what is behind a NUL, and takes spaces, dots and brackets for underscores.
    #[test]
    fn another_method_is_found_in_each_name_that_php_takes_for_its_parameter() {
        for name in [
            "%20_method",
            "+_method",
            "+%20+_METHOD",
            ".method",
            "%2Emethod",
            "[method",
            "%5bmethod",
            "_method%00",
            "_method%00x",
            ".method%00[",
            "_method[]",
            "_method%5Bx]",
            "%20%5bm%65thod",
        ] {
            for target in [format!("/x?{name}=DELETE"), format!("/x?{name}"), format!("/x?a=b&{name}=DELETE&c")] {
                assert!(of_method(&Fields::new(), target.as_bytes()), "{target}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_it_is_left_alone() {
        for name in ["X-HTTP-Method-Overrides", "HTTP-Method", "X-Request-ID"] {
            assert!(!of_method(&fields(name), b"/x"), "{name}");
        }
        for target in [
            "/_method=x",
            "/x?method=DELETE",
            "/x?a=_method",
            "/x?a_method=1",
            "/x?_methods=1",
            "/x?%20method=1",
            "/x?%00_method=1",
            "/x?_method%20=1",
            "/x?_metho%00d",
            "/x?a%00_method",
            "/x?",
            "/x?&=&%00",
            "/x?__method",
            "/x?_%20method",
        ] {
            assert!(!of_method(&Fields::new(), target.as_bytes()), "{target}");
        }
    }

    #[test]
    fn another_path_is_found() {
        assert!(of_path(&fields("X-Original-URL")) && of_path(&fields("x_rewrite_url")));
        assert!(!of_path(&fields("X-Original-Host")));
    }
}
