//! Small values with rules of their own: addresses to listen on, URLs of the bank.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Why a text is no such value, and what to write instead. It never holds the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Invalid {
    /// What is wrong, without a full stop.
    pub reason: Cow<'static, str>,
    /// What to do about it, without a full stop.
    pub remedy: Cow<'static, str>,
}

impl Invalid {
    pub(super) fn new(reason: impl Into<Cow<'static, str>>, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listen {
    /// TCP. Port 0 takes any free one.
    Tcp(SocketAddr),
    /// A unix socket at this path.
    Unix(PathBuf),
}

impl Listen {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Whether both cannot be bound at once. Port 0 never clashes.
    pub fn clashes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(one), Self::Unix(other)) => real(one) == real(other),
            (Self::Tcp(one), Self::Tcp(other)) => {
                // `[::]` takes IPv4 too.
                let covers = |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4());
                let same = one.ip() == other.ip() || covers(one.ip(), other.ip()) || covers(other.ip(), one.ip());
                one.port() != 0 && one.port() == other.port() && same
            }
            _ => false,
        }
    }
}

/// Where a socket's file is, by whatever links a path leads there.
fn real(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// `ADDRESS:PORT`, `localhost:PORT` (127.0.0.1), or `unix:PATH`, whose path stays as it is.
impl FromStr for Listen {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        /// What the address of a unix socket can hold on Linux, its closing zero left out.
        const LONGEST_PATH: usize = 107;
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() || path.len() > LONGEST_PATH || path.contains('\0') {
                let remedy = format!("write unix:PATH with a path of at most {LONGEST_PATH} bytes");
                return Err(Invalid::new("not the path of a unix socket", remedy));
            }
            return Ok(Self::Unix(path.into()));
        }
        if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
            return Ok(Self::Tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)));
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            Invalid::new(
                "not an address to listen on",
                "write \"127.0.0.1:8080\", \"[::1]:8080\", \"localhost:8080\" or \"unix:/path\"",
            )
        })
    }
}

/// As it is written in the configuration.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An absolute `https` URL without user information or fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpsUrl {
    /// The host: a registered name in lower case, or an address (IPv6 without brackets).
    pub host: String,
    /// The port; 443 where the URL has none.
    pub port: u16,
    /// Path and query as written; `/` where the URL has none.
    pub path_and_query: String,
}

impl HttpsUrl {
    /// Host and port as in the `Host` field: without the port that https has anyway.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

/// Host and port as they stand in `Host` (RFC 9110, section 7.2): IPv6 in brackets, the port left out where it is 443.
pub fn authority(host: &str, port: u16) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == 443 { host } else { format!("{host}:{port}") }
}

/// As it is written where nothing is written that need not be.
impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.path_and_query)
    }
}

/// The bank's base: every request's path is put behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    /// The host, as in [`HttpsUrl`].
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path without a slash at its end; empty for the root.
    pub path: String,
}

impl BaseUrl {
    /// As [`HttpsUrl::authority`].
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Listen {
        text.parse().expect("an address to listen on")
    }

    #[test]
    fn addresses_are_read_in_their_four_forms() {
        for (text, shown) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]:0", "[::1]:0"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
        ] {
            assert_eq!(listen(text).to_string(), shown);
        }
        let long = format!("unix:/{}", "x".repeat(107));
        for bad in
            ["", "8080", ":8080", "127.0.0.1", "::1:8080", "bank.example:8080", "127.0.0.1:65536", "unix:", &long]
        {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_clash_where_both_cannot_be_bound() {
        let clash = |one, other| listen(one).clashes_with(&listen(other)) && listen(other).clashes_with(&listen(one));
        assert!(clash("127.0.0.1:1", "127.0.0.1:1"));
        assert!(clash("0.0.0.0:1", "127.0.0.1:1"));
        assert!(clash("[::]:1", "127.0.0.1:1"));
        assert!(clash("unix:/a", "unix:/a"));
        assert!(!clash("127.0.0.1:0", "127.0.0.1:0"));
        assert!(!clash("127.0.0.1:1", "127.0.0.2:1"));
        assert!(!clash("0.0.0.0:1", "[::1]:1"));
        assert!(!clash("127.0.0.1:1", "unix:/a"));
    }

    #[test]
    fn ways_to_one_socket_clash_whatever_leads_there() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::fs::create_dir(folder.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        let at = |path: &str| listen(&format!("unix:{}/{path}", folder.path().display()));
        for way in ["link/a", "real/./a", "real/../real/a", "link/../link/a"] {
            assert!(at(way).clashes_with(&at("real/a")) && at("real/a").clashes_with(&at(way)), "{way}");
        }
        assert!(!at("link/b").clashes_with(&at("real/a")) && !at("a").clashes_with(&at("real/a")));
        assert!(!at("none/../real/a").clashes_with(&at("real/a")), "no way leads through a folder that is not there");
        assert!(listen("unix:a").clashes_with(&listen("unix:./a")));
    }

    #[test]
    fn an_authority_has_brackets_and_a_port_where_it_needs_them() {
        let url = |text: &str| text.parse::<HttpsUrl>().expect("a URL");
        assert_eq!(url("https://Bank.example:443/t?x").authority(), "bank.example");
        assert_eq!(url("https://[::1]:8443").authority(), "[::1]:8443");
        assert_eq!(url("https://Bank.example:443/t?x").to_string(), "https://bank.example/t?x");
    }

    #[test]
    fn only_loopback_and_unix_sockets_are_local() {
        for (text, local) in [
            ("127.0.0.9:1", true),
            ("[::1]:1", true),
            ("unix:/a", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
        ] {
            assert_eq!(listen(text).is_local(), local, "{text}");
        }
    }
}
