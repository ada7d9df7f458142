//! What stands in a configuration's file, whether the whole of it can be used or not.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::{Bank, Config, Place};

/// No configuration is longer.
const MOST: u64 = 1 << 20;

/// The text of a configuration's file.
pub struct Written(Zeroizing<String>);

impl Written {
    /// Reads the file; `None` if that cannot be done.
    pub fn read(file: &Path) -> Option<Self> {
        let mut text = Zeroizing::new(String::new());
        File::open(file).ok()?.take(MOST).read_to_string(&mut text).ok()?;
        Some(Self(text))
    }

    /// The text that a key has as its value.
    pub fn text(&self, keys: &[&str]) -> Option<String> {
        self.find(keys, |value| value.get_ref().as_str().map(str::to_owned)).flatten()
    }

    /// The line, from 1, in which a key's value begins.
    pub fn line(&self, keys: &[&str]) -> Option<usize> {
        let at = self.find(keys, |value| value.span().start)?;
        Some(self.0.get(..at)?.matches('\n').count() + 1)
    }

    /// Errors of syntax elsewhere are passed over.
    fn find<T>(&self, keys: &[&str], take: impl FnOnce(&Spanned<DeValue<'_>>) -> T) -> Option<T> {
        let (table, _) = DeTable::parse_recoverable(&self.0);
        let (last, tables) = keys.split_last()?;
        let inner = tables.iter().try_fold(table.get_ref(), |table, key| table.get(*key)?.get_ref().as_table());
        inner?.get(*last).map(take)
    }
}

/// A key's place in its own line, where the file has such a line: otherwise in that of its table.
pub fn in_its_line(place: Place, keys: &[&str]) -> Place {
    let line = Written::read(&place.file).and_then(|written| written.line(keys));
    Place { line: line.unwrap_or(place.line), ..place }
}

/// Where it stands what the bank, or the operator's side, listens on.
pub fn place_of_listen(config: &Config, bank: Option<&Bank>) -> Place {
    let Some(bank) = bank else {
        let place = Place { file: Arc::new(config.file.clone()), line: 1, key: "admin.listen".into() };
        return in_its_line(place, &["admin", "listen"]);
    };
    in_its_line(bank.place.child("listen"), &["banks", bank.name.as_str(), "listen"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_beside_whatever_is_wrong() {
        let text = "wrong = \n[admin]\n\nlisten = \"127.0.0.1:9191\"\n[banks.\"a b\"]\nlisten = [\n\"x\"]\noops";
        let written = Written(text.to_owned().into());
        assert_eq!(written.text(&["admin", "listen"]).as_deref(), Some("127.0.0.1:9191"));
        assert_eq!(written.line(&["admin", "listen"]), Some(4));
        assert_eq!(written.line(&["banks", "a b", "listen"]), Some(6));
        assert_eq!((written.text(&["banks", "b"]), written.line(&["admin", "listen", "x"])), (None, None));
    }
}
