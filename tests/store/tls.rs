//! TLS towards PostgreSQL: the server is who it says, or nothing is said to it.

use bankside::config::{FileContent, Postgres as Url, PostgresHost, PostgresTls};
use bankside::store::Postgres;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use zeroize::Zeroizing;

use crate::support::postgres::{PASSWORD, Server};

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Authority::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server with a certificate for these names, that takes no connection without TLS.
fn server(authority: &Authority, names: &[&str]) -> Option<Server> {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let server = Server::with(|server| {
        let certificate = server.file("server.crt", &certificate.pem());
        let key = server.file("server.key", &key.serialize_pem());
        let access = server.file("access", "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n");
        format!(
            "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\nhba_file = '{}'",
            certificate.display(),
            key.display(),
            access.display()
        )
    })?;
    server.database("grants");
    Some(server)
}

async fn open(server: &Server, host: &str, authority: Option<&Authority>) -> Result<Arc<Postgres>, StoreError> {
    let ca = authority.map(|authority| FileContent {
        place: settings(StoreUrl::Sqlite(PathBuf::new())).place,
        path: "ca.pem".into(),
        bytes: Arc::new(Zeroizing::new(authority.pem().into_bytes())),
    });
    let url = Url {
        host: PostgresHost::Tcp(host.into()),
        port: server.port,
        user: "bankside".into(),
        password: Some(PASSWORD.into()),
        database: "grants".into(),
        tls: Some(PostgresTls { ca }),
    };
    Postgres::open(&url, &given(&[7])).await
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_its_name() {
    let ours = authority();
    let Some(server) = server(&ours, &["localhost", "127.0.0.1"]) else { return };
    for host in ["localhost", "127.0.0.1"] {
        let store = open(&server, host, Some(&ours)).await.unwrap();
        store.put(&key("default"), tokens("a", Some("r"))).await.unwrap();
    }
    let encrypted = "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'bankside'";
    let store = open(&server, "localhost", Some(&ours)).await.unwrap();
    assert_eq!(server.sql("postgres", encrypted), "t\n");
    drop(store);
    for (stranger, why) in [(Some(authority()), "another authority"), (None, "the system's roots")] {
        let error = open(&server, "localhost", stranger.as_ref()).await.expect_err(why);
        let told = format!("{error:?}");
        assert!(told.contains("UnknownIssuer") || told.contains("BadSignature"), "{why}: {told}");
    }
}

#[tokio::test]
async fn a_server_of_another_name_is_refused() {
    let ours = authority();
    let Some(server) = server(&ours, &["db.example"]) else { return };
    for host in ["localhost", "127.0.0.1"] {
        let error = open(&server, host, Some(&ours)).await.expect_err("another name");
        assert!(format!("{error:?}").contains("NotValidForName"), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_without_tls_hears_no_password() {
    let Some(server) = Server::start() else { return };
    server.database("grants");
    let error = open(&server, "127.0.0.1", Some(&authority())).await.expect_err("it has no TLS");
    assert!(format!("{error:?}").contains("does not support TLS"), "{error:?}");
}
