//! The start of the simulated banks: ports, certificates, state, listeners.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::words::{Random, Secret};

use super::authority::{Authority, Rules, Style};
use super::control::Control;
use super::gate::Gate;
use super::ledger::Account;
use super::listener::{self, Listener};
use super::payments::PaymentBook;
use super::record::Counters;
use super::state::BankState;
use super::tls::{self, Clients, Protocols};
use super::{Bank, BankOptions, Endpoint, Error, Options, Pki, QwacOptions, Sandbox, Urls, cnb, icard, probes};

impl Sandbox {
    /// Starts the simulated banks on loopback, within the current tokio runtime.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let pki = Pki::new(options.clock.clone(), options.random.clone())?;
        let qwac = pki.qwac(&QwacOptions::default())?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let builder = Builder { pki: &pki, options: &options, stop: stop.clone(), tasks: tasks.clone() };
        let icard = builder.licensed(&options.icard, &ICARD).await?;
        let cnb = builder.licensed(&options.cnb, &CNB).await?;
        let cnb_sandbox = builder.prepared(&options.cnb_sandbox).await?;
        Ok(Self { pki, qwac, icard, cnb, cnb_sandbox, stop, tasks })
    }
}

/// What makes a bank with a QWAC at its door the bank that it is.
struct Character {
    style: Style,
    rules: fn() -> Rules,
    customer: fn() -> Vec<Account>,
    api: fn(&Arc<BankState>) -> Router,
    pages: fn(&Arc<BankState>) -> Router,
    classify: fn(&str) -> Endpoint,
    /// Where the API begins.
    base: &'static str,
    /// From the origins of the API and the pages to where things are.
    urls: fn(&str, &str) -> Urls,
    client_id: fn(&Random) -> String,
}

const ICARD: Character = Character {
    style: icard::STYLE,
    rules: icard::rules,
    customer: icard::customer,
    api: icard::api,
    pages: icard::pages,
    classify: icard::classify,
    base: "",
    urls: |api, pages| Urls {
        base: api.to_owned(),
        authorize: format!("{pages}/authorize"),
        token: format!("{api}/token"),
        session: format!("{api}/generate/auth-id"),
        registration: format!("{api}/tpp/register"),
    },
    client_id: |random| format!("{:08x}", u32::from_le_bytes(random.bytes())),
};

const CNB: Character = Character {
    style: cnb::STYLE,
    rules: cnb::rules,
    customer: cnb::customer,
    api: cnb::api,
    pages: cnb::pages,
    classify: cnb::classify,
    base: cnb::BASE,
    urls: |api, pages| Urls {
        base: format!("{api}{}", cnb::BASE),
        authorize: format!("{pages}{}/authorize", cnb::OAUTH),
        token: format!("{api}{}/token", cnb::OAUTH),
        session: String::new(),
        registration: format!("{api}{}/cobs/5.0/applications", cnb::BASE),
    },
    client_id: Random::uuid,
};

struct Builder<'a> {
    pki: &'a Pki,
    options: &'a Options,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Builder<'_> {
    /// A bank that demands a QWAC, with a listener for browsers beside it.
    async fn licensed(&self, wanted: &BankOptions, character: &Character) -> Result<Bank, Error> {
        let (api_socket, api_port) = listener::bind(wanted.port).await?;
        let (pages_socket, pages_port) = listener::bind(wanted.browser_port).await?;
        let (api_origin, pages_origin) = (origin(api_port), origin(pages_port));
        let urls = (character.urls)(&api_origin, &pages_origin);
        let audiences = vec![api_origin.clone(), urls.token.clone()];
        let (state, control) = self.state(character.style, (character.rules)(), (character.customer)(), audiences);
        let random = &self.options.random;
        let (client_id, secret) = ((character.client_id)(random), random.token());
        state.authority.add_client(&client_id, &secret, &wanted.redirect_uri);

        let api = self.with_probes((character.api)(&state), character.base, &state);
        let clients = Clients::Qwac(control.clone());
        self.listen(api_socket, wanted, clients, api, &control, character.classify)?;
        let pages = BankOptions { protocols: Protocols::Both, ..wanted.clone() };
        self.listen(pages_socket, &pages, Clients::Anyone, (character.pages)(&state), &control, character.classify)?;
        Ok(Bank {
            urls,
            client_id,
            client_secret: Secret::new(secret),
            redirect_uri: wanted.redirect_uri.clone(),
            control,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, api_port)),
        })
    }

    /// The sandbox of a bank: anybody may connect, and tokens are prepared.
    async fn prepared(&self, wanted: &BankOptions) -> Result<Bank, Error> {
        let (socket, port) = listener::bind(wanted.port).await?;
        let origin = origin(port);
        let (state, control) = self.state(cnb::STYLE, cnb::rules(), cnb::customer(), vec![origin.clone()]);
        self.listen(socket, wanted, Clients::Anyone, cnb::sandbox_api(&state), &control, cnb::classify)?;
        Ok(Bank {
            urls: Urls { base: format!("{origin}{}", cnb::BASE), ..Urls::default() },
            client_id: String::new(),
            client_secret: Secret::from(""),
            redirect_uri: String::new(),
            control,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        })
    }

    /// What a bank remembers. Its issuer, which is its origin, is the first of what it may be addressed by.
    fn state(
        &self,
        style: Style,
        rules: Rules,
        accounts: Vec<Account>,
        audiences: Vec<String>,
    ) -> (Arc<BankState>, Control) {
        let origin = audiences.first().cloned().unwrap_or_default();
        let (clock, random) = (self.options.clock.clone(), self.options.random.clone());
        let counters = Arc::<Mutex<Counters>>::default();
        let authority = Authority::new(style, rules, clock.clone(), random.clone(), audiences, Arc::clone(&counters));
        let (authority, payments) = (Arc::new(authority), Arc::<PaymentBook>::default());
        let control =
            Control::new(clock.clone(), Arc::clone(&authority), Arc::clone(&payments), counters, self.options.control);
        let state = BankState { authority, payments, accounts, consents: Mutex::default(), clock, random, origin };
        (Arc::new(state), control)
    }

    /// Adds what is there for tests only, where tests may use it.
    fn with_probes(&self, api: Router, base: &str, state: &Arc<BankState>) -> Router {
        if self.options.control { api.nest(&format!("{base}/_test"), probes::routes(state)) } else { api }
    }

    fn listen(
        &self,
        socket: TcpListener,
        wanted: &BankOptions,
        clients: Clients,
        router: Router,
        control: &Control,
        classify: fn(&str) -> Endpoint,
    ) -> Result<(), Error> {
        let identity = self.pki.local_server()?;
        let tls = tls::server(self.pki, &self.options.clock, identity, wanted.tls, wanted.protocols, clients)?;
        let listener = Listener {
            acceptor: TlsAcceptor::from(Arc::new(tls)),
            gate: Arc::new(Gate { router, control: control.clone(), classify, one_request: wanted.close_after_each }),
            http: http(wanted),
            stop: self.stop.clone(),
            tasks: self.tasks.clone(),
        };
        listener.serve(socket);
        Ok(())
    }
}

fn origin(port: u16) -> String {
    format!("https://localhost:{port}")
}

fn http(wanted: &BankOptions) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    if let Some(streams) = wanted.max_streams {
        http.http2().max_concurrent_streams(streams);
    }
    match wanted.protocols {
        Protocols::Http1 => http.http1_only(),
        Protocols::Http2 => http.http2_only(),
        Protocols::Both => http,
    }
}
