//! The rules of token life, against a scripted bank and a real store, in exact time.

mod asked;
mod assertion;
mod damage;
mod edge;
mod failures;
mod foretell;
mod grants;
mod identity;
mod login;
mod processes;
mod registration;
mod renewal;
mod revocation;
mod schedule;
mod spending;
mod succession;
pub(super) mod support;
mod unauthorized;
