//! The HTTP/1.1 codec (RFC 9112) without I/O: heads, framing, chunks.

pub mod chunked;
pub mod framing;
pub mod head;
