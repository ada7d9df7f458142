//! Who may use the bank: a pure judgement of a request and the one who sends it.
//!
//! The Host rule and the rules for what browsers add keep web pages out, which reach every loopback port of the machine
//! that shows them: by a name of their own that leads to 127.0.0.1 (DNS rebinding), or by cross-site requests.

mod host;

use std::borrow::Cow;

use http::{Method, Version};

use crate::config::Access;
use crate::message::{Fields, Request};

use super::Caller;

pub use host::Host;

/// Names of fields that begin so are the sidecar's own.
const OWN_PREFIX: &[u8] = b"bankside-";

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessRefusal {
    /// The request is not one that a gateway serves, or can be read in two ways.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The bank would send the token back with the rest of the request (RFC 9110, section 9.3.8).
    #[error("TRACE would show the token: the bank sends back what it gets")]
    Trace,
    /// The `Host` is none of ours.
    #[error("the Host is neither loopback, nor the listen address, nor among access.hosts")]
    WrongHost,
    /// The caller has no right.
    #[error("{0}")]
    CallerRefused(&'static str),
}

/// Judges a request by a bank's access rules. It does not change it: `Bankside-*` and an absolute target are for the
/// proxy to take away ([`origin_form`]).
pub fn check(access: &Access, request: &Request, caller: &Caller) -> Result<(), AccessRefusal> {
    check_uid(access, caller)?;
    check_own_fields(&request.fields)?;
    let host = host_of(request)?;
    check_target(access, request, host.as_ref(), caller)?;
    check_host(access, host.as_ref(), caller)?;
    check_no_web_page(&request.fields)?;
    check_key(access, &request.fields)
}

/// The path and query of a target, without the scheme and authority of absolute-form (RFC 9112, section 3.2); `*` as it
/// is. `None` where the target has no such form.
pub fn origin_form(target: &[u8]) -> Option<Cow<'_, [u8]>> {
    if target.starts_with(b"/") || target == b"*" {
        return Some(Cow::Borrowed(target));
    }
    let authority = authority(target)?;
    let start = "http://".len() + authority.len();
    match target.get(start) {
        None => Some(Cow::Borrowed(b"/")),
        Some(b'/') => Some(Cow::Borrowed(&target[start..])),
        // A query may follow at once; the path is then the root (RFC 9110, section 4.2.3).
        Some(_) => Some(Cow::Owned([b"/", &target[start..]].concat())),
    }
}

/// The authority of a target in absolute-form with the scheme `http`.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = target.split_at_checked("http://".len())?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    scheme.eq_ignore_ascii_case(b"http://").then_some(&rest[..end])
}

fn check_uid(access: &Access, caller: &Caller) -> Result<(), AccessRefusal> {
    match (&access.uids, caller) {
        (Some(uids), Caller::Unix { uid, .. }) if !uid.is_some_and(|uid| uids.contains(&uid)) => {
            Err(AccessRefusal::CallerRefused("the user of the calling process is not among access.uids"))
        }
        (None, Caller::Unix { is_stranger: true, .. }) if access.key.is_none() => Err(AccessRefusal::CallerRefused(
            "every user may connect to this socket, and neither access.uids nor access.key says which may call",
        )),
        _ => Ok(()),
    }
}

/// Two values for a field of ours could be taken for either.
fn check_own_fields(fields: &Fields) -> Result<(), AccessRefusal> {
    let is_own =
        |name: &[u8]| name.get(..OWN_PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(OWN_PREFIX));
    for (index, (name, _)) in fields.iter().enumerate() {
        if is_own(name) && fields.iter().skip(index + 1).any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(AccessRefusal::BadRequest("a Bankside field is there more than once"));
        }
    }
    Ok(())
}

/// The one `Host`, which only HTTP/1.0 may lack.
fn host_of(request: &Request) -> Result<Option<Host<'_>>, AccessRefusal> {
    let mut hosts = request.fields.get_all("host");
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            Host::parse(host).map(Some).ok_or(AccessRefusal::BadRequest("the Host field is malformed"))
        }
        (None, _) if request.version == Version::HTTP_10 => Ok(None),
        (None, _) => Err(AccessRefusal::BadRequest("the Host field is missing")),
        (Some(_), Some(_)) => Err(AccessRefusal::BadRequest("there are several Host fields")),
    }
}

/// Origin-form, `*` with OPTIONS, or absolute-form with an authority that is ours, and that `Host` says too.
fn check_target(
    access: &Access,
    request: &Request,
    host: Option<&Host<'_>>,
    caller: &Caller,
) -> Result<(), AccessRefusal> {
    // Methods mind case (RFC 9110, section 9.1), but the bank may not.
    let is = |method: &str| request.method.as_str().eq_ignore_ascii_case(method);
    if is("CONNECT") {
        return Err(AccessRefusal::BadRequest("CONNECT is for proxies, which this is not"));
    }
    // TRACK is another word for it.
    if is("TRACE") || is("TRACK") {
        return Err(AccessRefusal::Trace);
    }
    if request.target.starts_with(b"/") || (&request.target[..] == b"*" && request.method == Method::OPTIONS) {
        return Ok(());
    }
    let authority = authority(&request.target).and_then(Host::parse);
    match (authority, host) {
        (Some(authority), Some(host)) if authority == *host && is_ours(access, host, caller) => Ok(()),
        (Some(_), _) => Err(AccessRefusal::BadRequest("the absolute target is for another authority")),
        (None, _) => Err(AccessRefusal::BadRequest("the target is not a path")),
    }
}

/// Over a unix socket no web page comes, so any `Host` does. (HTTP/1.0 without one does too: browsers send it.)
fn check_host(access: &Access, host: Option<&Host<'_>>, caller: &Caller) -> Result<(), AccessRefusal> {
    match (caller, host) {
        (Caller::Tcp { .. }, Some(host)) if !is_ours(access, host, caller) => Err(AccessRefusal::WrongHost),
        _ => Ok(()),
    }
}

/// Whether it is a name or an address of the sidecar.
fn is_ours(access: &Access, host: &Host<'_>, caller: &Caller) -> bool {
    let is_known = |name: &String| Host::parse(name.as_bytes()).is_some_and(|known| known.same_name(host));
    host.is_loopback()
        || matches!(caller, Caller::Tcp { local, .. } if host.is_address(local.ip()))
        || access.hosts.iter().any(is_known)
}

/// What only browsers send, and cannot leave out: `Origin` (RFC 6454) with whatever could change something or be read,
/// Fetch Metadata with everything. `none` is a person who typed the address; `same-origin` is what that page fetches.
fn check_no_web_page(fields: &Fields) -> Result<(), AccessRefusal> {
    if fields.contains("origin") {
        return Err(AccessRefusal::CallerRefused("a web page must not use the bank: Origin is there"));
    }
    let is_harmless = |site: &[u8]| site == b"none" || site == b"same-origin";
    if fields.get_all("sec-fetch-site").all(is_harmless) {
        Ok(())
    } else {
        Err(AccessRefusal::CallerRefused("a web page must not use the bank: Sec-Fetch-Site says that it is one"))
    }
}

fn check_key(access: &Access, fields: &Fields) -> Result<(), AccessRefusal> {
    match (&access.key, fields.get("bankside-key")) {
        (None, _) => Ok(()),
        (Some(key), Some(presented)) if key.matches(presented) => Ok(()),
        (Some(_), Some(_)) => Err(AccessRefusal::CallerRefused("Bankside-Key is not the one of access.key")),
        (Some(_), None) => Err(AccessRefusal::CallerRefused("Bankside-Key is missing")),
    }
}

#[cfg(test)]
mod tests;
