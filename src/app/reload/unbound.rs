//! An address that a reload cannot have, told at its line, and of whom.

use std::io;
use std::net::SocketAddr;

use crate::config::{Listen, Place, Problem, Problems};
use crate::inbound::listen::ListenError;
use crate::words::with_causes;

/// Why nothing can listen there, where the sidecar has these addresses.
pub(super) fn not_bound(place: &Place, listen: &Listen, error: &ListenError, held: &[(String, Listen)]) -> Problems {
    let own = held.iter().map(|(_, own)| own).find(|own| is_taken(error) && overlap(own, listen));
    let (reason, remedy) = match own {
        Some(own) => (
            format!("cannot listen on {listen}: this program itself holds {own}"),
            "restart the program for this change, or make it in two: first give that address up",
        ),
        None => (with_causes(error), "put it right, or restart the program with it"),
    };
    Problems(vec![Problem::error(place, reason, remedy)])
}

fn is_taken(error: &ListenError) -> bool {
    match error {
        ListenError::Bind { source, .. } => source.kind() == io::ErrorKind::AddrInUse,
        ListenError::Served(_) => true,
        ListenError::NotASocket(_) | ListenError::OpenToAll(_) | ListenError::Replaced(_) => false,
    }
}

/// Whether a listener on one keeps another one from the other.
fn overlap(one: &Listen, other: &Listen) -> bool {
    let is_any = |address: &SocketAddr| address.ip().is_unspecified();
    match (one, other) {
        (Listen::Tcp(one), Listen::Tcp(other)) => {
            one.port() == other.port() && (one.ip() == other.ip() || is_any(one) || is_any(other))
        }
        (Listen::Unix(one), Listen::Unix(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_the_way_of_itself_and_of_every_address_with_its_port() {
        let tcp = |address: &str| Listen::Tcp(address.parse().unwrap());
        for (one, other, expected) in [
            (tcp("127.0.0.1:80"), tcp("127.0.0.1:80"), true),
            (tcp("127.0.0.1:80"), tcp("127.0.0.2:80"), false),
            (tcp("127.0.0.1:80"), tcp("127.0.0.1:81"), false),
            (tcp("127.0.0.1:80"), tcp("0.0.0.0:80"), true),
            (tcp("[::]:80"), tcp("127.0.0.1:80"), true),
            (Listen::Unix("a".into()), Listen::Unix("a".into()), true),
            (Listen::Unix("a".into()), tcp("127.0.0.1:80"), false),
        ] {
            assert_eq!(overlap(&one, &other), expected, "{one} {other}");
        }
    }
}
