//! The real program, run as a user runs it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The path of the built program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_bankside");

/// Runs a command to its end, with this on its standard input.
pub fn bankside(arguments: &[&str], input: &str) -> Output {
    bankside_with(&[], arguments, input)
}

/// As [`bankside`], with more in its environment.
pub fn bankside_with(environment: &[(&str, String)], arguments: &[&str], input: &str) -> Output {
    let mut child = start(environment, arguments);
    give(child.stdin.take().expect("it is piped"), input);
    child.wait_with_output().expect("it can be waited for")
}

/// A command's standard output; it must have ended with this code.
pub fn bankside_says(code: i32, arguments: &[&str], input: &str) -> String {
    let output = bankside(arguments, input);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    format!("{out}{}", if code == 0 { "" } else { &err })
}

fn start(environment: &[(&str, String)], arguments: &[&str]) -> Child {
    Command::new(PROGRAM)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env_remove("BANKSIDE_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn give(mut stdin: ChildStdin, input: &str) {
    use std::io::Write;
    // A program that does not read its input is none of ours to blame here.
    let _ = stdin.write_all(input.as_bytes());
}

/// A sidecar that runs. Killed when it is dropped.
pub struct Sidecar {
    child: Child,
    ready: String,
    log: std::path::PathBuf,
}

impl Sidecar {
    /// Starts `bankside run` with this configuration, and waits until every listener is bound.
    pub fn run(config: &Path) -> Self {
        Self::run_with(&[], config)
    }

    /// As [`run`](Self::run), with more in its environment.
    pub fn run_with(environment: &[(&str, String)], config: &Path) -> Self {
        let log = config.with_extension("log");
        let mut child = Command::new(PROGRAM)
            .args(["run", "--ready-file", "/dev/stdout", "-c"])
            .arg(config)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).expect("a log file"))
            .spawn()
            .expect("the program starts");
        // The ready file is a pipe: its line comes when everything is bound, and an end if the program gives up.
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut ready).expect("the ready line can be read");
        let sidecar = Self { child, ready, log };
        assert!(sidecar.ready.starts_with("ready "), "it did not start:\n{}", sidecar.log());
        sidecar
    }

    /// Where a bank, or `admin`, listens.
    pub fn address(&self, name: &str) -> SocketAddr {
        let prefix = format!("{name}=");
        let address = self.ready.split_whitespace().find_map(|word| word.strip_prefix(&prefix)).expect("it is listed");
        address.parse().expect("a TCP address")
    }

    /// All that it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log can be read")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    /// The most memory that it ever had resident, in bytes (`VmHWM`).
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// A memory figure of `/proc/PID/status`, in bytes.
    fn memory(&self, figure: &str) -> u64 {
        let mut status = String::new();
        let mut file = fs::File::open(format!("/proc/{}/status", self.child.id())).expect("it runs");
        file.read_to_string(&mut status).expect("it can be read");
        let line = status.lines().find(|line| line.starts_with(figure)).expect("the figure is there");
        let kilobytes: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
        kilobytes * 1024
    }

    /// Ends it as an operator does; its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
