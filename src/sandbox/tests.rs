//! The simulated banks as a client meets them: over their real listeners.

mod assertion;
mod client;
mod cnb;
mod control;
mod files;
mod icard;
mod tls;
