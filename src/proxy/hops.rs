//! How far a request may go: `Max-Forwards` (RFC 9110, section 7.6.2).

use http::{Method, StatusCode};

use crate::message::{Body, Request, Response};

/// What may be asked of a bank. TRACE and CONNECT go to none.
pub(super) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

const FIELD: &str = "Max-Forwards";

/// Whether an OPTIONS request ends here (`Max-Forwards: 0`). One that goes on is counted down.
pub(super) fn ends_here(request: &mut Request) -> bool {
    if request.method != Method::OPTIONS {
        return false;
    }
    let left = request.fields.get(FIELD).and_then(|value| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
    match left {
        Some(0) => return true,
        Some(left) => request.fields.set(FIELD, (left - 1).to_string()),
        // What is not a number says nothing.
        None => {}
    }
    false
}

/// Our own answer to OPTIONS.
pub(super) fn answer() -> Response {
    let mut answer = Response::new(StatusCode::NO_CONTENT, Body::absent());
    answer.fields.push("Allow", METHODS);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(method: Method, value: &str) -> Option<String> {
        let mut request = Request::new(method, "/x", Body::absent());
        request.fields.push("max-forwards", value);
        let ends = ends_here(&mut request);
        let left = request.fields.get(FIELD).expect("it is there");
        (!ends).then(|| String::from_utf8(left.to_vec()).expect("text"))
    }

    #[test]
    fn a_request_goes_as_far_as_it_may() {
        for (value, left) in [("0", None), ("1", Some("0")), ("10", Some("9")), ("00", None)] {
            assert_eq!(forwarded(Method::OPTIONS, value).as_deref(), left, "{value}");
        }
    }

    #[test]
    fn it_means_nothing_with_other_methods_and_if_it_is_no_number() {
        assert_eq!(forwarded(Method::GET, "0").as_deref(), Some("0"));
        for value in ["", "-1", "x", "1, 2", "99999999999999999999"] {
            assert_eq!(forwarded(Method::OPTIONS, value).as_deref(), Some(value));
        }
    }
}
