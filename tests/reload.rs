//! Another certificate, key, secret or configuration while requests flow.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bankside::sandbox::{Endpoint, Fault, Plan, Protocols, Qwac, QwacOptions, RecordedRequest, Target, Validity};
use hyper::Version;
use nix::sys::signal::Signal;
use serde_json::Value;
use support::http::{get, get_unix, metric, send};
use support::load::{Load, PHASE};
use support::program::Sidecar;
use support::wait::{here, time_passes, until, until_found, until_queued};
use support::world::{World, free_port};

const ECHO: &str = "/_test/echo";

/// Puts a file in another's place, as editors and deployment tools do.
fn put(world: &World, name: &str, content: impl AsRef<[u8]>) {
    let beside = world.write(&format!(".{name}.tmp"), content);
    fs::rename(beside, world.dir().join(name)).expect("it can be renamed");
}

fn issue(world: &World) -> Qwac {
    world.sandbox.pki().qwac(&QwacOptions::default()).expect("a certificate")
}

fn put_qwac(world: &World, qwac: &Qwac) {
    put(world, "qwac-key.pem", qwac.key_pem().expose());
    put(world, "qwac.pem", qwac.chain_pem());
}

/// The serial number that the bank sees with a new request.
async fn serial(world: &World, sidecar: &Sidecar) -> String {
    let control = world.sandbox.icard().control();
    control.clear_requests();
    get(sidecar.address("icard"), ECHO).await.with(200);
    let last = control.requests().pop().expect("the bank has seen it");
    last.serial.expect("a certificate")
}

async fn until_serial(world: &World, sidecar: &Sidecar, expected: &str) {
    until_found("the bank sees the certificate", async || (serial(world, sidecar).await == expected).then_some(()))
        .await;
}

/// How many reloads have had this outcome.
async fn reloads(sidecar: &Sidecar, outcome: &str) -> u64 {
    let name = format!("bankside_reloads_total{{outcome=\"{outcome}\"}}");
    metric(sidecar.address("admin"), &name).await.expect("the metric is there")
}

async fn until_reloads(sidecar: &Sidecar, outcome: &str, at_least: u64) {
    until_found("the reload is counted", async || (reloads(sidecar, outcome).await >= at_least).then_some(())).await;
}

/// What `/readyz` says of the last reload.
async fn last_reload(sidecar: &Sidecar) -> Value {
    get(sidecar.address("admin"), "/readyz").await.json()["reload"].clone()
}

/// Waits until the last reload failed, and its problems say this.
async fn until_failed(sidecar: &Sidecar, because: &str) {
    until_found(&format!("a failed reload: {because}"), async || {
        let reload = last_reload(sidecar).await;
        let problems = reload["problems"].as_array().cloned().unwrap_or_default();
        let says_so = problems.iter().any(|problem| problem.as_str().unwrap_or_default().contains(because));
        (reload["outcome"] == "failed" && says_so).then_some(())
    })
    .await;
}

async fn until_ok(sidecar: &Sidecar) {
    until_found("a reload that works", async || (last_reload(sidecar).await["outcome"] == "ok").then_some(())).await;
}

fn open_files(sidecar: &Sidecar) -> usize {
    fs::read_dir(format!("/proc/{}/fd", sidecar.service.id())).expect("it runs").count()
}

#[tokio::test]
async fn a_swap_under_load_fails_no_request_and_shows_the_new_certificate_on_every_connection() {
    for protocols in [Protocols::Http1, Protocols::Http2] {
        let world = World::with(|options| options.icard.protocols = protocols).await;
        world.login("icard", "default").await;
        let sidecar = world.run();
        // Apps speak the version that the bank does not.
        let of_apps = if protocols == Protocols::Http1 { Version::HTTP_2 } else { Version::HTTP_11 };
        let load = Load::start_with(of_apps, 64, sidecar.address("icard"), ECHO);
        let control = world.sandbox.icard().control();
        for _ in 0..3 {
            load.goes_on().await;
            let qwac = issue(&world);
            put_qwac(&world, &qwac);
            until_serial(&world, &sidecar, qwac.serial()).await;
            // Whatever the apps send from here on, on connections that are all older than the swap.
            let phase = load.next_phase();
            control.clear_requests();
            let serials = until_found("each app has sent a few", async || {
                let is_new = |request: &&RecordedRequest| request.line(PHASE) == Some(&phase.to_string());
                let serials: Vec<_> =
                    control.requests().iter().filter(is_new).map(|request| request.serial.clone()).collect();
                (serials.len() >= 4 * 64).then_some(serials)
            })
            .await;
            let new = Some(qwac.serial());
            assert!(serials.iter().all(|serial| serial.as_deref() == new), "a former certificate was shown");
        }
        let told = load.stop().await;
        assert!(protocols == Protocols::Http2 || control.counters().handshakes_resumed > 0, "sessions are resumed");
        assert!(told.failures.is_empty(), "{protocols:?}: {} good, {:?}", told.good, told.failures);
        assert_eq!(sidecar.terminate(), Some(0));
    }
}

#[tokio::test]
async fn after_a_hundred_swaps_memory_files_and_connections_are_as_before() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    let load = Load::start(4, sidecar.address("icard"), ECHO);
    let mut after_twenty = None;
    for swap in 1..=100 {
        let qwac = issue(&world);
        put_qwac(&world, &qwac);
        sidecar.service.signal(Signal::SIGHUP);
        until_serial(&world, &sidecar, qwac.serial()).await;
        if swap == 20 {
            after_twenty = Some((sidecar.service.memory("VmRSS"), open_files(&sidecar)));
        }
    }
    let (memory, files) = after_twenty.expect("it was measured");
    let told = load.stop().await;
    assert!(told.failures.is_empty() && told.refused == 0, "{told:?}");
    let grown = sidecar.service.memory("VmRSS").saturating_sub(memory);
    assert!(grown < 16 << 20, "grown by {grown} bytes in 80 swaps");
    assert!(open_files(&sidecar) <= files + 8, "{files} files were open, and {} are", open_files(&sidecar));
    until_found("the bank's old connections close", async || {
        (world.sandbox.icard().control().counters().open_connections <= 8).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_broken_swap_leaves_the_old_certificate_in_use_and_says_why() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    let good = world.sandbox.qwac();
    let other = issue(&world);
    let expired = QwacOptions { validity: Validity::Expired, ..QwacOptions::default() };
    let expired = world.sandbox.pki().qwac(&expired).expect("a certificate");
    let half = &other.chain_pem()[..other.chain_pem().len() / 3];
    let breaks: [(&str, &dyn Fn()); 5] = [
        ("qwac.pem", &|| put(&world, "qwac.pem", half)),
        ("does not belong", &|| put(&world, "qwac.pem", other.chain_pem())),
        ("expired at", &|| put_qwac(&world, &expired)),
        ("cannot be read", &|| fs::remove_file(world.dir().join("qwac-key.pem")).expect("it is there")),
        ("client-secret cannot be read", &|| {
            fs::remove_file(world.dir().join("icard-client-secret")).expect("it is there");
        }),
    ];
    for (because, break_it) in breaks {
        break_it();
        until_failed(&sidecar, because).await;
        assert_eq!(serial(&world, &sidecar).await, good.serial(), "{because}");
        get(sidecar.address("admin"), "/readyz").await;
        put_qwac(&world, good);
        put(&world, "icard-client-secret", world.sandbox.icard().client_secret().expose());
        until_ok(&sidecar).await;
    }
    assert!(reloads(&sidecar, "failed").await >= 5);
    let log = sidecar.log();
    assert!(log.contains("what runs goes on") && log.contains(r#""outcome":"failed""#), "{log}");
    assert!(!log.contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_wrong_passphrase_leaves_the_old_certificate_in_use() {
    let world = World::start().await;
    let pem = "certificate = \"qwac.pem\"\nprivate_key = \"qwac-key.pem\"";
    world.replace(pem, "pkcs12 = \"qwac.p12\"\npassphrase = { file = \"qwac.p12.password\" }");
    world.login("icard", "default").await;
    let sidecar = world.run();
    put(&world, "qwac.p12.password", "wrong");
    until_failed(&sidecar, "qwac.p12").await;
    assert_eq!(serial(&world, &sidecar).await, world.sandbox.qwac().serial());
    let next = issue(&world);
    put(&world, "qwac.p12", next.pkcs12("another").expect("a file"));
    put(&world, "qwac.p12.password", "another");
    until_serial(&world, &sidecar, next.serial()).await;
}

#[tokio::test]
async fn a_configuration_with_an_error_changes_nothing_and_is_told_with_its_line() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    let before = world.toml();
    put(&world, "bankside.toml", before.replace("\n[admin]\n", "\n[admin]\nlisten_to = \"x\"\n"));
    sidecar.service.signal(Signal::SIGHUP);
    until_failed(&sidecar, "bankside.toml:4: admin.listen_to: unknown key").await;
    get(sidecar.address("icard"), ECHO).await.with(200);
    put(&world, "bankside.toml", before);
    until_ok(&sidecar).await;
    get(sidecar.address("icard"), ECHO).await.with(200);
}

#[tokio::test]
async fn kubernetes_way_of_swapping_files_is_seen() {
    let world = World::start().await;
    let at = |generation: &str, qwac: &Qwac| {
        let folder = world.dir().join("certs").join(generation);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("tls.crt"), qwac.chain_pem()).expect("written");
        fs::write(folder.join("tls.key"), qwac.key_pem().expose()).expect("written");
    };
    let link = |generation: &str| {
        let beside = world.dir().join("certs/..data_tmp");
        std::os::unix::fs::symlink(generation, &beside).expect("a link");
        fs::rename(beside, world.dir().join("certs/..data")).expect("renamed");
    };
    at("..1", world.sandbox.qwac());
    link("..1");
    for name in ["tls.crt", "tls.key"] {
        let path = world.dir().join("certs").join(name);
        std::os::unix::fs::symlink(Path::new("..data").join(name), path).expect("a link");
    }
    world.replace("certificate = \"qwac.pem\"", "certificate = \"certs/tls.crt\"");
    world.replace("private_key = \"qwac-key.pem\"", "private_key = \"certs/tls.key\"");
    world.login("icard", "default").await;
    let sidecar = world.run();
    for generation in ["..2", "..3"] {
        let next = issue(&world);
        at(generation, &next);
        link(generation);
        until_serial(&world, &sidecar, next.serial()).await;
    }
    assert_eq!(reloads(&sidecar, "failed").await, 0);
}

#[tokio::test]
async fn banks_and_addresses_come_and_go_and_the_others_do_not_notice() {
    let world = World::start().await;
    world.login_everywhere().await;
    let ports = [free_port(), free_port()];
    let sidecar = world.run();
    let load = Load::start(8, sidecar.address("icard"), ECHO);
    let before = world.toml();
    let more = format!(
        "{before}\n[banks.second]\nprofile = \"cnb-sandbox\"\nlisten = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\nbase_url = \"{}\"\n\
         [banks.second.tls]\nca = [\"ca.pem\"]\nsystem_roots = false\n",
        ports[0],
        ports[1],
        world.sandbox.cnb_sandbox().urls().base
    );
    put(&world, "bankside.toml", &more);
    sidecar.service.signal(Signal::SIGHUP);
    until_ok(&sidecar).await;
    for port in ports {
        let grant = [("bankside-grant", "aisp")];
        send(([127, 0, 0, 1], port).into(), "GET", "/cobs/5.0/my/accounts", &grant, "").await.with(200);
    }
    // One address goes to another bank without a gap, the other one closes.
    let cnb = format!("[banks.cnb]\nprofile = \"cnb\"\nlisten = \"127.0.0.1:{}\"", ports[0]);
    let moved = before.replace("[banks.cnb]\nprofile = \"cnb\"\nlisten = \"127.0.0.1:0\"", &cnb);
    assert_ne!(moved, before);
    let count = reloads(&sidecar, "ok").await;
    put(&world, "bankside.toml", &moved);
    until_reloads(&sidecar, "ok", count + 1).await;
    until_found("the other bank answers", async || {
        let answer = get(([127, 0, 0, 1], ports[0]).into(), ECHO).await;
        (answer.status == 200).then_some(())
    })
    .await;
    until_found("the address is closed", async || tokio::net::TcpStream::connect(("127.0.0.1", ports[1])).await.err())
        .await;
    let told = load.stop().await;
    assert!(told.failures.is_empty() && told.refused == 0, "{told:?}");
}

#[tokio::test]
async fn a_bank_gets_another_name_and_its_apps_do_not_notice() {
    let world = World::start().await;
    let port = free_port();
    let bank = |name: &str| {
        format!(
            "[banks.{name}]\nprofile = \"cnb-sandbox\"\nlisten = \"127.0.0.1:{port}\"\nbase_url = \"{}\"\n\
             token = {{ value = \"token-aisp\" }}\n[banks.{name}.tls]\nca = [\"ca.pem\"]\nsystem_roots = false\n",
            world.sandbox.cnb_sandbox().urls().base
        )
    };
    let before = world.toml();
    put(&world, "bankside.toml", format!("{before}\n{}", bank("first")));
    let sidecar = world.run();
    let load = Load::start(32, ([127, 0, 0, 1], port).into(), "/cobs/5.0/my/accounts");
    for (count, name) in (1..).zip(["second", "third", "fourth"]) {
        load.goes_on().await;
        put(&world, "bankside.toml", format!("{before}\n{}", bank(name)));
        until_reloads(&sidecar, "ok", count).await;
    }
    load.goes_on().await;
    let told = load.stop().await;
    assert!(told.failures.is_empty() && told.refused == 0, "{told:?}");
    let log = sidecar.log();
    assert!(log.contains(r#""bank":"fourth""#), "{log}");
}

#[tokio::test]
async fn an_address_that_is_taken_fails_the_reload_as_a_whole() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let listens = format!("profile = \"icard\"\nlisten = [\"127.0.0.1:0\", \"{address}\"]");
    let text = world.toml().replace("profile = \"icard\"\nlisten = \"127.0.0.1:0\"", &listens);
    put(&world, "bankside.toml", text);
    until_failed(&sidecar, &format!("banks.icard.listen: cannot listen on {address}: Address already in use")).await;
    get(sidecar.address("icard"), ECHO).await.with(200);
    let told = |sidecar: &Sidecar| sidecar.log().matches("cannot listen on").count();
    drop(taken);
    until_ok(&sidecar).await;
    get(address, ECHO).await.with(200);
    assert_eq!(told(&sidecar), 1, "it was tried again without a word");
}

#[tokio::test]
async fn an_address_that_the_sidecar_itself_has_fails_the_reload_and_is_told_as_its_own() {
    let world = World::start().await;
    let sidecar = world.run();
    let admin = sidecar.address("admin");
    let before = world.toml();
    let in_place = "profile = \"icard\"\nlisten = \"127.0.0.1:0\"";
    let text = before.replace(in_place, &format!("profile = \"icard\"\nlisten = \"{admin}\""));
    put(&world, "bankside.toml", &text);
    let line = text.lines().position(|line| line.contains(&admin.to_string())).expect("it is there") + 1;
    let place = format!("bankside.toml:{line}: banks.icard.listen: ");
    until_failed(&sidecar, &format!("{place}cannot listen on {admin}: this program itself holds {admin}")).await;
    // And the operator's listener where a bank is.
    let icard = sidecar.address("icard");
    let text = before.replacen("[admin]\nlisten = \"127.0.0.1:0\"", &format!("[admin]\nlisten = \"{icard}\""), 1);
    assert_ne!(text, before);
    put(&world, "bankside.toml", &text);
    let line = text.lines().position(|line| line.contains(&icard.to_string())).expect("it is there") + 1;
    let place = format!("bankside.toml:{line}: admin.listen: ");
    until_failed(&sidecar, &format!("{place}cannot listen on {icard}: this program itself holds {icard}")).await;
}

/// Where the machine leaves the file alone for so long, the sidecar may take it for written.
const NO_REST: Duration = Duration::from_millis(150);

/// Replaces the configuration again and again, until this is set: the longest time that it was left alone.
fn keep_writing(world: &World, text: &str, end: &AtomicBool) -> Duration {
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    for number in 0.. {
        put(world, "bankside.toml", format!("{text}# {number}\n"));
        longest = longest.max(last.elapsed());
        if end.load(Ordering::Relaxed) {
            break;
        }
        last = Instant::now();
        here::time_passes(Duration::from_millis(20));
    }
    longest
}

/// A refused reload is tried again, but never with what somebody is just writing.
#[tokio::test]
async fn a_file_that_is_being_written_is_not_read_although_a_reload_is_to_be_tried_again() {
    loop {
        let world = Arc::new(World::start().await);
        world.login("icard", "default").await;
        let sidecar = world.run();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let good = world.toml();
        let address = taken.local_addr().expect("an address");
        let listens = format!("profile = \"icard\"\nlisten = [\"127.0.0.1:0\", \"{address}\"]");
        put(&world, "bankside.toml", good.replace("profile = \"icard\"\nlisten = \"127.0.0.1:0\"", &listens));
        until_failed(&sidecar, "cannot listen on").await;
        // The first try is 2 s after that: the file changes all the time from before it to behind it.
        time_passes(Duration::from_millis(1700)).await;
        let end = Arc::<AtomicBool>::default();
        let writer = tokio::task::spawn_blocking({
            let (world, end) = (Arc::clone(&world), Arc::clone(&end));
            move || keep_writing(&world, &good, &end)
        });
        time_passes(Duration::from_millis(700)).await;
        let reloaded = reloads(&sidecar, "ok").await;
        end.store(true, Ordering::Relaxed);
        if writer.await.expect("it writes") > NO_REST {
            continue;
        }
        assert_eq!(reloaded, 0);
        put(
            &world,
            "bankside.toml",
            format!("{}[banks.icard.access]\nkey = {{ value = \"the-key\" }}\n", world.toml()),
        );
        let is_refused = async || (get(sidecar.address("icard"), ECHO).await.status == 403).then_some(());
        until_found("what was written is read", is_refused).await;
        return;
    }
}

/// The store may take long to open, and a certificate be renewed meanwhile.
#[tokio::test]
async fn a_certificate_that_changes_during_the_start_is_seen() {
    let (world, port) = (Arc::new(World::start().await), free_port());
    let listens = format!("profile = \"icard\"\nlisten = \"127.0.0.1:{port}\"");
    world.replace("profile = \"icard\"\nlisten = \"127.0.0.1:0\"", &listens);
    world.login("icard", "default").await;
    let next = issue(&world);
    let store = rusqlite::Connection::open(world.dir().join("bankside.db")).expect("the store");
    store.execute_batch("BEGIN EXCLUSIVE").expect("nobody else has it");
    let starting = tokio::task::spawn_blocking({
        let world = Arc::clone(&world);
        move || world.run()
    });
    // The files are read before the addresses are bound, and those before the store is opened.
    until("its address is bound", || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    put_qwac(&world, &next);
    store.execute_batch("COMMIT").expect("it was begun");
    let sidecar = starting.await.expect("it starts");
    until_serial(&world, &sidecar, next.serial()).await;
}

/// Users who were told apart may be connected when the rule goes: nobody would look at them any more.
#[tokio::test]
async fn a_socket_is_open_to_all_users_as_long_as_they_are_told_apart_and_stays_with_that_rule() {
    let world = World::start().await;
    world.login("icard", "default").await;
    world.replace("profile = \"icard\"\nlisten = \"127.0.0.1:0\"", "profile = \"icard\"\nlisten = \"unix:icard.sock\"");
    let sidecar = world.run();
    let socket = world.config.with_file_name("icard.sock");
    let mode = || fs::symlink_metadata(&socket).expect("a socket").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    let own = nix::unistd::getuid().as_raw();
    let rule = |uid: u32| format!("[banks.icard.access]\nuids = [{uid}]\n");
    world.append(&rule(own));
    until_reloads(&sidecar, "ok", 1).await;
    assert_eq!(mode(), 0o666);
    get_unix(&socket, ECHO).await.with(200);
    world.replace(&rule(own), &rule(own + 1));
    until_reloads(&sidecar, "ok", 2).await;
    get_unix(&socket, ECHO).await.problem("caller-refused", 403);
    world.replace(&rule(own + 1), "");
    until_failed(&sidecar, "only a restart takes that rule away").await;
    // Nor with another address: who is connected could ask once more.
    world.replace("listen = \"unix:icard.sock\"", "listen = \"unix:other.sock\"");
    until_reloads(&sidecar, "failed", 2).await;
    get_unix(&socket, ECHO).await.problem("caller-refused", 403);
}

/// Whoever may write the socket's folder must not choose which of the sidecar's files every user may read.
#[tokio::test]
async fn a_link_in_the_place_of_a_socket_opens_no_file_to_all_users() {
    let world = World::start().await;
    world.login("icard", "default").await;
    world.replace("profile = \"icard\"\nlisten = \"127.0.0.1:0\"", "profile = \"icard\"\nlisten = \"unix:icard.sock\"");
    let sidecar = world.run();
    let [socket, aside, key] = ["icard.sock", "aside.sock", "precious"].map(|name| world.config.with_file_name(name));
    fs::write(&key, "precious").expect("written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its mode is set");
    fs::rename(&socket, &aside).expect("moved");
    std::os::unix::fs::symlink(&key, &socket).expect("a link");
    world.append(&format!("[banks.icard.access]\nuids = [{}]\n", nix::unistd::getuid()));
    until_failed(&sidecar, "is not the socket any more that was bound there").await;
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!((mode(&key), mode(&aside)), (0o600, 0o600));
    get_unix(&aside, ECHO).await.with(200);
}

#[tokio::test]
async fn limits_routes_keys_and_header_rules_are_reloaded_on_open_connections_too() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    let address = sidecar.address("icard");
    get(address, ECHO).await.with(200);
    world.append(
        "[banks.icard.headers]\nset = { x-rule = \"new\" }\n[banks.icard.access]\nkey = { value = \"open\" }\n\
         [[banks.icard.routes]]\npath = \"/_test/**\"\n",
    );
    until_ok(&sidecar).await;
    get(address, ECHO).await.problem("caller-refused", 403);
    let key = [("bankside-key", "open")];
    let echo = send(address, "GET", ECHO, &key, "").await.with(200).json();
    let has_rule = |line: &Value| line[0].as_str().is_some_and(|name| name.eq_ignore_ascii_case("x-rule"));
    assert!(echo["lines"].as_array().expect("lines").iter().any(has_rule), "{echo}");
    send(address, "GET", "/v1/accounts", &key, "").await.problem("route-refused", 403);
}

#[tokio::test]
async fn a_request_that_waits_while_the_rules_change_is_judged_by_those_that_send_it() {
    let world = World::start().await;
    world.login("icard", "default").await;
    world.append("[banks.icard.limits]\nin_flight = 1\nqueue = \"60s\"\n");
    let sidecar = world.run();
    let address = sidecar.address("icard");
    let control = world.sandbox.icard().control();
    let slow = Target::Path("/_test/echo/slow".to_owned());
    control.plan(Plan::next(1, slow, Fault::DelayAnswer(4_000)));
    let first = tokio::spawn(get(address, "/_test/echo/slow"));
    let arrived = |path: &str| control.requests().iter().any(|request| request.target == path);
    until_found("it has the only place", async || arrived("/_test/echo/slow").then_some(())).await;
    let waiting = tokio::spawn(get(address, "/_test/echo/waiting"));
    until_queued(sidecar.address("admin"), "icard", 1).await;
    world.append(
        "[[banks.icard.routes]]\npath = \"/_test/echo/waiting\"\ndeny = true\n[[banks.icard.routes]]\npath = \"/**\"\n",
    );
    until_ok(&sidecar).await;
    waiting.await.expect("an answer").problem("route-refused", 403);
    first.await.expect("an answer").with(200);
    assert!(!arrived("/_test/echo/waiting"));
}

#[tokio::test]
async fn connections_to_a_bank_outlast_reloads_that_do_not_concern_them() {
    let world = World::start().await;
    world.login("icard", "default").await;
    world.append("[runtime]\nworkers = 1\n");
    let sidecar = world.run();
    let connections = || world.sandbox.icard().control().counters().connections;
    get(sidecar.address("icard"), ECHO).await.with(200);
    let before = connections();
    for (count, change) in (1..).zip([
        "",
        "[banks.cnb.timeouts]\nconnect = \"7s\"\n",
        "[banks.icard.headers]\nset = { x-rule = \"new\" }\n",
    ]) {
        world.append(change);
        sidecar.service.signal(Signal::SIGHUP);
        until_reloads(&sidecar, "ok", count).await;
        get(sidecar.address("icard"), ECHO).await.with(200);
        assert_eq!(connections(), before, "{change}");
    }
    put_qwac(&world, &issue(&world));
    until_reloads(&sidecar, "ok", 4).await;
    until_found("another certificate, another connection", async || {
        get(sidecar.address("icard"), ECHO).await.with(200);
        (connections() > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_needs_a_restart_is_told_and_stays() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let sidecar = world.run();
    world.replace("sqlite:bankside.db", "sqlite:other.db").append("[runtime]\nworkers = 1\n");
    until_ok(&sidecar).await;
    get(sidecar.address("icard"), ECHO).await.with(200);
    let log = sidecar.log();
    for what in ["store.url", "runtime.workers"] {
        assert!(log.contains(&format!(r#""what":"{what}""#)), "{what}: {log}");
    }
    assert!(!world.dir().join("other.db").exists());
}

#[tokio::test]
async fn a_store_key_other_than_the_one_in_use_fails_the_reload_until_it_is_given_back() {
    const OWN: &str = "key = { file = \"bankside.key\" }";
    const LOST: &str = "store.key: the store was sealed under the key with id ";
    let world = World::start().await;
    // The key is made by this start.
    let sidecar = world.run();
    let (own, aside) = (world.dir().join("bankside.key"), world.dir().join("aside.key"));
    fs::rename(&own, &aside).expect("the key is there");
    let next = world.write("next.key", "KioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKio=");
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).expect("it is ours");
    fs::copy(&next, &own).expect("it can be copied");
    sidecar.service.signal(Signal::SIGHUP);
    until_failed(&sidecar, LOST).await;
    fs::copy(&aside, &own).expect("it can be copied");
    until_ok(&sidecar).await;
    fs::remove_file(&own).expect("it is there");
    until_failed(&sidecar, LOST).await;
    fs::rename(&aside, &own).expect("it can be renamed");
    until_ok(&sidecar).await;
    assert!(!sidecar.log().contains(r#""what":"store.key""#), "{}", sidecar.log());
    world.replace(OWN, "key = { file = \"next.key\" }");
    until_failed(&sidecar, LOST).await;
    let count = reloads(&sidecar, "ok").await;
    world.replace("key = { file = \"next.key\" }", "key = [{ file = \"next.key\" }, { file = \"bankside.key\" }]");
    until_reloads(&sidecar, "ok", count + 1).await;
    assert!(sidecar.log().contains(r#""what":"store.key""#), "{}", sidecar.log());
}

#[tokio::test]
async fn a_store_key_that_was_made_at_the_start_is_watched_from_then_on() {
    let world = World::start().await;
    let sidecar = world.run();
    let (own, aside) = (world.dir().join("bankside.key"), world.dir().join("aside.key"));
    fs::rename(&own, &aside).expect("the key is there");
    until_failed(&sidecar, "store.key: the store was sealed under the key with id ").await;
    fs::rename(&aside, &own).expect("it can be renamed");
    until_ok(&sidecar).await;
    let log = sidecar.log();
    let reloads = log.lines().filter(|line| line.contains("\"message\":\"reload\""));
    assert_eq!(reloads.count(), 2, "that it was made is no change: {log}");
}

#[tokio::test]
async fn a_token_that_is_bound_to_the_former_certificate_costs_one_renewal_and_no_request() {
    let world = World::start().await;
    let control = world.sandbox.icard().control();
    control.change_rules(|rules| rules.certificate_bound = true);
    world.login("icard", "default").await;
    let sidecar = world.run();
    let load = Load::start(16, sidecar.address("icard"), ECHO);
    for swap in 1..=4 {
        load.goes_on().await;
        let qwac = issue(&world);
        put_qwac(&world, &qwac);
        until_serial(&world, &sidecar, qwac.serial()).await;
        // One that began under the new certificate has met the 401, and waited for the renewal.
        get(sidecar.address("icard"), ECHO).await.with(200);
        assert_eq!(control.counters().token_calls("refresh_token"), swap, "a renewal each");
    }
    let told = load.stop().await;
    assert!(told.failures.is_empty() && told.refused == 0, "{told:?}");
    assert_eq!(control.counters().requests(Endpoint::Token), 5, "the login's, and the renewals'");
}

#[tokio::test]
async fn the_next_identity_is_checked_beforehand_and_used_when_its_time_has_come() {
    let world = World::start().await;
    world.login("icard", "default").await;
    let next = issue(&world);
    world.write("next.pem", next.chain_pem());
    let with_next = |from: u64| {
        let from = bankside::words::Timestamp::from_millis(i64::try_from(from * 1000).expect("a time"));
        format!("next = {{ from = \"{from}\", certificate = \"next.pem\", private_key = \"next-key.pem\" }}\n")
    };
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let sidecar = world.run();
    let before = world.toml();
    let identity = "private_key = \"qwac-key.pem\"\n";
    let far = before.replace(identity, &format!("{identity}{}", with_next(now() + 86_400)));
    put(&world, "bankside.toml", &far);
    until_failed(&sidecar, "next-key.pem").await;
    world.write("next-key.pem", next.key_pem().expose());
    until_ok(&sidecar).await;
    assert_eq!(serial(&world, &sidecar).await, world.sandbox.qwac().serial());
    put(&world, "bankside.toml", before.replace(identity, &format!("{identity}{}", with_next(now() + 3))));
    until_serial(&world, &sidecar, next.serial()).await;
    until("the log tells why", || sidecar.log().contains("the next identity's time has come")).await;
}
