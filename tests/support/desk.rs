//! A world for plain functions: tests that mostly wait for processes and need no runtime of their own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use bankside::sandbox::Control;
use serde_json::Value;

use super::program::{Login, Sidecar, bankside};
use super::world::World;

/// See the module.
pub struct Desk(pub World);

impl Desk {
    /// Banks with their control surface, and a configuration whose ports are free ones.
    pub fn new() -> Self {
        Self(block_on(World::start()))
    }

    /// The hand on the bank whose refresh tokens rotate.
    pub fn rotating(&self) -> &Control {
        self.0.sandbox.icard().control()
    }

    /// Runs a command to its end; it must have ended with this code. What it printed, and what it complained of.
    pub fn says(&self, code: i32, arguments: &[&str]) -> String {
        says(&self.0.config, code, arguments, "")
    }

    /// Gets a grant with the real program and a customer who approves.
    pub fn login(&self, bank: &str, grant: &str) {
        self.login_with(&self.0.config, bank, grant);
    }

    /// The same with another configuration for the same banks. The address that the browser ended on.
    pub fn login_with(&self, config: &Path, bank: &str, grant: &str) -> String {
        let login = Login::begin(config, bank, grant);
        let callback = block_on(self.0.sandbox.approve(&login.url)).expect("the customer approves");
        login.paste(&callback).with(0);
        callback
    }

    /// A grant's state as `grant show --json` says it.
    pub fn state(&self, bank: &str, grant: &str) -> String {
        state(&self.0.config, bank, grant)
    }

    /// The sidecar.
    pub fn run(&self) -> Sidecar {
        self.0.run()
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

/// Runs a command on a configuration; what it printed and what it complained of.
pub fn says(config: &Path, code: i32, arguments: &[&str], input: &str) -> String {
    let config = ["-c", config.to_str().expect("a path")];
    let said = bankside(&[arguments, &config].concat(), input).with(code);
    format!("{}{}", said.out, said.err)
}

/// A grant's state as `grant show --json` says it.
pub fn state(config: &Path, bank: &str, grant: &str) -> String {
    let config = config.to_str().expect("a path");
    let shown: Value = bankside(&["grant", "show", bank, grant, "--json", "-c", config], "").with(0).json();
    shown["state"].as_str().expect("a text").to_owned()
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
