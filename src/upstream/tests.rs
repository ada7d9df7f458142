//! Clients against banks on loopback that follow a script.

mod bank;
mod http1;
mod http1_bodies;
mod http1_silence;
mod http2;
mod http2_bodies;
mod http2_ends;
mod http2_limits;
mod http2_silence;
mod large_answers;
mod pool_failures;
mod pool_limits;
mod pool_shares;
mod pools;
mod raw;
mod refusals;
mod worn;
