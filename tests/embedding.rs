//! The library inside another program.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::net::{SocketAddr, TcpStream};

use bankside::config::{Listen, ProcessEnvironment};
use bankside::{App, Config, Running};

use support::desk::{Desk, get};

/// The address of this bank's only listener.
fn address_of(bank: &str, sidecar: &Running) -> SocketAddr {
    let listeners = sidecar.listeners();
    let (_, listen) = listeners.iter().find(|(name, _)| name == bank).expect("the bank is listened for");
    match listen {
        Listen::Tcp(address) => *address,
        Listen::Unix(path) => panic!("a TCP listener, not {}", path.display()),
    }
}

#[test]
fn an_app_made_from_a_configuration_serves_in_another_program_until_it_is_stopped() {
    let desk = Desk::new();
    desk.login("icard", "default");
    let config = Config::load(&desk.0.config, &ProcessEnvironment).expect("it is valid");
    let sidecar = App::new(config).expect("it is sound").start().expect("it starts");

    let address = address_of("icard", &sidecar);
    let (status, answer) = get(address, "/v1/accounts", "");
    assert_eq!(status, 200, "{answer}");

    sidecar.stop();
    TcpStream::connect(address).expect_err("nobody listens any more");
}
