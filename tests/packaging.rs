//! What operators install beside the program: manifests, units, manual pages, and the program's own probe.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bankside::sandbox::{Pki, QwacOptions};
use bankside::words::{Clock, Random};
use serde_json::Value;
use support::parts::have;
use support::program::{PROGRAM, bankside, command, finish};
use support::world::World;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("it can be read")
}

/// The documents of a YAML file, by a reader that is not ours.
fn yaml(name: &str) -> Vec<Value> {
    const TO_JSON: &str = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let output = Command::new("python3").args(["-c", TO_JSON]).arg(deploy(name)).output().expect("it runs");
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The pod that the sidecar is in.
fn pod() -> Value {
    let documents = yaml("kubernetes.yaml");
    documents.iter().find(|it| it["kind"] == "StatefulSet").expect("it is there")["spec"]["template"]["spec"].clone()
}

#[test]
fn the_manifests_take_every_right_away_that_is_not_needed() {
    if !have("python3", "the_manifests_take_every_right_away_that_is_not_needed") {
        return;
    }
    let pod = pod();
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    for containers in ["initContainers", "containers"] {
        for container in pod[containers].as_array().expect("a list") {
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true, "{container}");
            assert_eq!(context["allowPrivilegeEscalation"], false, "{container}");
            assert_eq!(context["capabilities"]["drop"][0], "ALL", "{container}");
        }
    }
    let compose = &yaml("compose.yaml")[0]["services"]["bankside"];
    assert_eq!((&compose["read_only"], &compose["cap_drop"][0]), (&Value::from(true), &Value::from("ALL")));
    let dockerfile = read(deploy("../Dockerfile"));
    let user = dockerfile.lines().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    assert_eq!(compose["user"], user);
    assert_eq!(format!("{0}:{0}", pod["securityContext"]["runAsUser"]), user);
    let features = dockerfile.lines().find_map(|line| line.strip_prefix("ARG FEATURES=")).expect("features");
    let has = |name| features.split(',').any(|feature| feature == name);
    assert!(has("pkcs12") && !has("pkcs11") && !has("sandbox"), "{features}");
}

#[test]
fn the_manifests_run_the_sidecar_beside_the_app_with_probes_that_the_program_has() {
    if !have("python3", "the_manifests_run_the_sidecar_beside_the_app_with_probes_that_the_program_has") {
        return;
    }
    let pod = pod();
    let sidecar = &pod["initContainers"][0];
    assert_eq!(sidecar["restartPolicy"], "Always", "a native sidecar");
    let compose = &yaml("compose.yaml")[0]["services"];
    assert_eq!(compose["app"]["network_mode"], "service:bankside");
    assert_eq!(compose["app"]["depends_on"]["bankside"]["condition"], "service_healthy");

    let mut probes: Vec<Value> =
        ["startupProbe", "livenessProbe", "readinessProbe"].map(|name| sidecar[name]["exec"]["command"].clone()).into();
    let dockerfile = read(deploy("../Dockerfile"));
    let check = dockerfile.lines().find(|line| line.starts_with("HEALTHCHECK ")).expect("a health check");
    probes.push(serde_json::from_str(check.split_once("CMD ").expect("a command").1).expect("JSON"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for probe in probes {
        let words: Vec<&str> = probe.as_array().expect("a list").iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(words[0], "/bankside");
        // It fails, as nobody is there, but not for its usage.
        bankside(&[&words[1..], &["--admin", &nobody]].concat(), "").with(1);
    }
}

/// A folder with the files that the configurations in `deploy/` name.
fn secrets() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pki = Pki::new(Clock::system(), Random::system()).expect("a PKI");
    let qwac = pki.qwac(&QwacOptions::default()).expect("a QWAC");
    fs::write(folder.path().join("qwac.pem"), qwac.chain_pem()).unwrap();
    fs::write(folder.path().join("qwac-key.pem"), qwac.key_pem().expose()).unwrap();
    fs::write(folder.path().join("icard-secret"), "s3cr3t\n").unwrap();
    folder
}

#[test]
fn the_configurations_of_the_manifests_are_good() {
    if !have("python3", "the_configurations_of_the_manifests_are_good") {
        return;
    }
    let folder = secrets();
    let secrets = folder.path().to_str().expect("UTF-8");
    let documents = yaml("kubernetes.yaml");
    let map = documents.iter().find(|it| it["kind"] == "ConfigMap").expect("it is there");
    let in_kubernetes = map["data"]["bankside.toml"].as_str().expect("a text");
    for config in [in_kubernetes.replace("/run/secrets/bankside", secrets), read(deploy("bankside.toml"))] {
        let path = folder.path().join("bankside.toml");
        fs::write(&path, config.replace("/var/lib/bankside", secrets)).unwrap();
        let mut check = command(&["check", "-c"]);
        check.arg(&path).env("CREDENTIALS_DIRECTORY", secrets);
        let said = finish(check, "").with(0);
        assert!(said.out.contains("127.0.0.1:8080") && said.out.contains("127.0.0.1:9090"), "{}", said.out);
    }
}

#[test]
fn kubernetes_schemas_take_the_manifests() {
    if !have("kubernetes-validate", "kubernetes_schemas_take_the_manifests") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let validate = |manifests: &str| {
        let path = folder.path().join("kubernetes.yaml");
        fs::write(&path, manifests).unwrap();
        // The schemas of the latest release that it has; what they do not know is an error.
        Command::new("kubernetes-validate").arg("--strict").arg(&path).output().expect("it runs")
    };
    let manifests = read(deploy("kubernetes.yaml"));
    let said = validate(&manifests);
    assert!(said.status.success() && text(&said).matches(" passed ").count() >= 3, "{}", text(&said));
    for (right, wrong) in [("readinessProbe:", "readynessProbe:"), ("runAsNonRoot: true", "runAsNonRoot: \"yes\"")] {
        assert!(manifests.contains(right), "{right}");
        let said = validate(&manifests.replacen(right, wrong, 1));
        assert!(!said.status.success(), "{wrong} is taken: {}", text(&said));
    }
}

#[test]
fn systemd_accepts_the_units_and_finds_little_exposed() {
    if !have("systemd-analyze", "systemd_accepts_the_units_and_finds_little_exposed") {
        return;
    }
    let version = text(&Command::new("systemd-analyze").arg("--version").output().unwrap());
    let version: u32 = version.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    let mut service = read(deploy("bankside.service"));
    for file in ["qwac.pem", "qwac-key.pem", "icard-secret"] {
        assert!(service.contains(&format!("LoadCredential={file}:")), "{file}");
    }
    service = service.replace("/usr/local/bin/bankside", PROGRAM);
    if version < 253 {
        service = service.replace("Type=notify-reload\n", "");
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = |name: &str| folder.path().join(name);
    fs::write(unit("bankside.service"), service).unwrap();
    fs::copy(deploy("bankside.socket"), unit("bankside.socket")).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args([unit("bankside.service"), unit("bankside.socket")])
        .output()
        .unwrap();
    assert!(verified.status.success() && text(&verified).is_empty(), "{}", text(&verified));
    // In tenths: 0 is nothing exposed, 100 everything.
    let judged = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=15", "--no-pager"])
        .arg(unit("bankside.service"))
        .output()
        .unwrap();
    assert!(judged.status.success(), "{}", text(&judged));
}

#[test]
fn the_manual_has_a_page_for_each_command_that_a_reader_of_pages_can_read() {
    let page = bankside(&["man"], "").with(0).out;
    for expected in [".TH bankside 1", "EXIT STATUS", "/etc/bankside/bankside.toml", "health"] {
        assert!(page.contains(expected), "no {expected}:\n{page}");
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    bankside(&["man", "--dir", pages.to_str().unwrap()], "").with(0);
    for name in ["bankside.1", "bankside-run.1", "bankside-health.1", "bankside-grant-import.1"] {
        assert!(read(pages.join(name)).contains(".TH"), "{name}");
    }
    if have("groff", "the_manual_has_a_page_for_each_command_that_a_reader_of_pages_can_read") {
        let output = Command::new("groff")
            .args(["-man", "-Tascii", "-ww", "-z"])
            .arg(pages.join("bankside-run.1"))
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output));
    }
}

#[tokio::test]
async fn health_says_whether_the_sidecar_lives_and_whether_its_banks_can_be_used() {
    let world = World::start().await;
    let sidecar = world.run();
    let admin = sidecar.address("admin").to_string();
    assert_eq!(bankside(&["health", "--admin", &admin], "").with(0).out, "ok\n");
    let said = bankside(&["health", "--ready", "--admin", &admin], "").with(1);
    assert!(said.out.contains("bankside login icard") && said.err.contains("503"), "{}{}", said.out, said.err);

    // The address may come from the environment, as in an image; an empty one is none.
    for (address, arguments, code) in [
        (admin.as_str(), vec!["health"], 0),
        ("", vec!["health", "-c", "nowhere.toml"], 1),
        ("nowhere", vec!["health"], 2),
    ] {
        let mut health = command(&arguments);
        health.env("BANKSIDE_ADMIN", address);
        finish(health, "").with(code);
    }
    assert_eq!(sidecar.terminate(), Some(0));
    let said = bankside(&["health", "--admin", &admin], "").with(1);
    assert!(said.err.contains(&admin), "{}", said.err);
}

#[test]
fn health_finds_the_operators_listener_in_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bankside.toml");
    let health = |config: &str| {
        fs::write(&path, config).unwrap();
        bankside(&["health", "-c", path.to_str().unwrap()], "").with(1).err
    };
    let bank = "[banks.b]\nlisten = \"127.0.0.1:0\"\nbase_url = \"https://bank.example\"\ngrant_type = \"fixed\"\n\
                token = { value = \"t\" }\ntls.client_certificate = false\n";
    let said = health(&format!("[admin]\nlisten = \"unix:{}/admin.sock\"\n{bank}", folder.path().display()));
    assert!(said.contains("admin.sock/livez"), "{said}");
    let said = health(&format!("[admin]\nlisten = \"off\"\n{bank}"));
    assert!(said.contains("admin.listen is off"), "{said}");
    // A broken edit, which a sidecar that runs survives.
    let said = health("[admin]\nlisten = \"unix:broken.sock\"\n[banks.b]\nlisten = 7\nwrong = \n");
    assert!(said.contains(&format!("{}/broken.sock/livez", folder.path().display())), "{said}");
}
