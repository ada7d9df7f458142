//! The promises of serving, each tried from an app's side with raw bytes, in a time that only moves when all wait.

mod ends;
mod framing;
mod http2;
mod requests;
mod support;
mod uploads;
