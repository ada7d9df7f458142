//! Simulated banks in this process, and a folder with the configuration for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use bankside::sandbox::{Listens, Options, Sandbox};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::program::{Login, Sidecar, bankside};
use super::vault;

/// A redirect URI that leads away from this machine, so that a login ends with a pasted address.
pub const ELSEWHERE: &str = "https://app.example/callback";

/// Simulated banks and a configuration for them. Both go when this is dropped.
pub struct World {
    /// The banks.
    pub sandbox: Sandbox,
    /// The configuration, in a folder of its own.
    pub config: PathBuf,
    dir: TempDir,
    /// Ends the banks' thread.
    _thread: Thread,
}

/// The banks run in a thread of their own: a test may wait for a process, and they go on.
struct Thread {
    end: Option<oneshot::Sender<()>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    async fn start(options: Options) -> (Sandbox, Self) {
        let (end, ended) = oneshot::channel::<()>();
        let (started, sandbox) = oneshot::channel();
        let handle = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let sandbox = Sandbox::start(options).await.expect("the simulated banks start");
                let _ = started.send(sandbox);
                let _ = ended.await;
            });
        });
        (sandbox.await.expect("the simulated banks start"), Self { end: Some(end), handle: Some(handle) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.handle.take().map(JoinHandle::join);
    }
}

impl World {
    /// Banks with their control surface, and a configuration with free ports everywhere.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// As [`start`](Self::start), with banks that are changed first.
    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::with_control();
        options.icard.redirect_uri = ELSEWHERE.into();
        options.cnb.redirect_uri = ELSEWHERE.into();
        change(&mut options);
        let (sandbox, thread) = Thread::start(options).await;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let any = || "127.0.0.1:0".to_owned();
        let listens = Listens { admin: any(), icard: any(), cnb: any(), cnb_sandbox: Some(any()) };
        let files = sandbox.write_to(dir.path(), &listens).expect("the files can be written");
        vault::watch(&sandbox);
        Self { sandbox, config: files.config, dir, _thread: thread }
    }

    /// The folder of the configuration.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration's path, as an argument.
    pub fn config_arg(&self) -> &str {
        self.config.to_str().expect("UTF-8")
    }

    /// Adds tables to the end of the configuration.
    pub fn append(&self, toml: &str) -> &Self {
        let text = format!("{}\n{toml}\n", self.toml());
        fs::write(&self.config, text).expect("it can be written");
        self
    }

    /// Replaces what stands in the configuration.
    pub fn replace(&self, from: &str, to: &str) -> &Self {
        let text = self.toml();
        assert!(text.contains(from), "{from:?} is not in\n{text}");
        fs::write(&self.config, text.replace(from, to)).expect("it can be written");
        self
    }

    /// Adds lines to the beginning of a table that is there already.
    pub fn in_table(&self, table: &str, lines: &str) -> &Self {
        self.replace(&format!("\n[{table}]\n"), &format!("\n[{table}]\n{lines}\n"))
    }

    /// The configuration's text.
    pub fn toml(&self) -> String {
        fs::read_to_string(&self.config).expect("it can be read")
    }

    /// Writes a file into the configuration's folder; its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir().join(name);
        fs::write(&path, content).expect("it can be written");
        path
    }

    /// Gets a grant with the real program and a customer who approves.
    pub async fn login(&self, bank: &str, grant: &str) {
        let login = Login::begin(&self.config, bank, grant);
        let callback = self.sandbox.approve(&login.url).await.expect("the customer approves");
        login.paste(&callback).with(0);
    }

    /// Gets all grants that the configuration's routes and requests without a grant's name use.
    pub async fn login_everywhere(&self) {
        for (bank, grant) in bankside::sandbox::tour::GRANTS {
            self.login(bank, grant).await;
        }
    }

    /// A second bank table for the simulated iCard, named `name`, on this profile and of this scope.
    pub fn append_icard(&self, name: &str, profile: &str) -> &Self {
        let (bank, urls) = (self.sandbox.icard(), self.sandbox.icard().urls());
        self.append(&format!(
            "[banks.{name}]\nprofile = \"{profile}\"\nlisten = \"127.0.0.1:0\"\nbase_url = \"{base}\"\n\
             client_id = \"{id}\"\nclient_secret = {{ file = \"icard-client-secret\" }}\nredirect_uri = \"{redirect}\"\n\
             scopes = [\"ais\"]\n[banks.{name}.oauth]\nauthorize_url = \"{authorize}\"\ntoken_url = \"{token}\"\n\
             [banks.{name}.oauth.session]\nurl = \"{session}\"\n[banks.{name}.tls]\nca = [\"ca.pem\"]\n\
             system_roots = false\n",
            base = urls.base,
            id = bank.client_id(),
            redirect = bank.redirect_uri(),
            authorize = urls.authorize,
            token = urls.token,
            session = urls.session,
        ))
    }

    /// A grant as `grant show --json --reveal` says it.
    pub fn reveal(&self, bank: &str, grant: &str) -> serde_json::Value {
        bankside(&["grant", "show", bank, grant, "--json", "--reveal", "-c", self.config_arg()], "").with(0).json()
    }

    /// A grant's state as `grant list --json` says it; `None` where there is no such grant.
    pub fn state(&self, bank: &str, grant: &str) -> Option<String> {
        let listed = bankside(&["grant", "list", "--json", "-c", self.config_arg()], "").with(0).json();
        let grants = listed.as_array().expect("an array");
        let found = grants.iter().find(|item| item["bank"] == bank && item["grant"] == grant)?;
        Some(found["state"].as_str().expect("a text").to_owned())
    }

    /// Starts the sidecar.
    pub fn run(&self) -> Sidecar {
        Sidecar::run(&self.config)
    }
}

/// A loopback port that is free, and that nobody else is given: neither by the system, which takes those of connections
/// from 32768 on, nor by another test, whose process has another number.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id() % 1_000 * 20;
    let mut ports = (0..20_000).map(|_| 12_000 + (first + GIVEN.fetch_add(1, Ordering::Relaxed)) % 20_000);
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find_map(|port| u16::try_from(port).ok().filter(is_free)).expect("a free port")
}
