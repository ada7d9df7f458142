//! The network edge: one request to one of the bank's endpoints, with an answer of bounded size.
//!
//! Token life is tested against a scripted [`BankCall`]; [`Edge`] is the real one. What matters of a failure is one bit:
//! whether the bank may have seen the request, since a refresh token that was seen may be spent.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use crate::config::HttpsUrl;
use crate::message::{Body, Fields, Frame, Request};
use crate::store::BoxFuture;
use crate::upstream::{Client, ClientSettings, Endpoint, Progress, SendError, TlsClient};

use super::{AssertionError, answer};

/// The longest answer that is read: tokens with many claims are some kilobytes.
const LONGEST_ANSWER: usize = 256 * 1024;
/// What an answer's content gets at least, however late its head came.
const LEAST_FOR_CONTENT: Duration = Duration::from_secs(1);

/// Hears whether a request leaves.
pub type Departs<'a> = &'a (dyn Fn(bool) + Send + Sync);

/// Sends one request to one of the bank's endpoints, over mutual TLS. Redirects are answers like any other.
pub trait BankCall: Send + Sync {
    /// Sends it once. The request has all its field lines but is in origin-form; `limit` bounds the time from when the
    /// request was sent to the end of the answer. What comes before the sending is bounded apart from that, and its
    /// failure leaves no doubt. `departs` hears when the request is about to leave, and when nothing of it has left after all.
    fn call<'a>(
        &'a self,
        url: &'a HttpsUrl,
        request: Request,
        limit: Duration,
        departs: Departs<'a>,
    ) -> BoxFuture<'a, Result<CallAnswer, CallError>>;
}

/// An answer as a whole.
pub struct CallAnswer {
    /// The status.
    pub status: StatusCode,
    /// The field lines.
    pub fields: Fields,
    /// The content. It may hold tokens.
    pub body: Zeroizing<Vec<u8>>,
}

/// Neither fields' values nor content.
impl fmt::Debug for CallAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallAnswer({})", self.status)
    }
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.what())]
pub struct CallError {
    /// Whether the bank may have seen the request.
    pub sent: bool,
    /// The status, where the answer failed after its head.
    pub status: Option<StatusCode>,
    /// What happened.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl CallError {
    /// The request was not even made.
    pub(super) fn unsent(error: AssertionError) -> Self {
        Self { sent: false, status: None, source: error.into() }
    }

    fn what(&self) -> &'static str {
        let is_ours = self.source.is::<AssertionError>();
        if is_ours { "the bank's endpoint was not asked" } else { "the bank's endpoint did not answer" }
    }
}

/// A connection that was never had, or a request that HTTP/2 says it did not touch, leaves no doubt.
impl From<SendError> for CallError {
    fn from(error: SendError) -> Self {
        Self { sent: error.progress == Progress::MayHaveArrived, status: None, source: error.into() }
    }
}

/// The answer is longer than any token answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {LONGEST_ANSWER} bytes")]
struct TooLong;

/// The real edge: a client for each host that the bank's endpoints live on, under one identity.
pub struct Edge {
    tls: Arc<TlsClient>,
    settings: ClientSettings,
    clients: Mutex<HashMap<Endpoint, Arc<Client>>>,
}

impl Edge {
    /// An edge without connections yet. Its calls belong on the control thread, as their connections do.
    pub fn new(tls: Arc<TlsClient>, settings: ClientSettings) -> Self {
        Self { tls, settings, clients: Mutex::default() }
    }

    /// Longer than all that bounds itself below: only what is bounded nowhere meets this.
    fn longest(&self, limit: Duration) -> Duration {
        self.settings.queue + 3 * self.settings.connect + self.settings.idle + limit
    }

    fn client(&self, url: &HttpsUrl) -> Arc<Client> {
        let endpoint = Endpoint { host: url.host.clone(), port: url.port };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let (tls, settings) = (&self.tls, &self.settings);
        let client = clients
            .entry(endpoint)
            .or_insert_with_key(|endpoint| Arc::new(Client::new(endpoint.clone(), Arc::clone(tls), settings.clone())));
        Arc::clone(client)
    }
}

impl BankCall for Edge {
    fn call<'a>(
        &'a self,
        url: &'a HttpsUrl,
        mut request: Request,
        limit: Duration,
        departs: Departs<'a>,
    ) -> BoxFuture<'a, Result<CallAnswer, CallError>> {
        Box::pin(async move {
            let (began, client) = (Instant::now(), self.client(url));
            let sending = async { client.exchange(client.ready().await, &mut request, limit, departs).await };
            let sending = timeout(self.longest(limit), sending).await;
            let response = sending.map_err(|late| CallError { sent: true, status: None, source: late.into() })?;
            let response = response.map_err(CallError::from)?;
            let status = response.status;
            let cut = |source| CallError { sent: true, status: Some(status), source };
            let left = limit.saturating_sub(began.elapsed()).max(LEAST_FOR_CONTENT);
            let mut body = Zeroizing::new(Vec::new());
            let read = timeout(left, read(response.body, &mut body)).await;
            match read.unwrap_or_else(|late| Err(late.into())) {
                // Tokens that came before the rest broke off are given out once, like all others.
                Err(source) if !answer::is_object(&body) => Err(cut(source)),
                _ => Ok(CallAnswer { status, fields: response.fields, body }),
            }
        })
    }
}

/// Reads content, as far as it comes.
async fn read(mut body: Body, into: &mut Zeroizing<Vec<u8>>) -> Result<(), Box<dyn Error + Send + Sync>> {
    while let Some(frame) = body.frame().await {
        if let Frame::Data(data) = frame? {
            if into.len() + data.len() > LONGEST_ANSWER {
                return Err(TooLong.into());
            }
            into.extend_from_slice(&data);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use bytes::Bytes;

    use super::*;
    use crate::message::{BodyError, BodyStream, Size};

    /// A body that breaks off after this.
    struct Broken(Option<&'static str>);

    impl BodyStream for Broken {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            let text = self.0.take().map(|text| Frame::Data(Bytes::from_static(text.as_bytes())));
            Poll::Ready(Some(text.ok_or(BodyError::Incomplete)))
        }

        fn size(&self) -> Size {
            Size::Unknown
        }
    }

    #[tokio::test]
    async fn what_came_before_an_answer_broke_off_is_at_hand_and_whole_where_its_object_is() {
        for (text, is_whole) in [(r#"{"access_token":"a"}"#, true), (r#"{"access_token":"a""#, false)] {
            let mut content = Zeroizing::new(Vec::new());
            assert!(read(Body::stream(Broken(Some(text))), &mut content).await.is_err());
            assert_eq!((&content[..], answer::is_object(&content)), (text.as_bytes(), is_whole));
        }
    }
}
