//! An address that a reload cannot have, told at its line, and of whom.

use std::io;

use crate::config::{Listen, Place, Problem, Problems};
use crate::inbound::listen::ListenError;
use crate::words::with_causes;

/// Why nothing can listen there, where the sidecar has these addresses.
pub(super) fn not_bound(place: &Place, listen: &Listen, error: &ListenError, held: &[(String, Listen)]) -> Problems {
    let own = held.iter().map(|(_, own)| own).find(|own| is_taken(error) && own.clashes_with(listen));
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
