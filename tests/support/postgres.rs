//! A real PostgreSQL server of the test's own: made in a temporary folder, on loopback, gone with the test.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::wait::here::look_for;
use super::wait::{HANG, until};
use super::world::free_port;

/// The password of the role `bankside`.
pub const PASSWORD: &str = "p@ss/word%";
/// The same, in a URL.
pub const ENCODED_PASSWORD: &str = "p%40ss%2Fword%25";

/// A server. It ends, and its data goes, when this is dropped.
pub struct Server {
    dir: TempDir,
    bin: PathBuf,
    /// Its TCP port on loopback.
    pub port: u16,
    /// Whom it runs as, where this test is root: PostgreSQL refuses to run as root.
    user: Option<(u32, u32)>,
    process: Option<Child>,
}

impl Server {
    /// A server without TLS. `None`, told on standard error, where PostgreSQL is not installed and need not be.
    pub fn start() -> Option<Self> {
        Self::with(|_| String::new())
    }

    /// As [`start`](Self::start), with more settings, which may name files that are put into the folder.
    pub fn with(settings: impl FnOnce(&Self) -> String) -> Option<Self> {
        let Some(bin) = programs() else {
            assert!(std::env::var_os("BANKSIDE_TEST_ALL").is_none(), "PostgreSQL is not installed");
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            // Not by a macro: what those print of a test that passes is not shown.
            let _ = writeln!(std::io::stderr(), "left out: {test}: PostgreSQL is not installed");
            return None;
        };
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self { dir, bin, port: free_port(), user: unprivileged(), process: None };
        if let Some((user, group)) = server.user {
            chown(server.dir.path(), Some(user), Some(group)).expect("the folder can be given away");
        }
        fs::set_permissions(server.dir.path(), fs::Permissions::from_mode(0o755)).expect("others may enter");
        let password = server.file("password", PASSWORD);
        let initdb = ["-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync", "-E", "UTF8"];
        let password = format!("--pwfile={}", password.display());
        server.run(
            "initdb",
            &[&initdb[..], &[&password, "--no-locale", "-D", server.data().to_str().expect("text")]].concat(),
        );
        let more = settings(&server);
        let folder = server.dir.path().display();
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{folder}'\nmax_connections = 200\n{more}\n",
            server.port
        );
        let mut file =
            fs::OpenOptions::new().append(true).open(server.data().join("postgresql.conf")).expect("settings");
        file.write_all(settings.as_bytes()).expect("they can be written");
        server.resume();
        server.sql("postgres", &format!("CREATE ROLE bankside LOGIN PASSWORD '{PASSWORD}'"));
        Some(server)
    }

    /// The folder of its unix socket.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Puts a file that only the server may read into its folder.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, content).expect("it can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode can be set");
        if let Some((user, group)) = self.user {
            chown(&path, Some(user), Some(group)).expect("it can be given away");
        }
        path
    }

    /// Makes a database that belongs to the role `bankside`.
    pub fn database(&self, name: &str) {
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER bankside TEMPLATE template0"));
    }

    /// The URL of a database, without TLS.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://bankside:{ENCODED_PASSWORD}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Runs statements as the administrator; what they answer.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        said(&self.psql(database, statements).output().expect("it can be run"), statements)
    }

    /// Begins to run statements as the administrator.
    pub fn begin_sql(&self, database: &str, statements: &str) -> Child {
        self.psql(database, statements).stdout(Stdio::null()).spawn().expect("it can be run")
    }

    fn psql(&self, database: &str, statements: &str) -> Command {
        let mut psql = self.command("psql");
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-p", &self.port.to_string(), "-d", database]);
        psql.arg("-h").arg(self.dir.path()).args(["-c", statements]);
        psql
    }

    /// All that a dump of the database holds.
    pub fn dump(&self, database: &str) -> String {
        let port = self.port.to_string();
        self.run("pg_dump", &["-h", self.dir.path().to_str().expect("text"), "-p", &port, "-U", "postgres", database])
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        said(&self.command(program).args(arguments).output().expect("it can be run"), program)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Starts it, and waits until it answers.
    pub fn resume(&mut self) {
        self.launch();
        let started = look_for(HANG, || self.answers().then_some(()));
        assert!(started.is_some(), "it does not start:\n{}", self.log());
    }

    /// Ends it with this signal (`SIGINT` stops it, `SIGQUIT` is a crash) and starts it anew, while others go on.
    pub async fn bounce(&mut self, signal: Signal) {
        self.signal(signal);
        let mut process = self.process.take().expect("it runs");
        until("it ends", || process.try_wait().expect("it can be waited for").is_some()).await;
        self.launch();
        until("it answers", || self.answers()).await;
    }

    fn launch(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("log")).expect("a log");
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().expect("it starts"));
    }

    fn answers(&self) -> bool {
        let (port, folder) = (self.port.to_string(), self.dir.path().to_str().expect("text"));
        self.command("pg_isready").args(["-q", "-h", folder, "-p", &port]).status().expect("it runs").success()
    }

    /// Stops it as an administrator does who does not wait for the clients (`fast`).
    pub fn stop(&mut self) {
        self.signal(Signal::SIGINT);
        let _ = self.process.take().map(|mut process| process.wait());
    }

    /// Stops it as a crash does: nothing is written any more.
    pub fn crash(&mut self) {
        self.signal(Signal::SIGQUIT);
        let _ = self.process.take().map(|mut process| process.wait());
    }

    /// Sends a signal to its main process.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            kill(Pid::from_raw(i32::try_from(process.id()).expect("a process id")), signal).expect("it runs");
        }
    }

    /// Makes all its processes stand still (`SIGSTOP`), or go on (`SIGCONT`): it takes connections and says nothing.
    pub fn signal_all(&self, signal: Signal) {
        let main = self.process.as_ref().expect("it runs").id();
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).expect("it runs");
        for id in children.split_whitespace().map(str::to_owned).chain([main.to_string()]) {
            // A connection's process may have ended by itself.
            let _ = kill(Pid::from_raw(id.parse().expect("a process id")), signal);
        }
    }

    /// All that it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.signal_all(Signal::SIGCONT);
            self.crash();
        }
    }
}

/// What a program said that must have succeeded.
fn said(output: &std::process::Output, what: &str) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}\n{out}\n{err}");
    out.into_owned()
}

/// Where the server's programs are: Debian keeps them out of the path.
fn programs() -> Option<PathBuf> {
    let has = |folder: &PathBuf| folder.join("initdb").exists();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.filter_map(Result::ok).map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    folders.sort();
    folders.into_iter().rev().chain(std::env::split_paths(&path)).find(has)
}

/// The user and group `postgres`, where this test is root.
fn unprivileged() -> Option<(u32, u32)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let user = nix::unistd::User::from_name("postgres").expect("users can be looked up");
    user.map(|user| (user.uid.as_raw(), user.gid.as_raw()))
}
