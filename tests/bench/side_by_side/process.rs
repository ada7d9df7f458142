//! The bank and the proxies as processes on cores of their own, and what the system knows of them.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::confs::{self, BankPorts, Kind, Subject};
use super::load::REQUEST;
use super::trust;

/// The bank. It ends when this is dropped.
pub(crate) struct Bank {
    ports: BankPorts,
    folder: TempDir,
    process: Process,
    /// How many cores it has.
    pub(crate) cores: usize,
}

/// A proxy, as one program or as several. They end when this is dropped.
pub(crate) struct Proxy {
    /// Where apps reach it: at one address for each program and bank.
    pub(crate) addresses: Vec<SocketAddr>,
    programs: Vec<(Process, TempDir)>,
}

/// A program, with those that it starts.
struct Process(Child);

impl Bank {
    /// Starts it on these cores.
    pub(crate) fn start(cores: Range<usize>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        trust::write(folder.path());
        let ports = BankPorts { http1: free_port(), http2: free_port() };
        let text = confs::bank(folder.path(), ports, cores.len());
        let process = Process::start(Kind::Nginx, folder.path(), &text, &cores);
        Self { ports, folder, process, cores: cores.len() }
    }

    /// The processor time that it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.process.cpu()
    }
}

impl Proxy {
    /// Starts it on the first cores, one for each worker, and waits until it has an answer from the bank.
    pub(crate) fn start(subject: &Subject, bank: &Bank) -> Self {
        let mut proxy = Self { addresses: Vec::new(), programs: Vec::new() };
        for program in 0..subject.programs {
            let first = program * subject.workers;
            proxy.start_program(subject, bank, &(first..first + subject.workers));
        }
        proxy
    }

    fn start_program(&mut self, subject: &Subject, bank: &Bank, cores: &Range<usize>) {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["ca.pem", "client.pem", "client.key", "client.both"] {
            fs::copy(bank.folder.path().join(name), folder.path().join(name)).expect("it can be copied");
        }
        let ports: Vec<u16> = (0..subject.banks).map(|_| free_port()).collect();
        let text = confs::proxy(subject, folder.path(), &ports, bank.ports);
        let process = Process::start(subject.kind, folder.path(), &text, cores);
        for port in ports {
            let address = (Ipv4Addr::LOCALHOST, port).into();
            await_answer(address, folder.path());
            self.addresses.push(address);
        }
        self.programs.push((process, folder));
    }

    /// The processor time that it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.programs.iter().map(|(process, _)| process.cpu()).sum()
    }

    /// What of it is resident in memory, in MB.
    pub(crate) fn memory_mb(&self) -> f64 {
        let all = self.programs.iter().flat_map(|(process, _)| process.all());
        all.map(|process| memory_kb(process) as f64 / 1024.0).sum()
    }
}

impl Process {
    fn start(kind: Kind, folder: &Path, text: &str, cores: &Range<usize>) -> Self {
        let config = folder.join(if matches!(kind, Kind::Bankside { .. }) { "bankside.toml" } else { "proxy.conf" });
        fs::write(&config, text).expect("it can be written");
        let mut command = Command::new("taskset");
        command.args(["-c", &list(cores), kind.program()]);
        match kind {
            Kind::Nginx => command.arg("-p").arg(folder).arg("-c").arg(config),
            Kind::Haproxy { .. } => command.arg("-db").arg("-f").arg(config),
            Kind::Bankside { .. } => command.args(["run", "-c"]).arg(config).env_remove("BANKSIDE_CONFIG"),
        };
        let log = fs::File::create(folder.join("log")).expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Self(command.spawn().expect("taskset runs"))
    }

    fn cpu(&self) -> Duration {
        self.all().iter().map(|process| cpu(*process)).sum()
    }

    fn all(&self) -> Vec<u32> {
        let own = self.0.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|id| id.parse().ok()).chain([own]).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // nginx' workers end with their master, if it may say so to them.
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).expect("a process id"));
        let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// Keeps this process to these cores.
pub(crate) fn pin_self(cores: &Range<usize>) {
    let mut command = Command::new("taskset");
    command.args(["-c", "-p", &list(cores), &std::process::id().to_string()]).stdout(Stdio::null());
    assert!(command.status().expect("taskset runs").success(), "it can be kept to cores");
}

/// As `taskset` wants them.
fn list(cores: &Range<usize>) -> String {
    format!("{}-{}", cores.start, cores.end - 1)
}

fn await_answer(address: SocketAddr, folder: &Path) {
    let begin = Instant::now();
    loop {
        let answer = ask(address);
        if answer.as_ref().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200")) {
            return;
        }
        if begin.elapsed() > Duration::from_secs(20) {
            let log = ["log", "nginx.log"].map(|name| fs::read_to_string(folder.join(name)).unwrap_or_default());
            panic!(
                "no answer: {:?}\n{}",
                answer.map(|answer| String::from_utf8_lossy(&answer).into_owned()),
                log.concat()
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The beginning of an answer.
fn ask(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(REQUEST)?;
    let mut buffer = vec![0; 4096];
    let count = stream.read(&mut buffer)?;
    buffer.truncate(count);
    Ok(buffer)
}

/// The processor time that this process, which makes the load, has used so far.
pub(crate) fn own_cpu() -> Duration {
    cpu(std::process::id())
}

fn cpu(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let figures = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    // User and system time, in hundredths of a second (proc(5)).
    Duration::from_millis(10 * figures.map(|figure| figure.parse::<u64>().expect("a number")).sum::<u64>())
}

fn memory_kb(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let figure = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the figure is there");
    figure.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("its address").port()
}
