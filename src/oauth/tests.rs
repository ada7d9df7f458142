//! The rules of token life, against a scripted bank and a real store, in exact time.

mod edge;
mod failures;
mod foretell;
mod grants;
mod login;
mod processes;
mod renewal;
mod schedule;
mod succession;
pub(super) mod support;
mod unauthorized;
