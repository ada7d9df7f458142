//! What a connection to an app is: bytes both ways, and a way to break off.

use std::io;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A connection to an app.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Sees to it that closing looks like a failure to the app, not like an orderly end, where that can be told apart.
    fn break_off(&self) {}

    /// Whether it can.
    fn can_break_off(&self) -> bool {
        false
    }

    /// Takes [`break_off`](Self::break_off) back.
    fn end_in_order(&self) {}

    /// Writes what the system has room for, be it little: it says that there is room only when there is much.
    fn push(&self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Stream for TcpStream {
    fn break_off(&self) {
        // Closing with a linger time of 0 sends RST. If it cannot be set, the app gets the orderly end after all.
        let _ = self.set_zero_linger();
    }

    fn can_break_off(&self) -> bool {
        true
    }

    fn end_in_order(&self) {
        // If it cannot be taken back, the app gets the failure after all.
        let _ = SockRef::from(self).set_linger(None);
    }

    fn push(&self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(self).send(bytes)
    }
}

impl Stream for UnixStream {
    fn push(&self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(self).send(bytes)
    }
}
