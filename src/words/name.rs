//! Names of banks and grants: short, printable, safe in a path, a log line and a header field.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {what} starts with a letter or digit and holds at most {most} of: letters, digits, {others}")]
pub struct InvalidName {
    what: &'static str,
    most: usize,
    others: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $most:literal, $others:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
                let goes_on_well = text.chars().all(|c| c.is_ascii_alphanumeric() || $others.contains(c));
                if starts_well && goes_on_well && text.len() <= $most {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName { what: $what, most: $most, others: $others })
                }
            }
        }

        /// So that a map with names as keys is asked with a plain text.
        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name!(
    /// A bank's name: the `NAME` of `[banks.NAME]`.
    BankName,
    "bank's name",
    64,
    "-_"
);

name!(
    /// A grant's name within its bank: `default`, or what `Bankside-Grant` and `[grants.NAME]` say.
    GrantName,
    "grant's name",
    128,
    "-_.:@+"
);

impl Default for GrantName {
    /// The grant that a request uses when nothing names another one.
    fn default() -> Self {
        // Most requests ask for it.
        static DEFAULT: LazyLock<GrantName> = LazyLock::new(|| GrantName("default".into()));
        DEFAULT.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_letters_digits_and_a_few_marks_are_taken() {
        for good in ["default", "a", "9", "aisp", "customer-42", "anna.k@example.com", &"x".repeat(128)] {
            assert_eq!(good.parse::<GrantName>().expect("a good name").as_str(), good);
        }
    }

    #[test]
    fn names_that_could_be_mistaken_for_something_else_are_refused() {
        for bad in ["", ".", "..", "-x", "a/b", "a b", "a\r\nb", "ä", "a%2f", &"x".repeat(129)] {
            assert!(bad.parse::<GrantName>().is_err(), "{bad:?}");
        }
        assert!("example.bank".parse::<BankName>().is_err());
    }
}
