//! The files that a sandbox leaves for a sidecar in another process: certificates, secrets, a configuration.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Error, Sandbox};

/// The password of the PKCS#12 file.
const PKCS12_PASSWORD: &str = "sandbox";
/// The configuration's first line: by it a folder is known as a sandbox's.
const FIRST_LINE: &str =
    "# A sidecar in front of the simulated banks of one `bankside sandbox`; its ports and secrets are its own.\n";
/// All that is written.
const NAMES: [&str; 8] = [
    "bankside.toml",
    "ca.pem",
    "qwac.pem",
    "qwac-key.pem",
    "qwac.p12",
    "qwac.p12.password",
    "icard-client-secret",
    "cnb-client-secret",
];

/// Where the sidecar of a written configuration listens.
#[derive(Clone, Debug)]
pub struct Listens {
    /// `admin.listen`.
    pub admin: String,
    /// For iCard.
    pub icard: String,
    /// For CNB.
    pub cnb: String,
    /// For the sandbox of CNB; `None` leaves that bank out.
    pub cnb_sandbox: Option<String>,
}

impl Default for Listens {
    fn default() -> Self {
        Self {
            admin: "127.0.0.1:9090".to_owned(),
            icard: "127.0.0.1:8080".to_owned(),
            cnb: "127.0.0.1:8081".to_owned(),
            cnb_sandbox: Some("127.0.0.1:8082".to_owned()),
        }
    }
}

impl Listens {
    /// Two banks, at a port of this machine and the next one; `None` if there is no next one.
    pub fn two_banks(port: u16, admin: u16) -> Option<Self> {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let next = port.checked_add(1)?;
        Some(Self { admin: local(admin), icard: local(port), cnb: local(next), cnb_sandbox: None })
    }
}

/// Where the written files are.
#[derive(Clone, Debug)]
pub struct Files {
    /// The configuration; the names in it are relative to its own directory.
    pub config: PathBuf,
    /// The authority of the banks' certificates.
    pub ca: PathBuf,
    /// The QWAC with its chain.
    pub certificate: PathBuf,
    /// Its key.
    pub private_key: PathBuf,
    /// Both as PKCS#12; its password stands in a file beside it.
    pub pkcs12: PathBuf,
}

impl Sandbox {
    /// Writes all that a sidecar needs into `dir`, which is made if it is missing. Whatever is secret has mode 0600. What a
    /// former sandbox wrote is replaced; anybody else's files are not.
    pub fn write_to(&self, dir: &Path, listens: &Listens) -> Result<Files, Error> {
        fs::create_dir_all(dir).map_err(|source| Error::Write { path: dir.to_owned(), source })?;
        refuse_a_strangers(dir)?;
        let qwac = self.qwac();
        let public = |name: &str, content: &[u8]| write(dir, name, content, 0o644);
        let secret = |name: &str, content: &[u8]| write(dir, name, content, 0o600);
        // It comes first: it says whose the others are.
        let config = public("bankside.toml", self.config_toml(listens).as_bytes())?;
        secret("qwac.p12.password", PKCS12_PASSWORD.as_bytes())?;
        secret("icard-client-secret", self.icard().client_secret().expose())?;
        secret("cnb-client-secret", self.cnb().client_secret().expose())?;
        Ok(Files {
            ca: public("ca.pem", self.pki().server_ca_pem().as_bytes())?,
            certificate: public("qwac.pem", qwac.chain_pem().as_bytes())?,
            private_key: secret("qwac-key.pem", qwac.key_pem().expose())?,
            pkcs12: secret("qwac.p12", &qwac.pkcs12(PKCS12_PASSWORD)?)?,
            config,
        })
    }

    /// The configuration of a sidecar in front of these banks, for the files that [`Self::write_to`] writes.
    pub fn config_toml(&self, listens: &Listens) -> String {
        let mut toml = format!(
            "{FIRST_LINE}\n[admin]\nlisten = {admin}\n\n[store]\nurl = \"sqlite:bankside.db\"\nkey = {{ file = \"bankside.key\" }}\n\
             \n[identity]\ncertificate = \"qwac.pem\"\nprivate_key = \"qwac-key.pem\"\n",
            admin = quoted(&listens.admin),
        );
        self.write_icard(&mut toml, &listens.icard);
        self.write_cnb(&mut toml, &listens.cnb);
        if let Some(listen) = &listens.cnb_sandbox {
            let base = &self.cnb_sandbox().urls().base;
            table(
                &mut toml,
                "banks.cnb-sandbox",
                &[("profile", "cnb-sandbox"), ("listen", listen), ("base_url", base)],
            );
            toml.push_str(&trust("cnb-sandbox"));
        }
        toml
    }

    fn write_icard(&self, toml: &mut String, listen: &str) {
        let (bank, urls) = (self.icard(), self.icard().urls());
        table(
            toml,
            "banks.icard",
            &[
                ("profile", "icard"),
                ("listen", listen),
                ("base_url", &urls.base),
                ("client_id", bank.client_id()),
                ("redirect_uri", bank.redirect_uri()),
            ],
        );
        toml.push_str("client_secret = { file = \"icard-client-secret\" }\nscopes = [\"ais\", \"cof\", \"pis\"]\n");
        table(toml, "banks.icard.oauth", &[("authorize_url", &urls.authorize), ("token_url", &urls.token)]);
        table(toml, "banks.icard.oauth.session", &[("url", &urls.session)]);
        table(toml, "banks.icard.registration", &[("url", &urls.registration)]);
        toml.push_str(&trust("icard"));
    }

    fn write_cnb(&self, toml: &mut String, listen: &str) {
        let (bank, urls) = (self.cnb(), self.cnb().urls());
        table(
            toml,
            "banks.cnb",
            &[
                ("profile", "cnb"),
                ("listen", listen),
                ("base_url", &urls.base),
                ("client_id", bank.client_id()),
                ("redirect_uri", bank.redirect_uri()),
            ],
        );
        toml.push_str("client_secret = { file = \"cnb-client-secret\" }\n");
        table(
            toml,
            "banks.cnb.oauth",
            &[
                ("authorize_url", &urls.authorize),
                ("token_url", &urls.token),
                ("revoke_url", &urls.token),
                ("revocation", "delete"),
            ],
        );
        let one = format!("{}/{{client_id}}", urls.registration);
        table(
            toml,
            "banks.cnb.registration",
            &[
                ("url", &urls.registration),
                ("list_url", &urls.registration),
                ("renew_url", &format!("{one}/renewSecret")),
                ("delete_url", &one),
            ],
        );
        toml.push_str("\n[banks.cnb.grants]\naisp = { scopes = [\"aisp\"] }\npisp = { scopes = [\"pisp\"] }\n");
        for (path, grant) in CNB_ROUTES {
            if path.starts_with("/_test") && !bank.control().recording() {
                continue;
            }
            table(toml, "[banks.cnb.routes]", &[("path", path), ("grant", grant)]);
        }
        toml.push_str(&trust("cnb"));
    }
}

/// CNB gives one scope a token: payments go with one grant, accounts with the other.
const CNB_ROUTES: [(&str, &str); 5] = [
    ("/cobs/*/my/payments", "pisp"),
    ("/cobs/*/my/payments/**", "pisp"),
    ("/cobs/*/my/accounts", "aisp"),
    ("/cobs/*/my/accounts/**", "aisp"),
    ("/_test/**", "aisp"),
];

fn trust(bank: &str) -> String {
    format!("\n[banks.{bank}.tls]\nca = [\"ca.pem\"]\nsystem_roots = false\n")
}

/// A table of texts.
fn table(toml: &mut String, name: &str, entries: &[(&str, &str)]) {
    // Writing to a String does not fail.
    let _ = writeln!(toml, "\n[{name}]");
    for (key, value) in entries {
        let _ = writeln!(toml, "{key} = {}", quoted(value));
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Fails where there are such files, and no sandbox wrote them.
fn refuse_a_strangers(dir: &Path) -> Result<(), Error> {
    let is_sandboxs = || fs::read(dir.join("bankside.toml")).is_ok_and(|toml| toml.starts_with(FIRST_LINE.as_bytes()));
    let is_empty = NAMES.iter().all(|name| dir.join(name).symlink_metadata().is_err());
    if is_empty || is_sandboxs() { Ok(()) } else { Err(Error::NotASandbox(dir.join("bankside.toml"))) }
}

/// Writes anew, so that the mode holds also where the file was there before.
fn write(dir: &Path, name: &str, content: &[u8], mode: u32) -> Result<PathBuf, Error> {
    let path = dir.join(name);
    let written = remove_if_there(&path).and_then(|()| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        file.write_all(content)
    });
    match written {
        Ok(()) => Ok(path),
        Err(source) => Err(Error::Write { path, source }),
    }
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
