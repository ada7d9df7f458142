//! `bankside login`: the account's owner authorizes the access. It ends in one of three ways: by itself where the
//! redirect URI is a loopback address, with an address pasted to standard input, or with one given to a second call.

mod pending;
mod words;

use std::io::{self, BufRead, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Parser;
use tokio::sync::oneshot;

use crate::admin::{LoopbackCallback, leads_to};
use crate::app::{BankDesk, Office};
use crate::config::{Bank, GrantType, Listen};
use crate::oauth::{LoginError, Tokens};
use crate::store::BoxFuture;
use crate::words::GrantName;

use super::care::with_care;
use super::configured::Configured;
use super::{Outcome, office, output};

use pending::Pending;

/// After so long somebody is told what is waited for.
const AT_LENGTH: Duration = Duration::from_secs(5);
/// As many bytes of a line a terminal keeps at most; what follows them up to the line's end is lost.
const TERMINAL_LINE: usize = 4095;

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The bank's name in the configuration
    bank: String,
    /// The grant's name [default: default]
    grant: Option<GrantName>,
    /// The address that the browser ended on, of a login that an earlier call began
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
}

pub(super) fn run(args: &Args, configured: &Configured) -> Outcome {
    let app = configured.app()?;
    super::block_on(async {
        let office = office::open(&app).await?;
        let grant = match &args.callback_url {
            Some(url) => finish(&office.bank(&args.bank)?.tokens, args.grant.as_ref(), url).await?,
            None => authorize(&office, args, app.config().admin.as_ref()).await?,
        };
        with_care(office.settle()).await;
        output::complain(&format!("Done: the grant {grant} of {} is in the store.", args.bank));
        let BankDesk { bank, tokens, .. } = office.bank(&args.bank)?;
        // The login is done: a store that fails now makes it no failure.
        if let Some(warning) = tokens.show(&grant).await.ok().and_then(|report| words::of_fewer_scopes(bank, &report)) {
            output::complain(&warning);
        }
        Ok(())
    })
}

/// Begins a login, prints where the browser has to go, and waits for what comes back.
async fn authorize(office: &Office, args: &Args, admin: Option<&Listen>) -> anyhow::Result<GrantName> {
    let BankDesk { bank, tokens, .. } = office.bank(&args.bank)?;
    // The port is taken before the login begins: a browser that comes back must not find nobody.
    let listener = match redirect_uri(bank) {
        Some(uri) => listen(uri, admin).await?,
        None => None,
    };
    let grant = args.grant.clone().unwrap_or_default();
    if let Some(warning) = words::of_no_scopes(bank, &grant) {
        output::complain(&warning);
    }
    let consent = tokens.consented_at(&grant).await.map_err(LoginError::Store)?;
    let authorization = tokens.begin_login(&grant).await?;
    let login = Pending::new(tokens, &grant, &authorization, consent);
    output::print(&authorization.url)?;
    let minutes = authorization.expires_in.as_secs() / 60;
    let Some(listener) = listener else {
        output::complain(&format!(
            "Open this address in a browser within {minutes} minutes. Then paste the address that the browser ended on:"
        ));
        return finish_pasted(args, login).await;
    };
    output::complain(&format!("Open this address in a browser within {minutes} minutes; the rest happens by itself."));
    let Ok(finished) = tokio::time::timeout(authorization.expires_in, finish_by_browser(listener, login)).await else {
        // Somebody may have come back at the last moment.
        with_care(office.settle()).await;
        return Err(anyhow!("nobody came back from the bank in time"));
    };
    finished
}

/// Ends the login when the browser comes back to the listener, unless somebody else ends it before.
async fn finish_by_browser(listener: LoopbackCallback, mut login: Pending<'_>) -> anyhow::Result<GrantName> {
    let (tokens, grant) = (Arc::clone(login.tokens), login.grant.clone());
    let finish = Box::new(move |callback: String| -> BoxFuture<'static, _> {
        let (tokens, grant) = (Arc::clone(&tokens), grant.clone());
        Box::pin(async move { finish(&tokens, Some(&grant), &callback).await })
    });
    match listener.serve(finish, login.ended_elsewhere()).await {
        Some(finished) => Ok(finished?),
        None => login.grant().await,
    }
}

/// Listens for the browser where the redirect URI leads here, unless the running sidecar does. Another program there would
/// be sent the code and the state.
async fn listen(redirect_uri: &str, admin: Option<&Listen>) -> anyhow::Result<Option<LoopbackCallback>> {
    match LoopbackCallback::bind(redirect_uri).await {
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse && admin.is_some_and(|admin| leads_to(redirect_uri, admin)) =>
        {
            output::complain(
                "The redirect URI leads to the running sidecar, which ends the login when the browser comes back; so does this \
                 command then.",
            );
            Ok(None)
        }
        bound => bound.context("the redirect URI's port cannot be listened on"),
    }
}

/// Ends the login with an address that a person pastes, unless somebody else ends it before.
async fn finish_pasted(args: &Args, mut login: Pending<'_>) -> anyhow::Result<GrantName> {
    let line = tokio::select! {
        line = pasted() => line?,
        () = login.ended_elsewhere() => return login.grant().await,
    };
    if line.as_deref().is_some_and(is_cut) {
        return Err(stays_open(
            "the address is longer than a terminal's line can be, so its end is missing",
            args,
            &login,
        ));
    }
    match line.as_deref().map(str::trim) {
        Some(url) if !url.is_empty() => match finish(login.tokens, Some(login.grant), url).await {
            Err(LoginError::UnknownState) if !login.is_open().await => login.grant().await,
            finished => Ok(finished?),
        },
        _ => Err(stays_open("no address was pasted", args, &login)),
    }
}

/// What to do about a login that nothing was sent for.
fn stays_open(why: &str, args: &Args, login: &Pending<'_>) -> anyhow::Error {
    let (bank, grant) = (&args.bank, login.grant);
    anyhow!("{why}. The login stays open: finish it with `bankside login {bank} {grant} --callback-url 'URL'`")
}

/// Whether a terminal may have dropped the end of the line: what is left of a code would be spent for nothing.
fn is_cut(line: &str) -> bool {
    line.len() >= TERMINAL_LINE && io::stdin().is_terminal()
}

/// A line of standard input; `None` at its end.
async fn pasted() -> anyhow::Result<Option<String>> {
    let (sender, line) = oneshot::channel();
    // No task of the runtime, which would wait for the line although nobody needs it any more.
    let read = move || drop(sender.send(io::stdin().lock().lines().next().transpose()));
    std::thread::Builder::new().name("stdin".into()).spawn(read)?;
    line.await?.context("standard input cannot be read")
}

/// Ends a login, of this grant if it is one that somebody named. What the bank gives then exists in this process only until
/// the store takes it.
async fn finish(tokens: &Arc<Tokens>, named: Option<&GrantName>, callback: &str) -> Result<GrantName, LoginError> {
    let word = "Waiting for the bank, and until the store takes its answer: interrupting this may cost the grant.";
    let finished = async {
        match named {
            Some(grant) => tokens.finish_login_of(grant, callback).await,
            None => tokens.finish_login(callback).await,
        }
    };
    with_care(output::tell_after(AT_LENGTH, word, finished)).await
}

fn redirect_uri(bank: &Bank) -> Option<&str> {
    match &bank.grant_type {
        GrantType::AuthorizationCode(code) => Some(&code.redirect_uri),
        GrantType::ClientCredentials(_) | GrantType::Fixed(_) => None,
    }
}
