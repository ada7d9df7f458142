//! Floor 1, the configuration: from TOML and profiles to valid types, with every problem reported at once.
//!
//! [`Config::load`] is the only place of the program that reads configuration, secret and certificate files and the
//! environment. What it returns is whole: the content of every file that was named is in it.

pub mod bank;
pub mod client_auth;
pub mod grants;
pub mod identity;
pub mod postgres;
pub mod problem;
pub mod route;
pub mod settings;
pub mod values;

mod bank_words;
mod collection;
mod environment;
mod field_rules;
mod file;
mod interpolate;
mod leaf;
mod load;
mod passfile;
mod profile;
mod quantity;
mod raw;
mod raw_bank;
mod reader;
mod table;
mod tree;
mod url;
mod valid;
mod valid_bank;
mod valid_grants;
mod valid_headers;
mod valid_identity;
mod valid_registration;
mod valid_routes;
mod valid_token;
mod written;

pub use bank::{
    Access, Alpn, Bank, HeaderRules, HeaderTemplate, Limits, Renewal, ScopeRole, Timeouts, Tls, TlsVersion,
};
pub use client_auth::{BasicEncoding, ClientAssertion, ClientAuth, SigningAlgorithm};
pub use environment::{Environment, ProcessEnvironment};
pub use grants::{
    AuthorizationCode, ClientCredentials, GrantType, Registration, RegistrationFormat, Revocation, Session,
    TokenEndpoint,
};
pub use identity::{FileContent, Identity, IdentitySource, NextIdentity, Pkcs11, Pkcs11Key};
pub use load::{BankConnection, Reading, schema};
pub use postgres::{Postgres, PostgresHost, PostgresTls};
pub use problem::{Place, Problem, Problems, Severity};
pub use profile::profile_names;
pub use route::{PathPattern, Route, RouteAction};
pub use settings::{Config, Log, LogFormat, Store, StoreKey, StoreUrl};
pub use values::{BaseUrl, HttpsUrl, Invalid, Listen, authority};
pub use written::{Written, in_its_line, place_of_listen};

#[cfg(test)]
mod tests;
