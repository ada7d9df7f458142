//! What a configuration file may hold, but for its banks: the one list of keys, with their types and defaults.

use serde_json::{Map, Value as Json, json};

use super::collection::{Named, OneOrMany};
use super::file::{FilePath, RawSecret};
use super::leaf::Whole;
use super::raw_bank::RawBank;
use super::reader::{Field, Located, Read, Reader};
use super::settings::LogFormat;
use super::table::{choice, table, text};
use super::tree::{Node, Value};
use super::{FileContent, Invalid, Listen, Pkcs11Key, Place};
use crate::words::{Secret, Timestamp};

table! {
    /// The configuration of bankside.
    RawConfig {
        /// How to log.
        log: RawLog = "{}",
        /// The operator's side: health, metrics, API, page.
        admin: RawAdmin = "{}",
        /// Where grants live.
        store: RawStore = "{}",
        /// How the work is spread.
        runtime: RawRuntime = "{}",
        /// The QWAC, for every bank that brings none of its own.
        identity: RawIdentity,
        /// The banks, by name. Each is laid over its profile.
        banks: Named<RawBank>,
    }

    /// How to log.
    RawLog {
        /// auto is text on a terminal, else JSON.
        format: LogFormat = "'auto'",
        /// error, warn, info, debug, trace or off, also by target: `info,bankside::proxy=debug`.
        level: LogLevel = "'info'",
    }

    /// The operator's side.
    RawAdmin {
        /// Where it is reached, or "off".
        listen: AdminListen = "'127.0.0.1:9090'",
    }

    /// Where grants live.
    RawStore {
        /// `sqlite:PATH`, or `postgres://USER@HOST/DATABASE` with any of sslmode, sslrootcert, passfile, host, port.
        url: RawStoreUrl = "'sqlite:bankside.db'",
        /// 32 bytes in base64 that seal what is stored. A missing file is made (SQLite only).
        key: RawStoreKey = "{ file = 'bankside.key' }",
    }

    /// How the work is spread.
    RawRuntime {
        /// Worker threads; 0 is one per core that the process may use, at most 4.
        workers: Whole<0, 256> = "0",
    }

    /// A QWAC and its key: PEM files, or PKCS#12, or a key that stays in an HSM.
    RawIdentity {
        /// A PEM file: the leaf first, then the chain.
        certificate: FileContent,
        /// A PEM file: PKCS#8, PKCS#1 or SEC1, encrypted or not.
        private_key: FileContent,
        /// For an encrypted key or a PKCS#12 file.
        passphrase: Secret,
        /// A PKCS#12 file, instead of `certificate` and `private_key`.
        pkcs12: FileContent,
        /// The key stays in the HSM.
        pkcs11: RawPkcs11,
        /// The identity that follows this one.
        next: RawNextIdentity,
    }

    /// A key in an HSM.
    RawPkcs11 {
        /// The PKCS#11 library.
        module: FilePath,
        /// The token's label.
        token: String,
        /// The key's label, or its id as `id:HEX`.
        key: Pkcs11Key,
        /// The user's PIN.
        pin: Secret,
    }

    /// An identity with the moment from which it is used.
    RawNextIdentity {
        /// From when it is used (RFC 3339).
        from: Moment,
        /// As in identity.
        certificate: FileContent,
        /// As in identity.
        private_key: FileContent,
        /// As in identity.
        passphrase: Secret,
        /// As in identity.
        pkcs12: FileContent,
        /// As in identity.
        pkcs11: RawPkcs11,
    }
}

choice!(LogFormat { "auto" => Self::Auto, "text" => Self::Text, "json" => Self::Json });

/// Directives of the log's filter.
pub(super) struct LogLevel(pub(super) String);

text! {
    Pkcs11Key, "qwac";
    LogLevel, "info";
    RawStoreUrl, "sqlite:bankside.db";
}

impl std::str::FromStr for LogLevel {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
        let is_target = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        let is_directive = |directive: &str| match directive.split_once('=') {
            Some((target, level)) => !target.is_empty() && target.chars().all(is_target) && LEVELS.contains(&level),
            None => LEVELS.contains(&directive),
        };
        if text.split(',').all(is_directive) {
            return Ok(Self(text.to_owned()));
        }
        let remedy = format!("choose one of {}, or write TARGET=LEVEL, separated by commas", LEVELS.join(", "));
        Err(Invalid::new("not a log level", remedy))
    }
}

impl Listen {
    /// A unix socket's path is relative to the file that names it.
    fn relative_to(self, node: &Node) -> Self {
        match self {
            Self::Unix(path) => Self::Unix(node.source.base.join(path)),
            tcp @ Self::Tcp(_) => tcp,
        }
    }
}

impl Read for Listen {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.parse::<Self>(node).map(|listen| listen.relative_to(node))
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "string", "examples": ["127.0.0.1:8080", "unix:/run/bankside/bank.sock"] })
    }
}

/// An address, or `off`.
pub(super) struct AdminListen(pub(super) Option<Listen>);

impl std::str::FromStr for AdminListen {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "off" { Ok(Self(None)) } else { text.parse().map(|listen| Self(Some(listen))) }
    }
}

impl Read for AdminListen {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Self(listen) = reader.parse(node)?;
        Some(Self(listen.map(|listen| listen.relative_to(node))))
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "string", "examples": ["127.0.0.1:9090", "unix:/run/bankside/admin.sock", "off"] })
    }
}

/// Which database, as it is written.
pub(super) enum RawStoreUrl {
    /// A path, not yet resolved.
    Sqlite(String),
    /// What follows the scheme; it may hold a password.
    Postgres(Secret),
}

impl std::str::FromStr for RawStoreUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.starts_with(':') || path.contains(['?', '\0']) {
                return Err(Invalid::new("not the path of a database file", "write \"sqlite:bankside.db\""));
            }
            return Ok(Self::Sqlite(path.to_owned()));
        }
        let postgres = ["postgres://", "postgresql://"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
        match postgres {
            Some(rest) => Ok(Self::Postgres(rest.into())),
            None => Err(Invalid::new(
                "not the URL of a store",
                "write \"sqlite:bankside.db\" or \"postgres://user@host/database\"",
            )),
        }
    }
}

/// One key, or a list of which the first seals and all open.
pub(super) struct RawStoreKey {
    pub(super) keys: Vec<Located<RawSecret>>,
    pub(super) is_list: bool,
}

impl Read for RawStoreKey {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let is_list = matches!(node.value, Value::Array(_));
        if !is_list && !matches!(node.value, Value::Table(_)) {
            reader.wrong_type(node, "a secret", "write { file = \"bankside.key\" }");
            return None;
        }
        let OneOrMany(keys) = OneOrMany::read(node, reader)?;
        Some(Self { keys, is_list })
    }

    fn schema(definitions: &mut Map<String, Json>) -> Json {
        OneOrMany::<RawSecret>::schema(definitions)
    }
}

/// A moment: TOML's own, or text as RFC 3339 has it.
pub(super) struct Moment(pub(super) Timestamp);

impl Read for Moment {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        use time::OffsetDateTime;
        use time::format_description::well_known::Rfc3339;

        let text = match &node.value {
            Value::Datetime(text) => text.clone(),
            _ => String::read(node, reader)?,
        };
        let Ok(moment) = OffsetDateTime::parse(&text.replace(' ', "T"), &Rfc3339) else {
            reader.error(&node.place, "not a moment", "write date, time and zone: \"2027-01-31T00:00:00Z\"");
            return None;
        };
        Some(Self(Timestamp::from_millis(moment.unix_timestamp() * 1000)))
    }

    fn schema(_: &mut Map<String, Json>) -> Json {
        json!({ "type": "string", "format": "date-time" })
    }
}

impl<T> Located<T> {
    /// The value with its place, of another type.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located { place: self.place, value: change(self.value) }
    }
}

impl<T> Field<T> {
    /// The place, where there is a value.
    pub(super) fn place(&self) -> Option<&Place> {
        self.located().map(|located| &located.place)
    }
}
