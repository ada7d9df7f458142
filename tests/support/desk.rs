//! A desk: simulated banks, a folder with a configuration for them, and the program's commands on it. Tests that use it
//! are plain functions: the banks run on threads of their own.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bankside::sandbox::{Control, Listens, Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::sidecar::{Sidecar, bankside, bankside_says};

/// See the module.
pub struct Desk {
    /// The banks.
    pub sandbox: Sandbox,
    /// Where the banks run; for what a test itself does with sockets.
    pub runtime: Handle,
    /// The folder of the configuration.
    pub dir: TempDir,
    /// The banks' thread ends when this is dropped.
    _end: oneshot::Sender<()>,
}

impl Desk {
    /// Banks with their control surface, and a configuration whose ports are free ones.
    pub fn new() -> Self {
        let mut options = Options::with_control();
        // Not a loopback address: logins of tests are finished by a second call.
        options.icard.redirect_uri = "https://redirect.website/callback".to_owned();
        options.cnb.redirect_uri = "https://redirect.website/callback".to_owned();
        let (sandbox, runtime, end) = start(options);
        let dir = tempfile::tempdir().expect("a folder");
        sandbox.write_to(dir.path(), &listens()).expect("the files can be written");
        Self { sandbox, runtime, dir, _end: end }
    }

    /// The hand on the bank whose refresh tokens rotate.
    pub fn rotating(&self) -> &Control {
        self.sandbox.icard().control()
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("bankside.toml")
    }

    /// Changes the configuration: each text must be in it.
    pub fn edit(&self, changes: &[(&str, &str)]) {
        edit(&self.config(), changes);
    }

    /// Runs a command to its end; it must have ended with this code. What it printed, and what it complained of.
    pub fn says(&self, code: i32, arguments: &[&str]) -> String {
        says(&self.config(), code, arguments, "")
    }

    /// Goes through a login with two commands, as a person and a machine do.
    pub fn login(&self, bank: &str, grant: &str) {
        self.login_with(&self.config(), bank, grant);
    }

    /// The same with another configuration of the same banks. The address that the browser ended on.
    pub fn login_with(&self, config: &Path, bank: &str, grant: &str) -> String {
        let path = config.to_str().expect("a path");
        let begun = bankside(&["login", bank, grant, "-c", path], "");
        let url = String::from_utf8(begun.stdout).expect("a URL");
        assert!(url.starts_with("https://"), "{url}{}", String::from_utf8_lossy(&begun.stderr));
        let callback = self.runtime.block_on(self.sandbox.approve(url.trim())).expect("the customer gets through");
        bankside_says(0, &["login", bank, grant, "--callback-url", &callback, "-c", path], "");
        callback
    }

    /// A grant as `grant show --json` has it.
    pub fn show(&self, bank: &str, grant: &str) -> Value {
        show(&self.config(), bank, grant)
    }

    /// The sidecar.
    pub fn run(&self) -> Sidecar {
        Sidecar::run(&self.config())
    }
}

/// Starts the banks on a thread of their own.
fn start(options: Options) -> (Sandbox, Handle, oneshot::Sender<()>) {
    let (end, ended) = oneshot::channel();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let sandbox = Sandbox::start(options).await.expect("the banks start");
            tell.send((sandbox, Handle::current())).expect("somebody waits");
            let _ = ended.await;
        });
    });
    let (sandbox, runtime) = told.recv().expect("the banks start");
    (sandbox, runtime, end)
}

/// Free ports, and no bank that tests of tokens have no use for.
pub fn listens() -> Listens {
    let free = || "127.0.0.1:0".to_owned();
    Listens { admin: free(), icard: free(), cnb: free(), cnb_sandbox: None }
}

/// Changes a file: each text must be in it.
pub fn edit(file: &Path, changes: &[(&str, &str)]) {
    let mut text = fs::read_to_string(file).expect("it can be read");
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is in {text}");
        text = text.replacen(from, to, 1);
    }
    fs::write(file, text).expect("it can be written");
}

/// Runs a command on a configuration; what it printed and what it complained of.
pub fn says(config: &Path, code: i32, arguments: &[&str], input: &str) -> String {
    let config = ["-c", config.to_str().expect("a path")];
    let output = bankside(&[arguments, &config].concat(), input);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    format!("{out}{err}")
}

/// A grant as `grant show --json` has it.
pub fn show(config: &Path, bank: &str, grant: &str) -> Value {
    let text = bankside_says(0, &["grant", "show", bank, grant, "--json", "-c", config.to_str().expect("a path")], "");
    serde_json::from_str(&text).expect("JSON")
}

/// A GET on a connection of its own: status and whole answer.
pub fn get(address: SocketAddr, path: &str, fields: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_secs(40))).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n").expect("it is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {answer}")), answer)
}

/// Asks again and again until it is so; it must be within this time.
pub fn within(time: Duration, what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    loop {
        let elapsed = began.elapsed();
        if is_so() {
            return elapsed;
        }
        assert!(elapsed < time, "not within {time:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
