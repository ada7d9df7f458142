//! What the integration tests share: the simulated banks, the real program, a legacy app, and patience with a limit.
//!
//! [`world::World`] is the usual start: simulated banks in this process, and a folder with the configuration that they
//! write. [`program`] runs the built program as a user does, [`http`] is the app.

#![allow(dead_code, unreachable_pub, reason = "each target uses its own part of this")]

pub mod chance;
pub mod desk;
pub mod fault_proxy;
pub mod front;
pub mod http;
pub mod load;
pub mod narrow;
pub mod parts;
pub mod pki;
pub mod postgres;
pub mod program;
pub mod scripted;
pub mod seen;
pub mod softhsm;
pub mod tls_bank;
pub mod tools;
pub mod vault;
pub mod wait;
pub mod world;
