//! `bankside health`: asks a running sidecar's operator's listener, for images and probes that have no other client.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Parser;

use crate::config::Listen;

use super::configured::Configured;
use super::{Outcome, output};

/// Where the operator's listener is, unless something else is said.
const DEFAULT_ADMIN: Listen = Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090));
/// No answer of the two is longer.
const MOST: u64 = 1 << 20;

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Asks whether every bank can be used (/readyz), not only whether the sidecar lives (/livez)
    #[arg(long)]
    ready: bool,
    /// Where the operator's listener is [default: admin.listen of the configuration]
    #[arg(long, value_name = "ADDRESS", env = "BANKSIDE_ADMIN")]
    admin: Option<Listen>,
    /// How many seconds to wait for the connection, and for each part of the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

pub(super) fn run(args: &Args, configured: &Configured) -> Outcome {
    let admin = match &args.admin {
        Some(admin) => admin.clone(),
        None => configured_admin(configured)?,
    };
    let path = if args.ready { "/readyz" } else { "/livez" };
    let answer = ask(&admin, path, Duration::from_secs(args.timeout)).with_context(|| format!("{admin}{path}"))?;
    let (status, body) = parse(&answer).with_context(|| format!("{admin}{path}"))?;
    output::print(body.trim_end())?;
    if status == 200 { Ok(()) } else { Err(anyhow!("{admin}{path} answered {status}").into()) }
}

/// A configuration that has become wrong says nothing of a sidecar that goes on with the former one: it is looked for at
/// the default address then.
fn configured_admin(configured: &Configured) -> anyhow::Result<Listen> {
    match configured.config() {
        Ok(config) => config.admin.context("admin.listen is off: there is nobody to ask"),
        Err(_) => Ok(DEFAULT_ADMIN),
    }
}

/// The whole answer, as bytes. HTTP/1.0 has its body end with the connection, and no chunks.
pub(super) fn ask(admin: &Listen, path: &str, timeout: Duration) -> io::Result<Vec<u8>> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    match admin {
        Listen::Tcp(address) => {
            let stream = TcpStream::connect_timeout(&reachable(*address), timeout)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            exchange(stream, &request)
        }
        Listen::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            exchange(stream, &request)
        }
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    Ok(answer)
}

/// A wildcard is where a listener listens, and nowhere to connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The status and the body.
fn parse(answer: &[u8]) -> anyhow::Result<(u16, String)> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").context("no answer in HTTP")?;
    let mut words = head.split(' ');
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    match words.next().and_then(|status| status.get(..3)?.parse().ok()) {
        Some(status) if is_http => Ok((status, body.to_owned())),
        _ => bail!("no answer in HTTP"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_body() {
        let answer = parse(b"HTTP/1.0 503 Service Unavailable\r\ncontent-length: 3\r\n\r\n{}\n").unwrap();
        assert_eq!(answer, (503, "{}\n".to_owned()));
        for wrong in ["", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1\r\n\r\n", "FTP/1.1 200 OK\r\n\r\n"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wildcard_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("10.0.0.1:2", "10.0.0.1:2"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
