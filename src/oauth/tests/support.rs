//! A bank that answers from a script, and everything around it. Time is tokio's paused time; the wall clock follows it.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::config::{
    self, Access, Alpn, AuthorizationCode, Bank, BaseUrl, ClientAuth, ClientCredentials, GrantType, HeaderRules,
    HttpsUrl, Limits, Place, Renewal, StoreKey, StoreUrl, Timeouts, Tls, TlsVersion, TokenEndpoint,
};
use crate::message::{Fields, Request};
use crate::oauth::{BankCall, CallAnswer, CallError, Departs, Parts, Tokens};
use crate::store::{BoxFuture, Sqlite};
use crate::telemetry::BankMetrics;
use crate::words::{Clock, GrantName, Random, Secret, Timestamp, Token};

pub(in crate::oauth) const START: Timestamp = Timestamp::from_millis(1_795_000_000_000);

pub(in crate::oauth) fn place() -> Place {
    Place { file: Arc::new(PathBuf::from("bankside.toml")), line: 1, key: "banks.examplebank".into() }
}

pub(in crate::oauth) fn url(path: &str) -> HttpsUrl {
    HttpsUrl { host: "bank.example".into(), port: 443, path_and_query: path.into() }
}

pub(in crate::oauth) fn endpoint() -> TokenEndpoint {
    TokenEndpoint {
        place: place(),
        url: url("/token"),
        client_id: Some("xxxx1234".into()),
        client_secret: Some("client-secret".into()),
        client_auth: ClientAuth::ClientSecretPost,
        token_params: BTreeMap::new(),
        refresh_params: BTreeMap::new(),
        token_headers: Vec::new(),
        revocation: None,
    }
}

pub(in crate::oauth) fn by_code() -> AuthorizationCode {
    AuthorizationCode {
        authorize_url: url("/authorize"),
        redirect_uri: "https://redirect.website/callback".into(),
        scopes: vec!["ais".into(), "AIS: 7".into()],
        pkce: false,
        issuer: None,
        authorize_params: BTreeMap::new(),
        session: None,
        token: endpoint(),
    }
}

pub(in crate::oauth) fn by_credentials() -> GrantType {
    GrantType::ClientCredentials(Box::new(ClientCredentials { scopes: vec!["aisp".into()], token: endpoint() }))
}

pub(in crate::oauth) fn bank(grant_type: GrantType) -> Bank {
    Bank {
        name: "examplebank".parse().unwrap(),
        title: "Example Bank".into(),
        place: place(),
        listen: Vec::new(),
        base_url: BaseUrl { host: "bank.example".into(), port: 443, path: String::new() },
        grant_type,
        grants: BTreeMap::new(),
        roles: Vec::new(),
        registration: None,
        headers: HeaderRules::default(),
        tls: Tls {
            place: place(),
            ca: Vec::new(),
            system_roots: true,
            min_version: TlsVersion::Tls12,
            alpn: vec![Alpn::Http11],
            server_name: None,
            client_certificate: false,
        },
        identity: None,
        access: Access::default(),
        routes: Vec::new(),
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            request: Duration::from_secs(30),
            token: Duration::from_secs(8),
        },
        limits: Limits { in_flight: 100, connections: 10, queue: Duration::from_secs(5), replay_body: 65_536 },
        renewal: Renewal { at: 0.8, idle: Duration::from_hours(1), rate: 50 },
        consent_days: Some(90),
    }
}

/// What the scripted bank does with a call.
pub(in crate::oauth) enum Reply {
    /// New tokens that live so many seconds: `access-N` and `refresh-N` for the call number N.
    Tokens(u64),
    /// Whatever a test wants.
    Say(u16, &'static [(&'static str, &'static str)], &'static str),
    /// The connection is refused.
    NotSent,
    /// The connection closes after the request was read.
    Cut,
    /// Nothing comes, ever.
    Hang,
    /// This, after a while.
    After(Duration, Box<Reply>),
    /// This, when a connection is had after a while.
    Connecting(Duration, Box<Reply>),
}

/// A call as the bank saw it.
pub(in crate::oauth) struct Seen {
    pub(in crate::oauth) method: http::Method,
    pub(in crate::oauth) path: String,
    pub(in crate::oauth) fields: Fields,
    pub(in crate::oauth) content: String,
    pub(in crate::oauth) at: tokio::time::Instant,
}

/// The bank.
#[derive(Default)]
pub(in crate::oauth) struct Script {
    seen: Mutex<Vec<Seen>>,
    replies: Mutex<VecDeque<Reply>>,
    always: Mutex<Option<fn() -> Reply>>,
    departed: AtomicUsize,
}

impl Script {
    /// What the next calls are answered with.
    pub(in crate::oauth) fn then(&self, reply: Reply) -> &Self {
        self.replies.lock().unwrap().push_back(reply);
        self
    }

    /// What calls are answered with when the script has ended.
    pub(in crate::oauth) fn always(&self, reply: fn() -> Reply) {
        *self.always.lock().unwrap() = Some(reply);
    }

    pub(in crate::oauth) fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// How many of the calls have left.
    pub(in crate::oauth) fn departed(&self) -> usize {
        self.departed.load(Ordering::Relaxed)
    }

    pub(in crate::oauth) fn contents(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.content.clone()).collect()
    }

    pub(in crate::oauth) fn last<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(self.seen.lock().unwrap().last().expect("a call was made"))
    }

    /// The most calls that began within any 10 s.
    pub(in crate::oauth) fn most_in_ten_seconds(&self) -> usize {
        self.most_in(Duration::from_secs(10))
    }

    /// The most calls that began within any such time.
    pub(in crate::oauth) fn most_in(&self, span: Duration) -> usize {
        let seen = self.seen.lock().unwrap();
        let starts: Vec<_> = seen.iter().map(|seen| seen.at).collect();
        let within = |(index, from): (usize, &tokio::time::Instant)| {
            starts[index..].iter().take_while(|at| **at < *from + span).count()
        };
        starts.iter().enumerate().map(within).max().unwrap_or(0)
    }
}

impl BankCall for Script {
    fn call<'a>(
        &'a self,
        url: &'a HttpsUrl,
        request: Request,
        limit: Duration,
        departs: Departs<'a>,
    ) -> BoxFuture<'a, Result<CallAnswer, CallError>> {
        let (method, fields, path) = (request.method.clone(), request.fields.clone(), url.path_and_query.clone());
        let seen = Seen { method, path, fields, content: content(request), at: tokio::time::Instant::now() };
        self.seen.lock().unwrap().push(seen);
        let number = self.calls();
        let reply = self.replies.lock().unwrap().pop_front();
        let reply = reply.or_else(|| self.always.lock().unwrap().map(|reply| reply())).expect("a call was expected");
        Box::pin(async move {
            let reply = match reply {
                Reply::Connecting(wait, reply) => {
                    sleep(wait).await;
                    *reply
                }
                reply => reply,
            };
            departs(true);
            self.departed.fetch_add(1, Ordering::Relaxed);
            act(reply, number, limit).await
        })
    }
}

async fn act(reply: Reply, number: usize, limit: Duration) -> Result<CallAnswer, CallError> {
    let failed = |sent| CallError { sent, status: None, source: "the connection failed".into() };
    match reply {
        Reply::Tokens(life) => {
            let body = format!(
                r#"{{"token_type":"Bearer","access_token":"access-{number}","refresh_token":"refresh-{number}","expires_in":{life}}}"#
            );
            Ok(answer(200, &[], &body))
        }
        Reply::Say(status, fields, body) => Ok(answer(status, fields, body)),
        Reply::NotSent => Err(failed(false)),
        Reply::Cut => Err(failed(true)),
        Reply::Hang => {
            sleep(limit).await;
            Err(failed(true))
        }
        Reply::After(wait, reply) => {
            sleep(wait.min(limit)).await;
            if wait > limit {
                return Err(failed(true));
            }
            Box::pin(act(*reply, number, limit)).await
        }
        Reply::Connecting(..) => panic!("it is the first of what happens"),
    }
}

fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> CallAnswer {
    let mut lines = Fields::new();
    for (name, value) in fields {
        lines.push(name, value);
    }
    CallAnswer { status: StatusCode::from_u16(status).unwrap(), fields: lines, body: Zeroizing::new(body.into()) }
}

/// The content of a request that has it at hand.
pub(in crate::oauth) fn content(request: Request) -> String {
    use std::task::{Context, Poll, Waker};
    let collected = Box::pin(request.body.collect(1 << 20)).as_mut().poll(&mut Context::from_waker(Waker::noop()));
    match collected {
        Poll::Ready(Ok(Some(content))) => String::from_utf8(content).unwrap(),
        _ => panic!("the content is at hand"),
    }
}

/// A store in a directory of its own, a bank, and the tokens between them.
pub(in crate::oauth) struct Bench {
    pub(in crate::oauth) tokens: Arc<Tokens>,
    pub(in crate::oauth) script: Arc<Script>,
    pub(in crate::oauth) store: Arc<Sqlite>,
    pub(in crate::oauth) clock: Clock,
    pub(in crate::oauth) bank: Arc<Bank>,
    pub(in crate::oauth) directory: TempDir,
}

impl Bench {
    pub(in crate::oauth) fn new() -> Self {
        Self::with(bank(GrantType::AuthorizationCode(Box::new(by_code()))))
    }

    pub(in crate::oauth) fn with(bank: Bank) -> Self {
        let (clock, hand) = Clock::manual(START);
        tokio::spawn(async move {
            let (begin, mut told) = (tokio::time::Instant::now(), Duration::ZERO);
            loop {
                sleep(Duration::from_millis(5)).await;
                let elapsed = begin.elapsed();
                hand.advance(elapsed.checked_sub(told).unwrap());
                told = elapsed;
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let script = Arc::<Script>::default();
        let store = open(&directory, &clock);
        let bank = Arc::new(bank);
        let tokens = tokens(&bank, &store, &script, &clock, 1);
        Self { tokens, script, store, clock, bank, directory }
    }

    /// The tokens and the store of another process on the same file, which asks the same bank.
    pub(in crate::oauth) fn another(&self) -> (Arc<Tokens>, Arc<Sqlite>) {
        let store = open(&self.directory, &self.clock);
        (tokens(&self.bank, &store, &self.script, &self.clock, 2), store)
    }

    /// A grant with `access-0` and `refresh-0` that lives so many seconds.
    pub(in crate::oauth) async fn import(&self, life: u64) {
        let response = format!(r#"{{"access_token":"access-0","refresh_token":"refresh-0","expires_in":{life}}}"#);
        self.tokens.import(&default(), response.as_bytes()).await.unwrap();
    }

    /// Changes the store's file behind everybody's back.
    pub(in crate::oauth) fn execute(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.directory.path().join("bankside.db")).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    pub(in crate::oauth) async fn state(&self) -> String {
        self.tokens.show(&default()).await.unwrap().state.to_string()
    }

    pub(in crate::oauth) async fn refresh_token(&self) -> String {
        text(&self.tokens.reveal(&default()).await.unwrap().refresh_token.unwrap())
    }
}

fn open(directory: &TempDir, clock: &Clock) -> Arc<Sqlite> {
    let settings = config::Store {
        place: place(),
        url: StoreUrl::Sqlite(directory.path().join("bankside.db")),
        key: StoreKey::Given([Secret::new([7; 32])].into()),
    };
    Sqlite::open(&settings, clock.clone(), &Random::system()).unwrap()
}

fn tokens(bank: &Arc<Bank>, store: &Arc<Sqlite>, script: &Arc<Script>, clock: &Clock, seed: u64) -> Arc<Tokens> {
    let parts = Parts {
        store: Arc::clone(store) as _,
        call: Arc::clone(script) as _,
        clock: clock.clone(),
        random: Random::seeded(seed),
        control: Handle::current(),
        under_way: TaskTracker::new(),
        certificate: Some("fingerprint".into()),
        identity: None,
        metrics: BankMetrics::default(),
    };
    Tokens::new(Arc::clone(bank), parts)
}

pub(in crate::oauth) fn default() -> GrantName {
    GrantName::default()
}

pub(in crate::oauth) fn text(secret: &Secret) -> String {
    secret.expose_str().unwrap().to_owned()
}

/// What a token puts into the field line, without the scheme.
pub(in crate::oauth) fn sent(token: &Token) -> String {
    text(token.authorization()).strip_prefix("Bearer ").unwrap().to_owned()
}
