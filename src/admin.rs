//! Floor 6, the operator's side: health, metrics, and the page that a browser sees when it comes back from a bank.

pub mod callback;
mod health;
mod server;

pub use callback::LoopbackCallback;
pub use server::{AdminBank, AdminState, ReloadReport, View, serve};
