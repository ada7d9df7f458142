//! Floor 5, the data path: route, token, outgoing head, send, once more where that is safe, answer, problem.
//!
//! [`Proxy`] is one bank as one worker serves it. It knows no grant type and no connection: tokens come from `oauth`,
//! answers from `upstream`, requests from `inbound`.

#[doc(hidden)]
pub mod door;
mod event;
mod hop_fields;
mod hops;
mod incoming;
mod limits;
mod outgoing;
mod overrides;
mod pace;
mod path;
mod problem;
mod replay;
mod resend;
mod routes;
mod sending;
mod serve;
mod trailers;
mod uploads;

pub use limits::InFlight;
pub use routes::Routes;
pub use serve::{Proxy, Shared};
