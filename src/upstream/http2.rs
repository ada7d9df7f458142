//! HTTP/2 to the bank (RFC 9113): many requests at once on a connection, which a task of its own drives.

mod answer;
mod connection;
mod driver;
mod exchange;
mod head;
mod io;
mod outgoing;

pub(super) use connection::{Handle, Lease, Status, open};
pub(super) use exchange::exchange;
