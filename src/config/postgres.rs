//! The URL of a store in PostgreSQL: who asks whom for which database, and how the way there is kept safe.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::passfile::password_for;
use super::reader::Reader;
use super::url::parse_host;
use super::{FileContent, Place};
use crate::words::Secret;

const REMEDY: &str = "write \"postgres://user@host/database?sslmode=verify-full\"";
const DEFAULT_PORT: u16 = 5432;

/// A database in PostgreSQL.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// Where the server is.
    pub host: PostgresHost,
    /// Its port; with a unix socket, the number in the socket's name.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password: from the URL, else from the `passfile`, else from `PGPASSWORD`.
    pub password: Option<Secret>,
    /// The database.
    pub database: String,
    /// TLS. `None` is for loopback and unix sockets only.
    pub tls: Option<PostgresTls>,
}

/// The same database by the same way: what a reload cannot change.
impl PartialEq for Postgres {
    fn eq(&self, other: &Self) -> bool {
        let same_password = match (&self.password, &other.password) {
            (Some(one), Some(other)) => one.matches(other.expose()),
            (one, other) => one.is_none() && other.is_none(),
        };
        let roots = |url: &Self| url.tls.as_ref().map(|tls| tls.ca.as_ref().map(|ca| ca.bytes.clone()));
        (&self.host, self.port, &self.user, &self.database) == (&other.host, other.port, &other.user, &other.database)
            && same_password
            && roots(self) == roots(other)
    }
}

/// Where a PostgreSQL server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresHost {
    /// A name or an address.
    Tcp(String),
    /// The directory of its unix socket.
    Unix(PathBuf),
}

/// TLS towards a PostgreSQL server. Its certificate and name are always verified (libpq's `verify-full`).
#[derive(Clone, Debug)]
pub struct PostgresTls {
    /// The roots that count (`sslrootcert`), in PEM; `None` is for the system's.
    pub ca: Option<FileContent>,
}

/// Why a URL is none of a store: what is wrong and what to do. Neither shows the URL.
type Wrong = (&'static str, &'static str);

/// What a URL says, before any file is read.
#[derive(Debug)]
struct Url {
    host: PostgresHost,
    port: u16,
    user: String,
    password: Option<Secret>,
    database: String,
    verified: bool,
    root: Option<String>,
    passfile: Option<String>,
}

/// Reads what follows `postgres://`, and the files that it names.
pub(super) fn postgres(rest: &Secret, place: &Place, base: &Path, reader: &mut Reader<'_>) -> Option<Postgres> {
    let url = match rest.expose_str().ok_or(("the URL is not text", REMEDY)).and_then(parse) {
        Ok(url) => url,
        Err((reason, remedy)) => {
            reader.error(place, reason, remedy);
            return None;
        }
    };
    let ca = match url.root.as_deref().filter(|root| *root != "system") {
        Some(root) => Some(reader.file(place, base.join(root))?),
        None => None,
    };
    let password = match (url.password, url.passfile) {
        (Some(password), _) => Some(password),
        (None, Some(path)) => {
            let file = reader.file(place, base.join(path))?;
            let host = match &url.host {
                PostgresHost::Tcp(host) => host,
                PostgresHost::Unix(_) => "localhost",
            };
            let found = password_for(&file.bytes, host, url.port, &url.database, &url.user);
            if found.is_none() {
                let remedy = "add the line host:port:database:user:password to it";
                reader.error(place, "the passfile has no line for this host, database and user", remedy);
            }
            Some(found?)
        }
        (None, None) => reader.environment.variable("PGPASSWORD").filter(|text| !text.is_empty()).map(Secret::from),
    };
    let tls = url.verified.then_some(PostgresTls { ca });
    Some(Postgres { host: url.host, port: url.port, user: url.user, password, database: url.database, tls })
}

fn parse(text: &str) -> Result<Url, Wrong> {
    if text.contains('#') {
        return Err(("the URL has a fragment", "write a `#` in a password as %23"));
    }
    let (location, query) = text.split_once('?').unwrap_or((text, ""));
    let (authority, database) = location.split_once('/').unwrap_or((location, ""));
    let (account, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = account.split_once(':').map_or((account, None), |(user, word)| (user, Some(word)));
    if user.is_empty() || database.is_empty() {
        return Err(("the URL names no user, or no database", REMEDY));
    }
    let parameters = Parameters::read(query)?;
    let (host, port) = place_of(address, &parameters)?;
    let local = match &host {
        PostgresHost::Unix(_) => true,
        PostgresHost::Tcp(host) => host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
    };
    let verified = is_verified(parameters.mode.as_deref(), &host, local)?;
    if !verified && parameters.root.is_some() {
        return Err(("the URL has an sslrootcert, and an sslmode that verifies nothing", "use sslmode=verify-full"));
    }
    Ok(Url {
        host,
        port,
        user: decoded(user)?.to_string(),
        password: password.map(decoded).transpose()?.map(|word| Secret::new(word.as_bytes())),
        database: decoded(database)?.to_string(),
        verified,
        root: parameters.root,
        passfile: parameters.passfile,
    })
}

/// The host, of the URL itself or its parameter `host`, and the port.
fn place_of(address: &str, parameters: &Parameters) -> Result<(PostgresHost, u16), Wrong> {
    let (host, port) = match address.rfind(':') {
        Some(colon) if !address[colon..].contains(']') => (&address[..colon], Some(&address[colon + 1..])),
        _ => (address, None),
    };
    let port = match port.or(parameters.port.as_deref()) {
        None => DEFAULT_PORT,
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return Err(("the URL's port is no port", REMEDY)),
            Ok(port) => port,
        },
    };
    let host = decoded(host)?;
    let host = match parameters.host.as_deref() {
        Some(_) if !host.is_empty() => return Err(("the URL names two hosts", "name it once")),
        Some(host) => host,
        None => host.as_str(),
    };
    if host.starts_with('/') {
        return Ok((PostgresHost::Unix(host.into()), port));
    }
    match parse_host(host) {
        Some(host) => Ok((PostgresHost::Tcp(host), port)),
        None => Err(("the URL names no host, or one that is none", REMEDY)),
    }
}

fn is_verified(mode: Option<&str>, host: &PostgresHost, local: bool) -> Result<bool, Wrong> {
    match mode {
        None => Ok(matches!(host, PostgresHost::Tcp(_))),
        Some("verify-full") if matches!(host, PostgresHost::Unix(_)) => {
            Err(("PostgreSQL has no TLS on unix sockets", "use sslmode=disable, which is safe there"))
        }
        Some("verify-full") => Ok(true),
        Some("disable") if local => Ok(false),
        Some("disable") => Err(("sslmode=disable is for loopback and unix sockets only", "use sslmode=verify-full")),
        Some("allow" | "prefer" | "require" | "verify-ca") => Err((
            "this sslmode does not verify who the server is: whoever stands in between could take its place",
            "use sslmode=verify-full, and sslrootcert=FILE where the server's root is your own",
        )),
        Some(_) => Err(("the URL's sslmode is none of: disable, verify-full", REMEDY)),
    }
}

/// The parameters that a URL may have.
#[derive(Default)]
struct Parameters {
    mode: Option<String>,
    root: Option<String>,
    passfile: Option<String>,
    host: Option<String>,
    port: Option<String>,
}

impl Parameters {
    fn read(query: &str) -> Result<Self, Wrong> {
        let mut parameters = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let field = match name {
                "sslmode" => &mut parameters.mode,
                "sslrootcert" => &mut parameters.root,
                "passfile" => &mut parameters.passfile,
                "host" => &mut parameters.host,
                "port" => &mut parameters.port,
                "password" => return Err(("the URL has the password among its parameters", PASSWORD_REMEDY)),
                _ => {
                    return Err((
                        "the URL has a parameter that is none of: sslmode, sslrootcert, passfile, host, port",
                        "leave it out",
                    ));
                }
            };
            let value = decoded(value)?.to_string();
            if value.is_empty() || field.replace(value).is_some() {
                return Err(("a parameter of the URL is empty, or there twice", "write each once, with its value"));
            }
        }
        Ok(parameters)
    }
}

const PASSWORD_REMEDY: &str = "write postgres://user:${PGPASSWORD}@host/database, set PGPASSWORD, or name a passfile";

/// Percent-decoded. What holds a `%` that encodes nothing was not encoded, and would be read wrongly.
fn decoded(text: &str) -> Result<Zeroizing<String>, Wrong> {
    let remedy = "percent-encode what is special in it: % is %25, / is %2F, @ is %40, ? is %3F";
    let bytes = text.as_bytes();
    let whole = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        let digits = bytes.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let decoded = Zeroizing::new(percent_decode_str(text).collect::<Vec<u8>>());
    match std::str::from_utf8(&decoded) {
        Ok(text) if whole && !text.contains('\0') => Ok(Zeroizing::new(text.to_owned())),
        _ => Err(("the URL has a percent-encoding that is none", remedy)),
    }
}
