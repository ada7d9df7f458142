//! What counts: strace, which looks on from outside, and valgrind's callgrind, in which the program runs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::program::PROGRAM;
use crate::support::wait::HANG;
use crate::support::wait::here::look_for;

/// An strace that counts the system calls of all threads of a process.
pub(crate) struct Strace {
    tracer: Child,
    folder: tempfile::TempDir,
}

impl Strace {
    /// Whether the system lets a process be looked at; where not, the test is left out and says so, unless
    /// `BANKSIDE_TEST_ALL` forbids that.
    pub(crate) fn may_attach() -> bool {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep runs");
        let result = Self::try_attach(child.id()).map(Self::calls);
        let _ = child.kill();
        let _ = child.wait();
        let Err(reason) = result else { return true };
        assert!(std::env::var_os("BANKSIDE_TEST_ALL").is_none(), "no test may be left out: {reason}");
        // Not by a macro: what those print of a test that passes is not shown.
        let _ = writeln!(io::stderr(), "left out: system calls a request: {reason}");
        false
    }

    /// Begins to count.
    pub(crate) fn attach(process: u32) -> Self {
        Self::try_attach(process).expect("strace attaches")
    }

    fn try_attach(process: u32) -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let tracer = Command::new("strace")
            .args(["-f", "-c", "-p", &process.to_string(), "-o"])
            .arg(folder.path().join("summary"))
            .stdin(Stdio::null())
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("strace runs");
        let mut strace = Self { tracer, folder };
        let said = || fs::read_to_string(&log).expect("it can be read");
        let attached = look_for(HANG, || {
            let has_ended = strace.tracer.try_wait().expect("it can be waited for").is_some();
            let is_attached = said().contains("attached");
            (is_attached || has_ended).then_some(is_attached)
        });
        if attached == Some(true) { Ok(strace) } else { Err(format!("strace cannot attach: {}", said())) }
    }

    /// Ends counting: how many there were.
    pub(crate) fn calls(mut self) -> u64 {
        kill(Pid::from_raw(self.tracer.id().try_into().expect("a process id")), Signal::SIGINT).expect("it runs");
        self.tracer.wait().expect("it ends");
        let summary = fs::read_to_string(self.folder.path().join("summary")).expect("a summary");
        // % time, seconds, usecs/call, calls, perhaps errors, name
        let total = summary.lines().filter_map(|line| line.trim_end().strip_suffix(" total")).next_back();
        let calls = total.map(|line| line.split_whitespace().nth(3).expect("calls").parse().expect("a number"));
        // Without a call there is no table.
        calls.unwrap_or(0)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        let _ = self.tracer.kill();
        let _ = self.tracer.wait();
    }
}

/// A program in valgrind, whose instructions are counted in user mode.
pub(crate) struct Callgrind {
    process: u32,
    file: PathBuf,
    dumps: usize,
}

impl Callgrind {
    /// The program in valgrind, not counting yet.
    pub(crate) fn wrap(folder: &Path) -> Command {
        let mut command = Command::new("valgrind");
        let file = Self::file(folder);
        command
            .args(["--tool=callgrind", "--instr-atstart=no"])
            .arg(format!("--callgrind-out-file={}", file.display()));
        command.arg(PROGRAM).env_remove("BANKSIDE_CONFIG");
        command
    }

    /// Begins to count in a program that was started so.
    pub(crate) fn new(process: u32, folder: &Path) -> Self {
        let callgrind = Self { process, file: Self::file(folder), dumps: 0 };
        callgrind.tell("instrumentation on");
        callgrind
    }

    /// How many instructions there were since this was asked last.
    pub(crate) fn count(&mut self) -> u64 {
        self.tell("dump");
        self.dumps += 1;
        let file = self.file.with_extension(format!("out.{}", self.dumps));
        let dump = fs::read_to_string(&file).expect("the counts are written");
        let total = dump.lines().find_map(|line| line.strip_prefix("totals: ")).expect("a total");
        total.trim().parse().expect("a number")
    }

    /// As `callgrind_control` does it; valgrind answers when it has done what it was told.
    fn tell(&self, what: &str) {
        let mut command = Command::new("vgdb");
        command.arg(format!("--pid={}", self.process)).arg("--wait=30").args(what.split(' '));
        let output = command.output().expect("vgdb, which comes with valgrind, runs");
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn file(folder: &Path) -> PathBuf {
        folder.join("callgrind.out")
    }
}
