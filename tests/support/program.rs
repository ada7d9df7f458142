//! The real program, run as a user runs it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::vault;

/// The path of the built program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_bankside");

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Said {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// This, if the command ended with that code.
    pub fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("not JSON: {error}\n{}", self.out))
    }

    /// This, after a look for secrets in it, unless the command was asked for them.
    fn searched(self, was_asked: bool) -> Self {
        if !was_asked {
            vault::search("a command's output", format!("{}\n{}", self.out, self.err).as_bytes());
        }
        self
    }

    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// The program with these arguments, and nothing of this process' configuration.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_remove("BANKSIDE_CONFIG");
    command
}

/// Runs a command to its end, with this on its standard input.
pub fn bankside(arguments: &[&str], input: &str) -> Said {
    finish(command(arguments), input)
}

/// Runs a prepared command to its end, with this on its standard input.
pub fn finish(mut command: Command, input: &str) -> Said {
    let was_asked = command.get_args().any(|argument| argument == "--reveal");
    let mut child = piped(&mut command);
    give(child.stdin.take().expect("it is piped"), input);
    Said::of(child.wait_with_output().expect("it can be waited for")).searched(was_asked)
}

fn piped(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// A program that does not read its input is none of ours to blame here.
fn give(mut stdin: ChildStdin, input: &str) {
    let _ = stdin.write_all(input.as_bytes());
}

/// A `bankside login` that waits for the browser.
pub struct Login {
    child: Child,
    stdin: ChildStdin,
    rest: BufReader<ChildStdout>,
    /// The authorization URL that it printed.
    pub url: String,
}

impl Login {
    /// Runs `bankside login` until it has printed the authorization URL.
    pub fn begin(config: &Path, bank: &str, grant: &str) -> Self {
        let mut command = command(&["login", bank, grant, "-c"]);
        let mut child = piped(command.arg(config));
        let stdin = child.stdin.take().expect("it is piped");
        let mut rest = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut url = String::new();
        rest.read_line(&mut url).expect("it can be read");
        let url = url.trim_end().to_owned();
        let mut login = Self { child, stdin, rest, url };
        if !login.url.starts_with("https://") {
            let mut err = String::new();
            let _ = login.child.stderr.take().expect("it is piped").read_to_string(&mut err);
            panic!("it printed no URL: {:?}\n{err}", login.url);
        }
        login
    }

    /// Pastes the address that the browser ended on; an empty one is the end of standard input.
    pub fn paste(self, callback: &str) -> Said {
        let Self { child, stdin, mut rest, .. } = self;
        let line = if callback.is_empty() { String::new() } else { format!("{callback}\n") };
        give(stdin, &line);
        let mut out = String::new();
        rest.read_to_string(&mut out).expect("it can be read");
        let ended = Said::of(child.wait_with_output().expect("it can be waited for"));
        Said { out, ..ended }.searched(false)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    /// Waits until it has ended by itself.
    pub fn wait(self) -> Said {
        let Self { child, stdin, mut rest, .. } = self;
        let mut out = String::new();
        rest.read_to_string(&mut out).expect("it can be read");
        drop(stdin);
        let ended = Said::of(child.wait_with_output().expect("it can be waited for"));
        Said { out, ..ended }.searched(false)
    }
}

/// A program that runs until it is ended: `run`, `demo` or `sandbox`. Killed when it is dropped.
pub struct Service {
    child: Child,
    /// What it writes to standard output, line by line.
    pub out: BufReader<ChildStdout>,
    log: PathBuf,
    /// Where its operator's listener is, if it has one.
    admin: Option<SocketAddr>,
    /// The folder of its configuration, if it has one.
    folder: Option<PathBuf>,
}

impl Service {
    /// Starts it; its standard error goes to this file.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log).expect("a log file"))
            .spawn()
            .expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, out, log: log.to_owned(), admin: None, folder: None }
    }

    /// The lines of standard output up to one that contains this, that one included.
    pub fn lines_until(&mut self, mark: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = self.out.read_line(&mut line).expect("standard output can be read");
            assert!(read > 0, "it ended without {mark:?}:\n{}\n{}", lines.join("\n"), self.log());
            let found = line.contains(mark);
            lines.push(line.trim_end().to_owned());
            if found {
                return lines;
            }
        }
    }

    /// All that it wrote to standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log can be read")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    /// Ends it with this signal; its exit code.
    pub fn end(mut self, signal: Signal) -> Option<i32> {
        self.search_pages();
        self.signal(signal);
        self.child.wait().expect("it ends").code()
    }

    /// Waits until it has ended by itself; its exit code.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    /// Waits until it has ended by itself; all that it logged.
    pub fn last_words(mut self) -> String {
        self.child.wait().expect("it ends");
        self.log()
    }

    /// A memory figure of `/proc/PID/status`, in bytes: `VmRSS` is what is resident, `VmHWM` the most that ever was.
    pub fn memory(&self, figure: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("it runs");
        let line = status.lines().find(|line| line.split(':').next() == Some(figure)).expect("the figure is there");
        let kibibytes: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
        kibibytes * 1024
    }
}

impl Service {
    /// Looks for secrets in what the operator's listener shows, if it answers.
    fn search_pages(&self) {
        let Some(admin) = self.admin.filter(|_| !std::thread::panicking()) else { return };
        for path in ["/", "/metrics", "/readyz", "/api/banks"] {
            if let Ok(page) = ask(admin, path) {
                vault::search(path, &page);
            }
        }
    }

    /// Looks for secrets in all that it wrote: its log, and the files of its store.
    fn search_writings(&self) {
        if std::thread::panicking() {
            return;
        }
        vault::search("the log", &fs::read(&self.log).unwrap_or_default());
        let files = self.folder.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        for file in files.filter(|file| file.file_name().to_string_lossy().contains(".db")) {
            vault::search("the store", &fs::read(file.path()).unwrap_or_default());
        }
    }
}

/// What the operator's listener answers, with little patience: it may be the subject of a test that it hangs.
fn ask(admin: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

impl Drop for Service {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.search_pages();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.search_writings();
    }
}

/// A `bankside run`.
pub struct Sidecar {
    /// The process.
    pub service: Service,
    ready: String,
}

impl Sidecar {
    /// Starts `bankside run` with this configuration, and waits until every listener is bound.
    pub fn run(config: &Path) -> Self {
        Self::run_prepared(command(&[]), config)
    }

    /// As [`run`](Self::run), with a command that may have an environment.
    pub fn run_prepared(mut command: Command, config: &Path) -> Self {
        // The ready file is a pipe: its line comes when everything is bound, and an end if the program gives up.
        command.args(["run", "--ready-file", "/dev/stdout", "-c"]).arg(config);
        let mut service = Service::start(command, &config.with_extension("log"));
        let ready = service.lines_until("ready ").pop().expect("the ready line");
        vault::learn_from(config);
        service.folder = config.parent().map(Path::to_owned);
        let mut sidecar = Self { service, ready };
        sidecar.service.admin = sidecar.listeners("admin").first().and_then(|address| address.parse().ok());
        sidecar
    }

    /// Where a bank, or `admin`, listens.
    pub fn address(&self, name: &str) -> SocketAddr {
        self.listeners(name).first().expect("it is listed").parse().expect("a TCP address")
    }

    /// All addresses of a bank, or of `admin`, as the ready line has them.
    pub fn listeners(&self, name: &str) -> Vec<String> {
        let prefix = format!("{name}=");
        self.ready.split_whitespace().filter_map(|word| word.strip_prefix(&prefix)).map(str::to_owned).collect()
    }

    /// All that it logged so far.
    pub fn log(&self) -> String {
        self.service.log()
    }

    /// Ends it as an operator does; its exit code.
    pub fn terminate(self) -> Option<i32> {
        self.service.end(Signal::SIGTERM)
    }
}
