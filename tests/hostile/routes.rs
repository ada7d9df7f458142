//! Requests that try to slip a bank's routes: by paths that servers read in two ways, and by words for another method or
//! path beside their own. Written as `hostile.rs` says.

use super::Row;
use super::Verdict::{Passes, Refused};

/// Under `/v1` GET and POST may pass, but not to `/v1/pay`.
pub(crate) const RULES: &str = "[[@.routes]]\npath = \"/v1/pay/**\"\ndeny = true\n\
                                [[@.routes]]\npath = \"/v1/pay\"\ndeny = true\n\
                                [[@.routes]]\npath = \"/v1/**\"\nmethods = [\"GET\", \"POST\"]\n";

pub(crate) const ROWS: &[Row] = &[
    Row("what may pass", "GET /v1/row HTTP/1.1¶Host: localhost¶¶", Passes("GET /v1/row HTTP/1.1", "")),
    Row(
        "what may pass, with letters beyond ASCII",
        "GET /v1/%C3%A4/%E6%97%A5 HTTP/1.1¶Host: localhost¶¶",
        Passes("GET /v1/%C3%A4/%E6%97%A5 HTTP/1.1", ""),
    ),
    Row("what is denied", "GET /v1/pay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("another method", "DELETE /v1/row HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("an allowed method in small letters", "get /v1/row HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    // Paths.
    Row("capitals", "GET /V1/PAY/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("capitals of a part", "GET /v1/Pay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a slash at the end", "GET /v1/pay/ HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("two slashes", "GET /v1//pay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("two slashes at the beginning", "GET //v1/pay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a dot segment", "GET /v1/./pay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("two dots", "GET /v1/x/../pay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("two escaped dots", "GET /v1/x/%2e%2e/pay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("dots and a space", "GET /v1/x/..%20/pay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("dots that are escaped twice", "GET /v1/x/%252e%252e/pay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("dots and parameters", "GET /v1/x/..;/pay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("parameters", "GET /v1/pay;a=b/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a dot at the end", "GET /v1/pay./x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("an escaped letter", "GET /v1/p%61y/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("an escaped slash", "GET /v1%2Fpay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("an escaped slash behind it", "GET /v1/pay%2fx HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a backslash", "GET /v1\\pay\\x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a backslash behind it", "GET /v1/pay\\x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("an escaped backslash", "GET /v1/pay%5cx HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("an escaped backslash, in capitals", "GET /v1%5Cpay HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("an overlong slash", "GET /v1/pay%c0%afx HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a full-width slash", "GET /v1/pay%EF%BC%8Fx HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a full-width backslash", "GET /v1/pay%EF%BC%BCx HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a division slash", "GET /v1/pay%E2%88%95x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a fraction slash", "GET /v1/pay%E2%81%84x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a big solidus", "GET /v1/pay%E2%A7%B8x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a small backslash", "GET /v1/pay%EF%B9%A8x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("full-width dots", "GET /v1/x/%EF%BC%8E%EF%BC%8E/pay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a two-dot leader", "GET /v1/x/%E2%80%A5/pay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a full-width percent sign", "GET /v1/pay%EF%BC%852fx HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("full-width letters", "GET /v1/%EF%BD%90%EF%BD%81%EF%BD%99/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a letter of mathematics", "GET /v1/%F0%9D%93%85ay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a soft hyphen", "GET /v1/pa%C2%ADy/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a space without width", "GET /v1/pay%E2%80%8B/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a byte order mark", "GET /v1/%EF%BB%BFpay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a next-line control", "GET /v1/pay%C2%85/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a null", "GET /v1/pay%00/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a tab", "GET /v1/pay%09/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("bytes that are no UTF-8", "GET /v1/pay%FF/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("an absolute target", "GET http://localhost/v1/pay/x HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("the server as a whole", "OPTIONS * HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    // Another path beside the own one.
    Row("X-Original-URL", "GET /v1/row HTTP/1.1¶Host: localhost¶X-Original-URL: /v1/pay/x¶¶", Refused(403)),
    Row("X-Rewrite-URL", "GET /v1/row HTTP/1.1¶Host: localhost¶x-rewrite-url: /v1/pay/x¶¶", Refused(403)),
    Row("X_Original_URL", "GET /v1/row HTTP/1.1¶Host: localhost¶X_Original_URL: /v1/pay/x¶¶", Refused(403)),
    // Another method beside the own one.
    Row(
        "X-HTTP-Method-Override",
        "POST /v1/row HTTP/1.1¶Host: localhost¶X-HTTP-Method-Override: DELETE¶Content-Length: 0¶¶",
        Refused(403),
    ),
    Row(
        "X-HTTP-Method-Override to the same",
        "POST /v1/row HTTP/1.1¶Host: localhost¶X-HTTP-Method-Override: POST¶Content-Length: 0¶¶",
        Refused(403),
    ),
    Row(
        "X-HTTP-Method",
        "POST /v1/row HTTP/1.1¶Host: localhost¶x-http-method: DELETE¶Content-Length: 0¶¶",
        Refused(403),
    ),
    Row(
        "X-Method-Override",
        "POST /v1/row HTTP/1.1¶Host: localhost¶X-Method-Override: PUT¶Content-Length: 0¶¶",
        Refused(403),
    ),
    Row(
        "underscores for hyphens",
        "POST /v1/row HTTP/1.1¶Host: localhost¶X_HTTP_Method_Override: DELETE¶Content-Length: 0¶¶",
        Refused(403),
    ),
    Row("a parameter", "POST /v1/row?a&_method=DELETE HTTP/1.1¶Host: localhost¶Content-Length: 0¶¶", Refused(403)),
    Row("a parameter that is escaped", "POST /v1/row?%5Fmethod=DELETE HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a parameter behind a space", "POST /v1/row?+_method=DELETE HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a parameter with a dot", "POST /v1/row?.method=DELETE HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a parameter with a bracket", "POST /v1/row?[method=DELETE HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row("a parameter with a null", "POST /v1/row?_method%00=DELETE HTTP/1.1¶Host: localhost¶¶", Refused(403)),
    Row(
        "a parameter of another name",
        "GET /v1/row?method=DELETE HTTP/1.1¶Host: localhost¶¶",
        Passes("GET /v1/row?method=DELETE HTTP/1.1", ""),
    ),
];
