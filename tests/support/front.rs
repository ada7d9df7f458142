//! The real program in front of scripted banks, each with a token that is given.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use super::program::{Sidecar, command};
use super::scripted::{Bank, Setup, Trust};

/// The token that the banks get.
pub const TOKEN: &str = "the-token-that-is-given";

/// A bank in the configuration.
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its base URL.
    pub base_url: String,
    /// `tls.alpn`.
    pub alpn: &'a [&'a str],
    /// Tables below the bank's, as TOML; `@` stands for `banks.NAME`.
    pub more: &'a str,
}

impl<'a> Entry<'a> {
    /// A bank that speaks HTTP/1.1.
    pub fn new(name: &'a str, bank: &Bank) -> Self {
        Self::at(name, bank.address)
    }

    /// As [`new`](Self::new), at an address.
    pub fn at(name: &'a str, address: SocketAddr) -> Self {
        Self { name, base_url: format!("https://{address}"), alpn: &["http/1.1"], more: "" }
    }

    /// With more configuration.
    pub fn with(self, more: &'a str) -> Self {
        Self { more, ..self }
    }

    /// With a path in its base URL.
    pub fn below(self, path: &str) -> Self {
        Self { base_url: self.base_url + path, ..self }
    }

    /// With HTTP/2.
    pub fn http2(self) -> Self {
        Self { alpn: &["h2"], ..self }
    }
}

/// A sidecar, and the folder of its configuration.
pub struct Front {
    /// The program.
    pub sidecar: Sidecar,
    /// The folder.
    pub dir: TempDir,
}

impl Front {
    /// Starts it before these banks.
    pub fn start(trust: &Trust, banks: &[Entry<'_>]) -> Self {
        Self::start_prepared(trust, banks, command(&[]))
    }

    /// As [`start`](Self::start), with an operator's listener, where [`metric`](super::http::metric) reads.
    pub fn start_observed(trust: &Trust, banks: &[Entry<'_>]) -> Self {
        Self::start_with(trust, "127.0.0.1:0", banks, command(&[]))
    }

    /// As [`start`](Self::start), with a command that may have an environment.
    pub fn start_prepared(trust: &Trust, banks: &[Entry<'_>], command: Command) -> Self {
        Self::start_with(trust, "off", banks, command)
    }

    fn start_with(trust: &Trust, admin: &str, banks: &[Entry<'_>], command: Command) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &[u8]| fs::write(dir.path().join(name), text).expect("it can be written");
        write("qwac.pem", trust.qwac.chain_pem().as_bytes());
        write("qwac-key.pem", trust.qwac.key_pem().expose());
        write("bank-ca.pem", trust.server_ca_pem().as_bytes());
        let config = dir.path().join("bankside.toml");
        write("bankside.toml", configuration(admin, banks).as_bytes());
        let sidecar = Sidecar::run_prepared(command, &config);
        Self { sidecar, dir }
    }

    /// Where an app reaches a bank.
    pub fn address(&self, bank: &str) -> SocketAddr {
        self.sidecar.address(bank)
    }
}

/// A sidecar before one bank that answers all with `ok`, with this configuration more.
pub fn before_obliging_bank(more: &str) -> (Bank, Front) {
    let trust = Trust::new();
    let bank = Bank::obliging(&trust, &Setup::default());
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank).with(more)]);
    (bank, front)
}

fn configuration(admin: &str, banks: &[Entry<'_>]) -> String {
    let mut text = format!(
        "[log]\nlevel = \"warn\"\n[admin]\nlisten = \"{admin}\"\n[store]\nurl = \"sqlite:bankside.db\"\n\
         key = {{ file = \"bankside.key\" }}\n[identity]\ncertificate = \"qwac.pem\"\nprivate_key = \"qwac-key.pem\"\n",
    );
    for Entry { name, base_url, alpn, more } in banks {
        let more = more.replace('@', &format!("banks.{name}"));
        let _ = write!(
            text,
            "[banks.{name}]\nlisten = \"127.0.0.1:0\"\nbase_url = \"{base_url}\"\ngrant_type = \"fixed\"\n\
             token = {{ value = \"{TOKEN}\" }}\n[banks.{name}.tls]\nca = [\"bank-ca.pem\"]\nsystem_roots = false\n\
             alpn = {alpn:?}\n{more}\n"
        );
    }
    text
}
