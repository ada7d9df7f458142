//! How the sidecar starts, what it tells its service manager, and how it ends.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bankside::sandbox::{Fault, Plan, Target};
use hyper::Version;
use nix::sys::signal::Signal;
use support::http::{get, get_unix, metric};
use support::load::Load;
use support::program::{PROGRAM, Service, Sidecar, command, finish};
use support::wait::{HANG, time_passes, unless_it_hangs, until, until_found};
use support::world::World;
use tokio::io::AsyncWriteExt;

const ECHO: &str = "/_test/echo";

async fn world() -> World {
    let world = World::start().await;
    world.login("icard", "default").await;
    world
}

/// What happens to the next request for this path.
fn plan(world: &World, path: &str, fault: Fault) {
    world.sandbox.icard().control().plan(Plan::next(1, Target::Path(path.to_owned()), fault));
}

/// Waits until the bank has a request for this path.
async fn until_at_the_bank(world: &World, path: &str) {
    let control = world.sandbox.icard().control();
    until(path, || control.requests().iter().any(|request| request.target == path)).await;
}

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

#[tokio::test]
async fn the_end_under_load_fails_no_request() {
    for version in VERSIONS {
        let world = world().await;
        let sidecar = world.run();
        let load = Load::start_with(version, 32, sidecar.address("icard"), ECHO);
        load.goes_on().await;
        sidecar.service.signal(Signal::SIGTERM);
        let told = load.ended().await;
        assert!(told.good > 0 && told.failures.is_empty(), "{version:?}: {} good, {:?}", told.good, told.failures);
        assert_eq!(sidecar.service.wait(), Some(0));
    }
}

#[tokio::test]
async fn reloads_under_load_fail_no_request_and_neither_do_many_at_once() {
    for version in VERSIONS {
        let world = world().await;
        let sidecar = world.run();
        let load = Load::start_with(version, 32, sidecar.address("icard"), ECHO);
        for _ in 0..20 {
            sidecar.service.signal(Signal::SIGHUP);
            time_passes(Duration::from_millis(50)).await;
        }
        until("a reload is told", || sidecar.log().contains(r#""cause":"asked for""#)).await;
        let told = load.stop().await;
        assert!(told.good > 0 && told.failures.is_empty(), "{version:?}: {} good, {:?}", told.good, told.failures);
        assert_eq!(sidecar.terminate(), Some(0));
    }
}

#[tokio::test]
async fn while_it_ends_it_is_not_ready_takes_nobody_in_and_finishes_what_is_under_way() {
    let world = world().await;
    let sidecar = world.run();
    let (bank, admin) = (sidecar.address("icard"), sidecar.address("admin"));
    plan(&world, "/_test/echo/slow", Fault::DelayAnswer(1500));
    let slow = tokio::spawn(get(bank, "/_test/echo/slow"));
    until_at_the_bank(&world, "/_test/echo/slow").await;
    sidecar.service.signal(Signal::SIGTERM);
    until_found("it refuses", async || tokio::net::TcpStream::connect(bank).await.err()).await;
    let ready = get(admin, "/readyz").await.with(503);
    assert_eq!(ready.json()["reason"], "the sidecar is ending");
    slow.await.expect("an answer").with(200);
    assert_eq!(sidecar.service.wait(), Some(0));
}

#[tokio::test]
async fn a_second_signal_cuts() {
    let world = world().await;
    let sidecar = world.run();
    plan(&world, "/_test/echo/hung", Fault::Hang);
    let bank = sidecar.address("icard");
    let hung = tokio::spawn(async move { tokio::net::TcpStream::connect(bank).await.map(|stream| (stream, bank)) });
    let (mut stream, bank) = hung.await.expect("it ends").expect("somebody listens");
    let head = format!("GET /_test/echo/hung HTTP/1.1\r\nHost: {bank}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    until_at_the_bank(&world, "/_test/echo/hung").await;
    let start = Instant::now();
    sidecar.service.signal(Signal::SIGTERM);
    until("it drains", || sidecar.log().contains("requests under way are finished")).await;
    // Within a second it would be taken for the echo of the first.
    time_passes(Duration::from_millis(1_100)).await;
    sidecar.service.signal(Signal::SIGTERM);
    sidecar.service.wait();
    assert!(start.elapsed() < Duration::from_secs(25), "the request's own bound is 30 s");
}

#[tokio::test]
async fn a_route_that_may_take_longer_is_waited_for_at_the_end() {
    let world = world().await;
    for bank in ["icard", "cnb", "cnb-sandbox"] {
        world.append(&format!("[banks.{bank}.timeouts]\nresponse = \"1s\"\nidle = \"1s\""));
    }
    world.append("[[banks.icard.routes]]\npath = \"/**\"\ntimeout = \"20s\"");
    let sidecar = world.run();
    plan(&world, "/_test/echo/slow", Fault::DelayAnswer(4000));
    let bank = sidecar.address("icard");
    let slow = tokio::spawn(get(bank, "/_test/echo/slow"));
    until_at_the_bank(&world, "/_test/echo/slow").await;
    sidecar.service.signal(Signal::SIGTERM);
    slow.await.expect("an answer").with(200);
    assert_eq!(sidecar.service.wait(), Some(0));
}

#[tokio::test]
async fn what_is_cut_because_it_takes_too_long_is_in_the_log() {
    const UPLOADS: u64 = 30;
    let world = world().await;
    for bank in ["icard", "cnb", "cnb-sandbox"] {
        world.append(&format!("[banks.{bank}.timeouts]\nresponse = \"1s\"\nidle = \"1s\""));
    }
    let sidecar = world.run();
    let (bank, admin) = (sidecar.address("icard"), sidecar.address("admin"));
    let head = format!("POST {ECHO} HTTP/1.1\r\nHost: {bank}\r\nContent-Length: 100000000\r\n\r\n");
    for _ in 0..UPLOADS {
        let mut app = tokio::net::TcpStream::connect(bank).await.expect("somebody listens");
        app.write_all(head.as_bytes()).await.expect("it is taken");
        // Each moves on, and so has no end of its own.
        tokio::spawn(async move {
            while app.write_all(&[b'x'; 4096]).await.is_ok() {
                time_passes(Duration::from_millis(100)).await;
            }
        });
    }
    let under_way = async || metric(admin, "bankside_requests_in_flight{bank=\"icard\"}").await == Some(UPLOADS);
    until_found("all are under way", async || under_way().await.then_some(())).await;
    sidecar.service.signal(Signal::SIGTERM);
    let last_words = tokio::task::spawn_blocking(move || sidecar.service.last_words());
    let log = last_words.await.expect("it ends");
    assert!(log.contains("they took too long"), "{log}");
    let is_cut = |line: &&str| line.contains("\"POST\"") && line.contains("\"complete\":false");
    assert_eq!(log.lines().filter(is_cut).count() as u64, UPLOADS, "{log}");
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_behind() {
    let world = World::start().await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    world.replace("profile = \"icard\"\nlisten = \"127.0.0.1:0\"", "profile = \"icard\"\nlisten = \"unix:icard.sock\"");
    world.replace("profile = \"cnb\"\nlisten = \"127.0.0.1:0\"", &format!("profile = \"cnb\"\nlisten = \"{address}\""));
    let ready = world.dir().join("ready");
    let ready_arg = ready.to_str().expect("UTF-8");
    let said = finish(command(&["run", "--ready-file", ready_arg, "-c", world.config_arg()]), "").with(1);
    assert!(said.err.contains(&format!("cannot listen on {address}")), "{}", said.err);
    for name in ["ready", "icard.sock", "bankside.db", "bankside.key"] {
        assert!(!world.dir().join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn a_ready_file_of_a_former_run_does_not_outlive_a_start_that_fails() {
    let world = World::start().await;
    let ready = world.write("ready", "ready icard=127.0.0.1:1\n");
    let fails = |config: &str, code: i32| {
        finish(command(&["run", "--ready-file", ready.to_str().expect("UTF-8"), "-c", config]), "").with(code);
    };
    let mistaken = world.write("mistaken.toml", "[banks");
    fails(mistaken.to_str().expect("UTF-8"), 78);
    assert!(!ready.exists());
    // Whatever is no file of its own is whoever reads it there.
    let other = world.write("other", "theirs");
    std::os::unix::fs::symlink(&other, &ready).expect("a link");
    fails("/nowhere/bankside.toml", 78);
    assert_eq!(fs::read_to_string(&ready).expect("it is there"), "theirs");
    fs::remove_file(&ready).expect("the link goes");
    assert!(Command::new("mkfifo").arg(&ready).status().expect("it runs").success());
    fails("/nowhere/bankside.toml", 78);
    assert!(ready.exists());
}

#[tokio::test]
async fn a_second_run_that_fails_leaves_the_ready_file_of_one_that_runs() {
    let world = world().await;
    let ready = world.dir().join("ready");
    let ready_arg = ready.to_str().expect("UTF-8");
    world.replace("profile = \"icard\"\nlisten = \"127.0.0.1:0\"", "profile = \"icard\"\nlisten = \"unix:icard.sock\"");
    let arguments = ["run", "--ready-file", ready_arg, "-c", world.config_arg()];
    let first = Service::start(command(&arguments), &world.dir().join("first.log"));
    let line = until_found("it is ready", async || fs::read_to_string(&ready).ok().filter(|line| line.ends_with('\n')));
    let line = line.await;
    let second = finish(command(&arguments), "").with(1);
    assert!(second.err.contains("another process listens on"), "{}", second.err);
    assert_eq!(fs::read_to_string(&ready).expect("the first still runs"), line);
    // One that did not end by itself leaves its file, and that is of a former run.
    assert_eq!(first.end(Signal::SIGKILL), None);
    let taken = UnixListener::bind(world.dir().join("taken.sock")).expect("a socket");
    world.replace("unix:icard.sock", "unix:taken.sock");
    finish(command(&arguments), "").with(1);
    assert!(!ready.exists());
    drop(taken);
}

#[tokio::test]
async fn a_start_that_waits_for_a_silent_database_ends_with_the_first_signal() {
    let world = World::start().await;
    let database = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = database.local_addr().expect("an address");
    world.write("bankside.key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    world.replace("sqlite:bankside.db", &format!("postgres://user@{address}/db?sslmode=disable"));
    let service = Service::start(command(&["run", "-c", world.config_arg()]), &world.dir().join("run.log"));
    let accepted = tokio::task::spawn_blocking(move || database.accept().expect("a connection"));
    let _silent = unless_it_hangs("it asks the database", accepted).await.expect("it ends");
    let start = Instant::now();
    assert_eq!(service.end(Signal::SIGTERM), Some(0));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// The next message that a service manager gets.
fn message(manager: &UnixDatagram) -> String {
    let mut message = [0; 1024];
    let length = manager.recv(&mut message).expect("a message");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[tokio::test]
async fn a_service_manager_is_told_of_start_reload_and_end() {
    let world = world().await;
    let socket = world.dir().join("notify.sock");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    manager.set_read_timeout(Some(HANG)).expect("set");
    let mut program = command(&[]);
    program.env("NOTIFY_SOCKET", &socket);
    let sidecar = Sidecar::run_prepared(program, &world.config);
    let ready = message(&manager);
    assert!(ready.starts_with("READY=1\nSTATUS=serving icard, cnb, cnb-sandbox\n"), "{ready}");

    sidecar.service.signal(Signal::SIGHUP);
    let reloading = message(&manager);
    let mut lines = reloading.lines();
    assert_eq!(lines.next(), Some("RELOADING=1"));
    let moment = lines.next().and_then(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("a moment");
    assert!(moment.parse::<u64>().expect("a number") > 0);
    assert!(message(&manager).starts_with("READY=1\nSTATUS=serving icard, cnb, cnb-sandbox\n"));

    fs::write(&world.config, "broken").expect("written");
    assert!(message(&manager).starts_with("RELOADING=1\n"));
    assert!(message(&manager).contains("the last reload failed"));

    sidecar.service.signal(Signal::SIGTERM);
    assert!(message(&manager).starts_with("STOPPING=1\n"));
    assert_eq!(sidecar.service.wait(), Some(0));
}

/// Messages that fill what a service manager has room for, if it does not read; how many those are.
fn fill(socket: &std::path::Path) -> usize {
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.set_nonblocking(true).expect("set");
    (0..1_000_000).find(|_| sender.send_to(b"FILLED=1", socket).is_err()).expect("there is an end")
}

#[tokio::test]
async fn a_service_manager_that_does_not_read_holds_nothing_up_and_is_told_when_it_reads() {
    let world = world().await;
    let socket = world.dir().join("notify.sock");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    manager.set_read_timeout(Some(HANG)).expect("set");
    let filled = fill(&socket);
    let mut program = command(&[]);
    program.env("NOTIFY_SOCKET", &socket);
    let sidecar = Sidecar::run_prepared(program, &world.config);
    get(sidecar.address("admin"), "/livez").await.with(200);
    sidecar.service.signal(Signal::SIGHUP);
    let admin = sidecar.address("admin");
    let reloaded = async || metric(admin, "bankside_reloads_total{outcome=\"ok\"}").await == Some(1);
    until_found("it reloads", async || reloaded().await.then_some(())).await;
    for _ in 0..filled {
        assert_eq!(message(&manager), "FILLED=1");
    }
    for part in ["READY=1\n", "RELOADING=1\n", "READY=1\n"] {
        let told = message(&manager);
        assert!(told.starts_with(part), "{part} {told}");
    }
    fill(&socket);
    assert_eq!(sidecar.terminate(), Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_service_manager_is_told_at_an_abstract_name() {
    use std::os::linux::net::SocketAddrExt;

    let world = world().await;
    let name = format!("bankside-test-{}", world.dir().display());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let manager = UnixDatagram::bind_addr(&address).expect("a socket");
    manager.set_read_timeout(Some(HANG)).expect("set");
    let mut program = command(&[]);
    program.env("NOTIFY_SOCKET", format!("@{name}"));
    let sidecar = Sidecar::run_prepared(program, &world.config);
    assert!(message(&manager).starts_with("READY=1\n"));
    assert_eq!(sidecar.terminate(), Some(0));
}

#[tokio::test]
async fn sockets_of_a_service_manager_are_served_and_outlive_the_sidecar() {
    let world = world().await;
    let tcp = TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = tcp.local_addr().expect("an address");
    let path = world.dir().join("icard.sock");
    let unix = UnixListener::bind(&path).expect("a socket");
    // As systemd has it by default.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("its mode is set");
    let listens = format!("profile = \"icard\"\nlisten = [\"unix:icard.sock\", \"{address}\"]");
    world.replace("profile = \"icard\"\nlisten = \"127.0.0.1:0\"", &listens);
    // A connection from before the start: it waits in the socket.
    let early = tokio::spawn(get(address, ECHO));

    // The shell puts the sockets where a service manager puts them, and becomes the program.
    let mut shell = Command::new("sh");
    let script = "LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$@\" 3<&0 4<&1 </dev/null >/dev/null";
    let log = world.dir().join("activated.log");
    shell.args(["-c", script, PROGRAM, "run", "-c", world.config_arg()]).env_remove("BANKSIDE_CONFIG");
    let fd = |listener: OwnedFd| Stdio::from(listener);
    shell.stdin(fd(tcp.try_clone().expect("a clone").into())).stdout(fd(unix.try_clone().expect("a clone").into()));
    let mut child = shell.stderr(fs::File::create(&log).expect("a log")).spawn().expect("it starts");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a process id"));

    early.await.expect("an answer").with(200);
    get_unix(&path, ECHO).await.with(200);
    assert!(fs::read_to_string(&log).unwrap_or_default().contains("every user may connect to a socket"));
    // A reload keeps them.
    nix::sys::signal::kill(pid, Signal::SIGHUP).expect("it runs");
    until("the reload is told", || fs::read_to_string(&log).unwrap_or_default().contains(r#""outcome":"ok""#)).await;
    get(address, ECHO).await.with(200);
    get_unix(&path, ECHO).await.with(200);
    nix::sys::signal::kill(pid, Signal::SIGTERM).expect("it runs");
    let ended = tokio::task::spawn_blocking(move || child.wait()).await.expect("it ends").expect("it ends");
    assert_eq!(ended.code(), Some(0), "{}", fs::read_to_string(&log).unwrap_or_default());
    assert!(path.exists(), "the socket is the service manager's");
    drop((tcp, unix));
}

#[tokio::test]
async fn a_unix_socket_is_served_and_goes_with_the_sidecar() {
    let world = world().await;
    world.replace("profile = \"icard\"\nlisten = \"127.0.0.1:0\"", "profile = \"icard\"\nlisten = \"unix:icard.sock\"");
    let path = world.dir().join("icard.sock");
    // One that a former process left behind.
    drop(UnixListener::bind(&path).expect("a socket"));
    let sidecar = world.run();
    get_unix(&path, ECHO).await.with(200);
    sidecar.service.signal(Signal::SIGHUP);
    until("the reload is told", || sidecar.log().contains(r#""outcome":"ok""#)).await;
    get_unix(&path, ECHO).await.with(200);
    assert_eq!(sidecar.terminate(), Some(0));
    assert!(!path.exists());
}
