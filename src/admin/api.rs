//! The operator's API: banks and grants as JSON, and what changes them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::oauth::{GrantReport, LoginError};
use crate::words::{GrantName, Kind};

use super::problem::Problem;
use super::server::{AdminBank, AdminState};
use super::{page, view};

/// The document that describes this API.
const OPENAPI: &str = include_str!("openapi.json");

/// The longest content that is read: a pasted address.
const LONGEST_CONTENT: usize = 64 * 1024;
/// For content to come.
const CONTENT: Duration = Duration::from_secs(10);

type Shared = State<Arc<AdminState>>;
/// A path's bank and grant, if the path can be read at all.
type BankAndGrant = Result<Path<(String, String)>, PathRejection>;

/// What a pasted callback looks like.
#[derive(Deserialize)]
struct Pasted {
    url: String,
}

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

pub(super) async fn banks(State(state): Shared) -> Json<Vec<Value>> {
    Json(view::banks(&state).await.iter().map(view::BankView::json).collect())
}

/// Begins a login.
pub(super) async fn authorize(State(state): Shared, path: BankAndGrant) -> Result<Json<Value>, Problem> {
    let (bank, grant) = named(&state, path)?;
    let authorization = bank.tokens.begin_login(&grant).await?;
    Ok(Json(json!({
        "authorization_url": authorization.url,
        "expires_in": authorization.expires_in.as_secs(),
    })))
}

/// Ends a login with the address that the browser ended on.
pub(super) async fn paste(
    State(state): Shared,
    path: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let Path(name) = path.map_err(|_| unreadable())?;
    let bank = find(&state, &name)?;
    let content = content(body).await?;
    let pasted: Pasted =
        serde_json::from_slice(&content).map_err(|_| not_pasted("the content is not as it should be"))?;
    let grant = bank.tokens.finish_login(&pasted.url).await?;
    Ok(Json(bank.tokens.show(&grant).await?.json()))
}

async fn content(body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(CONTENT, to_bytes(body, LONGEST_CONTENT)).await {
        Ok(content) => content.map_err(|_| not_pasted("the content is too long, or did not come whole")),
        Err(_) => Err(not_pasted("the content did not come in time")),
    }
}

fn not_pasted(detail: &'static str) -> Problem {
    Problem::new(Kind::BadRequest, detail, "Send `{\"url\": \"…\"}` as JSON")
}

/// Renews a grant, whether it is due or not.
pub(super) async fn renew(State(state): Shared, path: BankAndGrant) -> Result<Json<Value>, Problem> {
    let (bank, grant) = named(&state, path)?;
    Ok(Json(GrantReport::json(&bank.tokens.renew(&grant).await?)))
}

/// Removes a grant, and revokes it at the bank.
pub(super) async fn remove(
    State(state): Shared,
    path: BankAndGrant,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    let (bank, grant) = named(&state, path)?;
    let query = query.unwrap_or_default();
    let is_local = form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "local" && value == "true");
    bank.tokens.remove(&grant, is_local).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a browser comes back to from any of the banks.
pub(super) async fn come_back(State(state): Shared, RawQuery(query): RawQuery) -> Response {
    match finish(&state, &query.unwrap_or_default()).await {
        Ok((bank, grant)) => {
            let text = format!("The grant {grant} of {bank} is there. You can close this window.");
            page::with_way_back(StatusCode::OK, "Access is authorized", &text)
        }
        Err(error) => page::with_way_back(StatusCode::BAD_REQUEST, "Access is not authorized", &error.to_string()),
    }
}

async fn finish(state: &AdminState, query: &str) -> Result<(String, GrantName), LoginError> {
    let banks = state.banks();
    let any = banks.first().ok_or(LoginError::UnknownState)?;
    let name = any.tokens.bank_of_callback(query).await?;
    let bank = banks.iter().find(|bank| bank.bank.name == name).ok_or(LoginError::UnknownState)?;
    let grant = bank.tokens.finish_login(query).await?;
    Ok((bank.bank.title.clone(), grant))
}

/// Whatever has no route.
pub(super) async fn nothing() -> Problem {
    Problem::not_found("there is nothing at this address", "See `GET /api/openapi.json` for what there is")
}

fn named(state: &AdminState, path: BankAndGrant) -> Result<(AdminBank, GrantName), Problem> {
    let Path((bank, grant)) = path.map_err(|_| unreadable())?;
    let bank = find(state, &bank)?;
    let grant = grant.parse().map_err(|error: crate::words::InvalidName| {
        Problem::new(Kind::UnknownGrant, error.to_string(), "Use a name of letters, digits and -_.:@+")
    })?;
    Ok((bank, grant))
}

fn find(state: &AdminState, name: &str) -> Result<AdminBank, Problem> {
    let bank = state.banks().into_iter().find(|bank| bank.bank.name.as_str() == name);
    bank.ok_or_else(|| Problem::not_found("there is no such bank", "See `GET /api/banks` for the banks that there are"))
}

fn unreadable() -> Problem {
    Problem::new(Kind::BadRequest, "the path is not UTF-8", "Encode names as RFC 3986 says")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Frame;

    use super::*;

    /// Content of which nothing comes.
    struct Never;

    impl hyper::body::Body for Never {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn content_that_never_comes_whole_or_is_too_long_is_refused() {
        let refused = content(Body::new(Never)).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert!(content(Body::from(vec![b'x'; LONGEST_CONTENT + 1])).await.is_err());
        assert_eq!(content(Body::from("{}")).await.unwrap().as_ref(), b"{}");
    }
}
