//! What a bank's table, and so a profile, may hold: the one list of keys, with their types and defaults.

use super::bank_words::{
    Grant, HostName, MethodName, RawClientAuth, RawGrantType, RawRevocation, RoleName, ServerName,
};
use super::client_auth::{BasicEncoding, SigningAlgorithm};
use super::collection::{JsonObject, Named, OneOrMany};
use super::file::Roots;
use super::grants::RegistrationFormat;
use super::leaf::{Fraction, Parameter, Size, Span, Whole};
use super::raw::RawIdentity;
use super::reader::Located;
use super::table::table;
use super::url::{RedirectUri, UrlTemplate};
use super::valid_headers::{HeaderValue, Removed};
use super::{Alpn, BaseUrl, HttpsUrl, Listen, PathPattern, TlsVersion};
use crate::words::Secret;

/// Seconds of an hour and of a year, for the ranges of durations.
const HOUR: u64 = 60 * 60;
const YEAR: u64 = 365 * 24 * HOUR;

table! {
    /// A bank. A profile has the same keys.
    RawBank {
        /// What people call it.
        title: String,
        /// The name of a built-in profile, or the path of one's own, over which this table is laid.
        profile: String,
        /// Where apps reach the bank.
        listen: OneOrMany<Listen>,
        /// Where requests go: its path is put before the request's.
        base_url: BaseUrl,
        /// How tokens are come by.
        grant_type: RawGrantType,
        /// From the bank's registration. May be left out where `bankside register` has stored one.
        client_id: String,
        /// From the bank's registration. May be left out where `bankside register` has stored one.
        client_secret: Secret,
        /// Where the person's browser comes back to, exactly as registered.
        redirect_uri: RedirectUri,
        /// What is asked for where a grant has no scopes of its own.
        scopes: Vec<Located<String>> = "[]",
        /// The PSD2 role that the QWAC must name for a scope, by scope.
        roles: Named<RoleName>,
        /// The token of a fixed bank's default grant.
        token: Secret,
        /// Named grants.
        grants: Named<RawGrant>,
        /// OAuth 2.0 at this bank.
        oauth: RawOauth = "{}",
        /// How the app is registered at the bank.
        registration: RawRegistration,
        /// What happens to field lines on the way to the bank.
        headers: RawHeaders = "{}",
        /// TLS towards the bank.
        tls: RawTls = "{}",
        /// The QWAC, for this bank.
        identity: RawIdentity,
        /// Who may call.
        access: RawAccess = "{}",
        /// Which requests may pass; the first that matches wins. With any given, what matches none is refused.
        routes: Vec<Located<RawRoute>> = "[]",
        /// How long things may take.
        timeouts: RawTimeouts = "{}",
        /// How much there may be.
        limits: RawLimits = "{}",
        /// When tokens are renewed.
        renewal: RawRenewal = "{}",
        /// How many days a consent lasts: its end is foretold from this.
        consent_days: Whole<1, 3650>,
    }

    /// A named grant.
    RawGrant {
        /// What is asked for.
        scopes: Vec<Located<String>>,
        /// The token, of a fixed bank.
        token: Secret,
    }

    /// OAuth 2.0 at a bank.
    RawOauth {
        /// Where the person's browser goes.
        authorize_url: HttpsUrl,
        /// Where codes and refresh tokens are exchanged.
        token_url: HttpsUrl,
        /// Where a grant is revoked.
        revoke_url: HttpsUrl,
        /// The `iss` that a callback must have if it has one (RFC 9207), and the `aud` of a client assertion.
        issuer: String,
        /// How the client authenticates at the token endpoint.
        client_auth: RawClientAuth = "'client_secret_basic'",
        /// Whether id and secret are form-encoded before base64 (RFC 6749, section 2.3.1).
        basic_encoding: BasicEncoding = "'form'",
        /// What a client assertion is signed with (`private_key_jwt`); else what the identity's key can do, PS256 for RSA.
        token_endpoint_auth_signing_alg: SigningAlgorithm,
        /// The name that the bank knows the identity's key by, in a client assertion (`private_key_jwt`); else its RFC 7638 thumbprint.
        kid: String,
        /// Whether PKCE (RFC 7636) is used.
        pkce: bool = "true",
        /// How a grant is revoked: RFC 7009, or DELETE with the access token.
        revocation: RawRevocation,
        /// More query parameters of the authorization URL.
        authorize_params: Named<Parameter>,
        /// More form fields of every token request.
        token_params: Named<Parameter>,
        /// More form fields of a refresh.
        refresh_params: Named<Parameter>,
        /// More field lines of every token request, and of the session step.
        token_headers: Named<HeaderValue>,
        /// The step before the authorization.
        session: RawSession,
    }

    /// A request that precedes each authorization and gives it a parameter.
    RawSession {
        /// Where it is posted, over mutual TLS.
        url: HttpsUrl,
        /// The form's fields; `{client_id}` is filled in.
        params: Named<Parameter>,
        /// One or several names under which the JSON answer may hold the value.
        field: OneOrMany<String>,
        /// The authorization URL's parameter that carries it.
        send_as: String,
    }

    /// How the app is registered at a bank by a request.
    RawRegistration {
        /// Where it is posted, over mutual TLS.
        url: HttpsUrl,
        /// The body's format.
        format: RegistrationFormat = "'json'",
        /// The body's fields; `{name}`, `{redirect_uri}` and `{scopes}` are filled in. An empty string leaves a field out.
        fields: JsonObject = "{}",
        /// Which fields of the answer are the credentials.
        take: RawTake = "{}",
        /// Where the secret is renewed; `{client_id}` is filled in.
        renew_url: UrlTemplate,
        /// Where registrations are listed.
        list_url: HttpsUrl,
        /// Where a registration is deleted; `{client_id}` is filled in.
        delete_url: UrlTemplate,
    }

    /// Which fields of the registration's answer are the credentials.
    RawTake {
        /// The field, or several that it may be.
        client_id: OneOrMany<String> = "'client_id'",
        /// The field, or several that it may be.
        client_secret: OneOrMany<String> = "'client_secret'",
    }

    /// What happens to field lines on the way to the bank. A value is a string or a secret; `{uuid}` is filled in.
    RawHeaders {
        /// Put in place of whatever the app sent.
        set: Named<HeaderValue>,
        /// Added where the app sent none.
        default: Named<HeaderValue>,
        /// Taken out.
        remove: Vec<Located<Removed>> = "[]",
    }

    /// TLS towards the bank.
    RawTls {
        /// PEM files with roots, beside or instead of the system's.
        ca: Vec<Located<Roots>>,
        /// Whether the system's roots count too.
        system_roots: bool = "true",
        /// The oldest version that is spoken.
        min_version: TlsVersion = "'1.2'",
        /// The protocols that are offered, in order of preference.
        alpn: Vec<Located<Alpn>> = "['h2', 'http/1.1']",
        /// The name that the bank's certificate must have, instead of the URL's host.
        server_name: ServerName,
        /// Whether the QWAC is presented.
        client_certificate: bool = "true",
    }

    /// Who may call.
    RawAccess {
        /// More names for the Host field.
        hosts: Vec<Located<HostName>> = "[]",
        /// What callers must send as Bankside-Key.
        key: Secret,
        /// Whether listening beyond loopback without a key is meant.
        allow_remote: bool = "false",
        /// The user ids that may connect to a unix socket.
        uids: Vec<Located<Whole<0, { u32::MAX }>>>,
    }

    /// Which requests may pass, and how.
    RawRoute {
        /// The path: `*` is one segment, `**` the rest.
        path: PathPattern,
        /// The methods; all where left out.
        methods: Vec<Located<MethodName>>,
        /// The grant whose token the request gets.
        grant: Grant,
        /// A response timeout of its own.
        timeout: Span<1, { 24 * HOUR }>,
        /// Whether it may be sent once more although it may have arrived.
        replay: bool = "false",
        /// Whether it is refused.
        deny: bool = "false",
    }

    /// How long things may take.
    RawTimeouts {
        /// To connect, TLS included.
        connect: Span<1, HOUR> = "'5s'",
        /// From the request's end to the answer's head.
        response: Span<1, { 24 * HOUR }> = "'30s'",
        /// Between bytes of a body.
        idle: Span<1, { 24 * HOUR }> = "'30s'",
        /// For the app's head.
        request: Span<1, HOUR> = "'30s'",
        /// For an answer of the token endpoint, and of the bank's other OAuth endpoints; if it is left out, that of
        /// `response`, and 8 s at most.
        token: Span<1, HOUR>,
    }

    /// How much there may be.
    RawLimits {
        /// Requests under way at once.
        in_flight: Whole<1, 1_000_000> = "1024",
        /// Connections to the bank at once. Requests whose body is still to come take half of them at most.
        connections: Whole<1, 65_535> = "128",
        /// How long a request may wait for its turn.
        queue: Span<0, HOUR> = "'5s'",
        /// How much of a request's body is kept for sending it once more.
        replay_body: Size<{ 64 << 20 }> = "'64KiB'",
    }

    /// When tokens are renewed.
    RawRenewal {
        /// The fraction of a token's life after which it is renewed ahead.
        at: Fraction<10, 99> = "0.8",
        /// Grants unused so long are renewed on use only.
        idle: Span<1000, { 10 * YEAR }> = "'30d'",
        /// How many calls a second the token endpoint gets at most, all grants together.
        rate: Whole<1, 10_000> = "50",
    }
}
