//! HTTP/2 to the bank (RFC 9113): many requests at once on a connection, which a task of its own drives.
//!
//! The protocol is our own, and not a library's: what a turn has to say leaves in one write, a head is written once and
//! read once, and it is known of each request whether any byte of it was handed to the socket.

mod answer;
mod connection;
mod driver;
mod exchange;
#[cfg(fuzzing)]
pub mod fuzzing;
mod head;
mod machine;
mod outgoing;
mod stream;

pub(super) use connection::{Connection, Handle, Lease, open};
pub(super) use exchange::exchange;
