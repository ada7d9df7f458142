//! Doors for the fuzz targets and the benchmarks, which see only what is public.

use std::borrow::Cow;

use bytes::Bytes;
use http::Method;

use crate::config::{Bank, BaseUrl};
use crate::inbound::{Caller, Departure, access};
use crate::message::http1::{RequestHead, request_framing, write_request_head};
use crate::message::{Body, Request, Response};
use crate::words::{Random, Secret, Timestamp, Token};

use super::outgoing::Rewrite;
use super::routes::Passage;
use super::{Routes, incoming, path};

/// What makes requests ready for a bank, each with the same token.
pub struct Rewriter {
    rewrite: Rewrite,
    token: Token,
}

impl Rewriter {
    /// For this bank.
    pub fn new(bank: &Bank) -> Self {
        let token = Token::bearer(&Secret::from("token"), 1, Timestamp::default(), None);
        Self { rewrite: Rewrite::new(bank, Random::seeded(1)), token }
    }

    /// The head that the bank would get for this one, but for what frames a body; `None` where its target has no path.
    pub fn head(&self, request: Request) -> Option<Vec<u8>> {
        let target = match access::origin_form(&request.target)? {
            Cow::Borrowed(same) if same.len() == request.target.len() => None,
            other => Some(Bytes::from(other.into_owned())),
        };
        let (mut outgoing, body) = self.rewrite.rewrite(request, target, 0, &Departure::default());
        let request = outgoing.with(body, &self.token);
        request.fields.remove("Content-Length");
        let mut out = Vec::with_capacity(512);
        write_request_head(&mut out, &request.method, &request.target, &request.fields);
        Some(out)
    }
}

/// A request without a body.
pub fn request(head: RequestHead) -> Request {
    let RequestHead { method, target, fields, version } = head;
    let mut request = Request::new(method, target, Body::absent());
    (request.version, request.fields) = (version, fields);
    request
}

/// The head that the bank would get for this one, but for what frames a body; `None` where the request is refused.
pub fn rewritten(bank: &Bank, head: RequestHead, caller: &Caller) -> Option<Vec<u8>> {
    request_framing(&head).ok()?;
    let request = request(head);
    access::check(&bank.access, &request, caller).ok()?;
    Rewriter::new(bank).head(request)
}

/// Rewrites an answer for an app that sent this `Host`.
pub fn rewrite_answer(answer: &mut Response, base: &BaseUrl, host: &[u8]) {
    incoming::rewrite(answer, base, Some(host));
}

/// Whether the routes let this through.
pub fn passes(routes: &Routes, method: &Method, target: &[u8]) -> bool {
    routes.find(method, path::path_only(target)).and_then(Passage::through).is_ok()
}
