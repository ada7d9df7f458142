//! `bankside health`: asks the operator's listener of a running sidecar, for images and probes that have no other client.

use std::env;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Parser;
use clap::error::ErrorKind;

use crate::config::{Listen, Written};

use super::configured::Configured;
use super::{Outcome, output};

/// Where the operator's listener is, unless something else is said.
const DEFAULT_ADMIN: Listen = Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090));
/// No answer of the two is longer.
const MOST: u64 = 1 << 20;

const HELP_ADMIN: &str =
    "Where the operator's listener is [env: BANKSIDE_ADMIN] [default: admin.listen of the configuration]";

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Asks whether every bank can be used (/readyz), not only whether the sidecar lives (/livez)
    #[arg(long)]
    ready: bool,
    // No `env` of clap's: an empty variable is none.
    #[arg(long, value_name = "ADDRESS", help = HELP_ADMIN)]
    admin: Option<Listen>,
    /// How many seconds to wait for the connection, and for each part of the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

pub(super) fn run(args: &Args, configured: &Configured) -> Outcome {
    let admin = match args.admin.clone().or_else(admin_of_environment) {
        Some(admin) => admin,
        None => configured_admin(configured)?,
    };
    let path = if args.ready { "/readyz" } else { "/livez" };
    let answer = ask(&admin, path, Duration::from_secs(args.timeout)).with_context(|| format!("{admin}{path}"))?;
    let (status, body) = parse(&answer).with_context(|| format!("{admin}{path}"))?;
    output::print(body.trim_end())?;
    if status == 200 { Ok(()) } else { Err(anyhow!("{admin}{path} answered {status}").into()) }
}

/// `BANKSIDE_ADMIN`, unless it is empty.
fn admin_of_environment() -> Option<Listen> {
    let text = env::var("BANKSIDE_ADMIN").ok().filter(|text| !text.is_empty())?;
    let wrong = |error| clap::Error::raw(ErrorKind::ValueValidation, format!("BANKSIDE_ADMIN: {error}\n"));
    Some(text.parse().map_err(wrong).unwrap_or_else(|error| error.exit()))
}

/// A configuration that has become wrong says nothing of a sidecar that goes on with the former one: what it says of the
/// address is believed all the same, and without that it is looked for at the default one.
fn configured_admin(configured: &Configured) -> anyhow::Result<Listen> {
    const OFF: &str = "admin.listen is off: there is nobody to ask";
    let Some(file) = configured.path() else { return Ok(DEFAULT_ADMIN) };
    if let Ok(config) = configured.config() {
        return config.admin.context(OFF);
    }
    let written = Written::read(&file).and_then(|written| written.text(&["admin", "listen"]));
    match written.as_deref() {
        Some("off") => Err(anyhow!(OFF)),
        Some(text) => Ok(text.parse().map_or(DEFAULT_ADMIN, |listen| beside(&file, listen))),
        None => Ok(DEFAULT_ADMIN),
    }
}

/// Relative paths are relative to the configuration's file.
fn beside(file: &Path, listen: Listen) -> Listen {
    match (listen, file.parent()) {
        (Listen::Unix(path), Some(folder)) => Listen::Unix(folder.join(path)),
        (listen, _) => listen,
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

    /// A listener that answers one connection with these bytes, and gives what it was asked.
    fn answering(answer: &'static [u8]) -> (Listen, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = Listen::Tcp(listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        (admin, asked)
    }

    fn health(admin: Listen, ready: bool) -> Result<(), String> {
        let args = Args { ready, admin: Some(admin), timeout: 3 };
        match run(&args, &Configured::new(None)) {
            Ok(()) => Ok(()),
            Err(super::super::Failed::Because(error)) => Err(format!("{error:#}")),
            Err(super::super::Failed::Config) => Err("the configuration".into()),
        }
    }

    #[test]
    fn a_probe_asks_in_a_way_that_ends_with_the_connection() {
        let (admin, asked) = answering(b"HTTP/1.0 200 OK\r\n\r\nok\n");
        assert_eq!(health(admin, false), Ok(()));
        assert_eq!(asked.join().unwrap(), "GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n");
        let (admin, asked) = answering(b"HTTP/1.1 200 OK\r\n\r\n{}\n");
        assert_eq!(health(admin, true), Ok(()));
        assert!(asked.join().unwrap().starts_with("GET /readyz "));
    }

    #[test]
    fn every_answer_but_200_is_a_failure_that_names_who_answered() {
        for answer in [
            &b"HTTP/1.0 503 Service Unavailable\r\n\r\n{}"[..],
            b"HTTP/1.0 404 Not Found\r\n\r\n",
            b"",
            b"\x15\x03\x01",
        ] {
            let (admin, _asked) = answering(answer);
            let said = health(admin.clone(), false).unwrap_err();
            assert!(said.contains(&format!("{admin}/livez")), "{said}");
        }
    }

    #[test]
    fn nobody_there_and_nobody_who_answers_are_failures_in_time() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = Listen::Tcp(listener.local_addr().unwrap());
        let waited = ask(&silent, "/livez", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(waited.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{waited}");
        drop(listener);
        assert_eq!(
            ask(&silent, "/livez", Duration::from_secs(3)).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }

    #[test]
    fn a_unix_socket_is_asked_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let answer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nok\n").unwrap();
        });
        assert_eq!(health(Listen::Unix(path), false), Ok(()));
        answer.join().unwrap();
    }

    #[test]
    fn an_answer_without_end_is_cut() {
        struct Endless;
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(b'x');
                Ok(buffer.len())
            }
        }
        impl Write for Endless {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(exchange(Endless, "").unwrap().len() as u64, MOST);
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
