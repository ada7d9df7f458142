//! A sidecar whose store can be made to take nothing: a disk of its own that is filled up, or a limit of its process.
//!
//! The disk is a tmpfs in a mount namespace of the sidecar's; the test reaches it through `/proc/PID/root`.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::desk::Desk;
use super::program::{PROGRAM, Sidecar};

/// Lays the folder $2 on the disk $1, and becomes the program that follows. A write beyond a limit of the process is to
/// fail, not to kill.
const SCRIPT: &str = "disk=$1; folder=$2; shift 2; trap '' XFSZ; cp -R \"$folder\"/. \"$disk\" && exec \"$@\"";
/// Mounts a small disk at $1 first.
const MOUNT: &str = "mount -t tmpfs -o size=2m tmpfs \"$1\" && ";

/// What is wrong with the store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// `ENOSPC`.
    DiskFull,
    /// No write to any file succeeds, as with a file system that has become read-only under a process.
    Refused,
}

/// See the module.
pub struct Narrow {
    sidecar: Sidecar,
    trouble: Trouble,
    /// Where the disk is mounted, in the sidecar's eyes.
    disk: TempDir,
    /// Open, so that it can be read when the sidecar has ended and its disk is gone.
    database: File,
}

impl Narrow {
    /// Starts a sidecar with the desk's configuration, secrets and store on a disk of its own. `None` where the system
    /// gives a process no disk of its own: then the test is left out, and says so.
    pub fn run(world: &Desk, trouble: Trouble) -> Option<Self> {
        let disk = tempfile::tempdir().expect("a folder");
        let mut command = match trouble {
            Trouble::Refused => shell(Command::new("sh"), SCRIPT),
            Trouble::DiskFull => shell(own_mounts()?, &format!("{MOUNT}{SCRIPT}")),
        };
        command.arg(disk.path()).arg(world.0.dir()).arg(PROGRAM).env_remove("BANKSIDE_CONFIG");
        let sidecar = Sidecar::run_prepared(command, &disk.path().join("bankside.toml"));
        let database = File::open(inside(&sidecar, &disk, "bankside.db")).expect("the store is there");
        Some(Self { sidecar, trouble, disk, database })
    }

    /// The sidecar.
    pub fn sidecar(&self) -> &Sidecar {
        &self.sidecar
    }

    /// From here on the store takes nothing.
    pub fn break_store(&self) {
        match self.trouble {
            Trouble::Refused => self.limit("0"),
            Trouble::DiskFull => {
                // The database's write-ahead log is short and has not begun anew: any write makes it longer.
                let mut filler = OpenOptions::new().create(true).append(true).open(self.filler()).expect("a file");
                while filler.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
            }
        }
    }

    /// From here on it takes everything.
    pub fn mend_store(&self) {
        match self.trouble {
            Trouble::Refused => self.limit("unlimited"),
            Trouble::DiskFull => fs::remove_file(self.filler()).expect("it is there"),
        }
    }

    /// The standing of the one grant, and whether a renewal of it is open, when the sidecar has ended and left its
    /// database whole.
    pub fn row_at_end(&self) -> (String, bool) {
        let copy = self.disk.path().join("copy.db");
        let mut content = Vec::new();
        (&self.database).read_to_end(&mut content).expect("it can be read");
        fs::write(&copy, content).expect("it can be written");
        let copy = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("the store opens");
        let select = "SELECT standing, sent_at IS NOT NULL FROM grants";
        copy.query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("the grant's row")
    }

    /// Whether the sidecar has ended. Its process is still there to be looked at.
    pub fn has_ended(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.sidecar.service.id())).expect("it is there");
        status.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    }

    fn limit(&self, bytes: &str) {
        let limit = format!("--fsize={bytes}:unlimited");
        let id = self.sidecar.service.id().to_string();
        assert!(Command::new("prlimit").args(["--pid", &id, &limit]).status().expect("prlimit runs").success());
    }

    fn filler(&self) -> PathBuf {
        inside(&self.sidecar, &self.disk, "filler")
    }
}

fn inside(sidecar: &Sidecar, disk: &TempDir, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{}", sidecar.service.id(), disk.path().join(name).display()))
}

fn shell(mut command: Command, script: &str) -> Command {
    command.args(["-c", script, "sh"]);
    command
}

/// A shell whose mounts nobody else sees, where the system allows that.
fn own_mounts() -> Option<Command> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let unshare = || {
        let mut command = Command::new("unshare");
        if !is_root {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "sh"]);
        command
    };
    let tried = unshare().args(["-c", "mount -t tmpfs tmpfs /tmp"]).output();
    if tried.is_ok_and(|output| output.status.success()) {
        return Some(unshare());
    }
    // Not by a macro: what those print of a test that passes is not shown.
    let _ = writeln!(std::io::stderr(), "left out: this system gives a process no disk of its own");
    None
}
