//! Floor 0, the words that every room speaks: names, secrets, tokens, time, chance, and the kinds of problems.

pub mod causes;
pub mod clock;
pub mod deadline;
pub mod hex;
pub mod kind;
pub mod name;
pub mod printable;
pub mod random;
pub mod secret;
pub mod token;

pub use causes::with_causes;
pub use clock::{Clock, ManualClock, Timestamp};
pub use deadline::Deadline;
pub use hex::Hex;
pub use kind::Kind;
pub use name::{BankName, GrantName, InvalidName};
pub use printable::printable;
pub use random::Random;
pub use secret::Secret;
pub use token::Token;
