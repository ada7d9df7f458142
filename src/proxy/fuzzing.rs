//! Doors for the fuzz targets, which see only what is public.

use bytes::Bytes;
use http::Method;

use crate::config::Bank;
use crate::inbound::{Caller, access};
use crate::message::http1::{RequestHead, request_framing, write_request_head};
use crate::message::{Body, Request};
use crate::words::{Random, Secret, Timestamp, Token};

use super::outgoing::Rewrite;
use super::{Routes, path};

/// The head that the bank would get for this one, but for what frames a body; `None` where the request is refused.
pub fn rewritten(bank: &Bank, head: RequestHead, caller: &Caller) -> Option<Vec<u8>> {
    request_framing(&head).ok()?;
    let RequestHead { method, target, fields, version } = head;
    let mut request = Request::new(method, target, Body::absent());
    (request.version, request.fields) = (version, fields);
    access::check(&bank.access, &request, caller).ok()?;
    let target = Bytes::from(access::origin_form(&request.target)?.into_owned());
    let (mut outgoing, body) = Rewrite::new(bank, Random::seeded(1)).rewrite(request, Some(target), 0);
    let request = outgoing.with(body, &Token::bearer(&Secret::from("token"), 1, Timestamp::default(), None));
    request.fields.remove("Content-Length");
    let mut out = Vec::new();
    write_request_head(&mut out, &request.method, &request.target, &request.fields);
    Some(out)
}

/// Whether the routes let this through.
pub fn passes(routes: &Routes, method: &Method, target: &[u8]) -> bool {
    routes.find(method, path::path_only(target)).is_ok()
}
