//! A SoftHSM of one's own: a folder with tokens, and the module that reads it. What is not yet set in this process'
//! environment is passed to the programs that the tests start.

use std::fs;
use std::path::{Path, PathBuf};

use super::{parts, tools};

/// The PIN of every token here.
pub const PIN: &str = "4711-2718";

/// A folder with tokens.
pub struct SoftHsm {
    directory: PathBuf,
    /// The library.
    pub module: PathBuf,
}

impl SoftHsm {
    /// One without tokens, in a folder of `directory`. `None`, with a word, where there is no SoftHSM.
    pub fn new(directory: &Path) -> Option<Self> {
        const PLACES: [&str; 4] = [
            "/usr/lib/softhsm/libsofthsm2.so",
            "/usr/lib64/softhsm/libsofthsm2.so",
            "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
            "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
        ];
        if !parts::have("softhsm2-util", "keys in an HSM") {
            return None;
        }
        let module = PLACES.iter().map(PathBuf::from).find(|path| path.exists()).expect("the module beside its tool");
        let directory = directory.join("softhsm");
        fs::create_dir_all(directory.join("tokens")).expect("a folder");
        let tokens = directory.join("tokens");
        let conf =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        fs::write(directory.join("softhsm2.conf"), conf).expect("a file");
        Some(Self { directory, module })
    }

    /// What a program that uses the module needs.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![("SOFTHSM2_CONF", self.directory.join("softhsm2.conf").display().to_string())]
    }

    /// Makes a token.
    pub fn token(&self, label: &str) {
        self.util(&format!("--init-token --free --label {label} --pin {PIN} --so-pin 12345678"));
    }

    /// Puts a private key, in PKCS#8, on a token.
    pub fn import(&self, token: &str, label: &str, id: &str, key_pem: &str) {
        fs::write(self.directory.join("import.pem"), key_pem).expect("a file");
        self.util(&format!("--import import.pem --token {token} --label {label} --id {id} --pin {PIN}"));
        fs::remove_file(self.directory.join("import.pem")).expect("it is there");
    }

    /// Puts a private key, in PKCS#8, on a token, that wants the PIN before each signature. `false`, with a word, where
    /// there is no tool for it.
    pub fn import_asking(&self, token: &str, label: &str, id: &str, key_pem: &str) -> bool {
        if !parts::have("pkcs11-tool", "keys that want the PIN before each signature") {
            return false;
        }
        fs::write(self.directory.join("import.pem"), key_pem).expect("a file");
        tools::openssl(&self.directory, "pkcs8 -topk8 -nocrypt -in import.pem -outform DER -out import.der");
        let arguments = format!(
            "--module {} --token-label {token} --login --pin {PIN} --write-object import.der --type privkey \
             --label {label} --id {id} --usage-sign --always-auth",
            self.module.display()
        );
        tools::run(&self.directory, "pkcs11-tool", &arguments, &self.environment());
        for name in ["import.pem", "import.der"] {
            fs::remove_file(self.directory.join(name)).expect("it is there");
        }
        true
    }

    /// Takes all tokens away.
    pub fn pull_out(&self) {
        fs::rename(self.directory.join("tokens"), self.directory.join("away")).expect("moved");
        fs::create_dir(self.directory.join("tokens")).expect("a folder");
    }

    /// Puts them back.
    pub fn plug_in(&self) {
        fs::remove_dir_all(self.directory.join("tokens")).expect("removed");
        fs::rename(self.directory.join("away"), self.directory.join("tokens")).expect("moved");
    }

    fn util(&self, arguments: &str) {
        tools::run(&self.directory, "softhsm2-util", arguments, &self.environment());
    }
}

/// A module in front of SoftHSM, that notes what is asked for, and can be held up or made to fail.
pub struct Shim {
    /// The library.
    pub module: PathBuf,
    /// Where it notes.
    pub log: PathBuf,
    /// While this file is there, signatures wait.
    pub hold: PathBuf,
    /// The code in this file is what the next signature fails with.
    pub fail: PathBuf,
}

impl Shim {
    /// Compiled in this folder. `None`, with a word, where there is no C compiler.
    pub fn new(directory: &Path) -> Option<Self> {
        if !parts::have("cc", "an HSM that hangs") {
            return None;
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/shim.c");
        tools::run(directory, "cc", &format!("-shared -fPIC -o shim.so {} -ldl", source.display()), &[]);
        let [module, log, hold, fail] = ["shim.so", "shim.log", "hold", "fail"].map(|name| directory.join(name));
        Some(Self { module, log, hold, fail })
    }

    /// What a program that uses it needs.
    pub fn environment(&self, hsm: &SoftHsm) -> Vec<(&'static str, String)> {
        let own = [
            ("SHIM_MODULE", &hsm.module),
            ("SHIM_LOG", &self.log),
            ("SHIM_HOLD", &self.hold),
            ("SHIM_FAIL", &self.fail),
        ];
        let own = own.map(|(name, path)| (name, path.display().to_string()));
        [hsm.environment(), own.to_vec()].concat()
    }

    /// How often this was noted so far.
    pub fn noted(&self, what: &str) -> usize {
        fs::read_to_string(&self.log).unwrap_or_default().lines().filter(|line| *line == what).count()
    }
}
