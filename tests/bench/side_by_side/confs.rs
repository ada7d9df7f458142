//! The configurations, as text: the bank's, and each proxy's for the same job.

use std::fmt::Write;
use std::path::Path;

use super::trust::HOST;

/// What the bank wants.
const TOKEN: &str = "the-token-that-is-given";
/// More than any table opens.
const MOST: usize = 8192;

/// A product, and what it speaks with the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Haproxy { http2: bool },
    Bankside { http2: bool },
}

/// What stands before the bank.
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    /// So many programs that know nothing of each other share the load.
    pub(crate) programs: usize,
    /// Of each program.
    pub(crate) workers: usize,
    pub(crate) routes: usize,
    pub(crate) banks: usize,
}

/// Where the bank listens.
#[derive(Clone, Copy)]
pub(crate) struct BankPorts {
    pub(crate) http1: u16,
    pub(crate) http2: u16,
}

impl Kind {
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy { .. } => "haproxy",
            Self::Bankside { .. } => env!("CARGO_BIN_EXE_bankside"),
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy { http2: false } => "haproxy",
            Self::Haproxy { http2: true } => "haproxy, HTTP/2",
            Self::Bankside { http2: false } => "bankside",
            Self::Bankside { http2: true } => "bankside, HTTP/2",
        }
    }
}

/// The bank: an nginx that demands a certificate and the token, with an answer of 1 KB.
pub(crate) fn bank(folder: &Path, ports: BankPorts, workers: usize) -> String {
    let mut servers = String::new();
    for (port, protocol) in [(ports.http1, ""), (ports.http2, "http2")] {
        let _ = write!(
            servers,
            "server {{ listen 127.0.0.1:{port} ssl {protocol} reuseport backlog=8192;\n\
             ssl_certificate bank.pem; ssl_certificate_key bank.key; ssl_protocols TLSv1.2 TLSv1.3;\n\
             ssl_client_certificate ca.pem; ssl_verify_client on; ssl_session_cache shared:sessions:10m;\n\
             http2_max_concurrent_streams 512; default_type application/json;\n\
             location / {{ if ($http_authorization != \"Bearer {TOKEN}\") {{ return 401; }} return 200 '{}'; }} }}\n",
            "x".repeat(1024)
        );
    }
    nginx_main(folder, workers, &servers)
}

/// The configuration of a proxy that listens at these ports: at one, but for bankside before many banks.
pub(crate) fn proxy(subject: &Subject, folder: &Path, listen: &[u16], bank: BankPorts) -> String {
    match subject.kind {
        Kind::Nginx => nginx(subject, folder, listen[0], bank.http1),
        Kind::Haproxy { http2 } => {
            haproxy(subject, folder, listen[0], if http2 { bank.http2 } else { bank.http1 }, http2)
        }
        Kind::Bankside { http2 } => bankside(subject, listen, if http2 { bank.http2 } else { bank.http1 }, http2),
    }
}

fn nginx(subject: &Subject, folder: &Path, listen: u16, bank: u16) -> String {
    let server = format!(
        "upstream bank {{ server 127.0.0.1:{bank}; keepalive {MOST}; keepalive_requests 1000000000; }}\n\
         server {{ listen 127.0.0.1:{listen} reuseport backlog=8192; location / {{ proxy_pass https://bank;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host {HOST};\n\
         proxy_set_header Authorization \"Bearer {TOKEN}\"; proxy_ssl_certificate client.pem;\n\
         proxy_ssl_certificate_key client.key; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_verify on;\n\
         proxy_ssl_name {HOST}; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.2 TLSv1.3; }} }}\n"
    );
    nginx_main(folder, subject.workers, &server)
}

fn nginx_main(folder: &Path, workers: usize, servers: &str) -> String {
    // Started by root, its workers would become another user.
    let user = if nix::unistd::geteuid().is_root() { "user root;\n" } else { "" };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/temporary-{kind};\n", folder.display()))
        .concat();
    format!(
        "{user}daemon off; worker_processes {workers}; worker_rlimit_nofile {}; pid {folder}/nginx.pid;\n\
         error_log {folder}/nginx.log warn; events {{ worker_connections {}; multi_accept on; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; tcp_nodelay on;\n\
         {temporary}{servers}}}\n",
        3 * MOST,
        2 * MOST,
        folder = folder.display()
    )
}

fn haproxy(subject: &Subject, folder: &Path, listen: u16, bank: u16, http2: bool) -> String {
    format!(
        "global\n nbthread {}\n maxconn {MOST}\ndefaults\n mode http\n timeout client 1h\n timeout server 1h\n\
         \x20timeout connect 5s\n http-reuse always\nfrontend app\n bind 127.0.0.1:{listen} backlog 8192\n\
         \x20http-request set-header Authorization \"Bearer {TOKEN}\"\n http-request set-header Host {HOST}\n\
         \x20default_backend bank\nbackend bank\n\
         \x20server bank 127.0.0.1:{bank} ssl verify required ca-file {folder}/ca.pem crt {folder}/client.both \
         sni str({HOST}) verifyhost {HOST} alpn {} pool-max-conn -1\n",
        subject.workers,
        if http2 { "h2" } else { "http/1.1" },
        folder = folder.display()
    )
}

fn bankside(subject: &Subject, listen: &[u16], bank: u16, http2: bool) -> String {
    let alpn = if http2 { "h2" } else { "http/1.1" };
    let mut text = format!(
        "[log]\nlevel = \"warn\"\n[admin]\nlisten = \"off\"\n[store]\nurl = \"sqlite:bankside.db\"\n\
         key = {{ file = \"bankside.key\" }}\n[runtime]\nworkers = {}\n[identity]\ncertificate = \"client.pem\"\n\
         private_key = \"client.key\"\n",
        subject.workers
    );
    for (number, listen) in listen.iter().enumerate() {
        let name = format!("banks.bench-{number}");
        let _ = write!(
            text,
            "[{name}]\nlisten = \"127.0.0.1:{listen}\"\nbase_url = \"https://127.0.0.1:{bank}\"\ngrant_type = \"fixed\"\n\
             token = {{ value = \"{TOKEN}\" }}\n[{name}.tls]\nca = [\"ca.pem\"]\nsystem_roots = false\n\
             server_name = \"{HOST}\"\nalpn = [\"{alpn}\"]\n[{name}.limits]\nin_flight = {MOST}\nconnections = {MOST}\n"
        );
        for route in 1..subject.routes {
            let _ = write!(text, "[[{name}.routes]]\npath = \"/v1/accounts/*/item-{route}/**\"\n");
        }
        let _ = write!(text, "[[{name}.routes]]\npath = \"/v1/**\"\n");
    }
    text
}
