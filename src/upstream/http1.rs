//! HTTP/1.1 to the bank: one request at a time on a connection, driven by whoever waits for the answer.

mod answer;
mod connection;
mod exchange;
mod framing;
mod outgoing;

pub(super) use connection::Connection;
pub(super) use exchange::exchange;
