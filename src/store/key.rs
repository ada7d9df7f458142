//! The key file, made where it is missing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::words::{Random, Secret};

use super::StoreError;

/// The key in the file, if the file is there.
pub(super) fn read(path: &Path) -> Result<Option<Secret>, StoreError> {
    match fs::read(path) {
        Ok(text) => Ok(Some(Secret::new(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::File { what: "reading the key file", path: path.to_owned(), source }),
    }
}

/// Makes a key and gives back what the file then holds: of several processes that make one, all get the same.
pub(super) fn make(path: &Path, random: &Random) -> Result<Secret, StoreError> {
    let failed = |source| StoreError::File { what: "making the key file", path: path.to_owned(), source };
    // Written in full under a name of its own and then linked: whoever sees the file sees a whole key.
    let draft = path.with_file_name(format!(".bankside-key-{}", random.uuid()));
    let made = write(&draft, random).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&draft);
    made.and(removed).and_then(|()| sync_directory(path)).map_err(failed)?;
    read(path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

fn write(draft: &Path, random: &Random) -> io::Result<()> {
    let key = Zeroizing::new(random.bytes::<32>());
    let text = Zeroizing::new(STANDARD.encode(*key) + "\n");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Makes the file's name durable: without it, a crash could leave sealed values and no key.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_file_holds_32_bytes_in_base64_and_only_the_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bankside.key");
        let key = make(&path, &Random::system()).unwrap();
        assert_eq!(STANDARD.decode(key.expose().trim_ascii()).unwrap().len(), 32);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn all_who_make_the_key_at_once_get_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bankside.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..16).map(|_| scope.spawn(|| make(&path, &Random::system()).unwrap())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key.matches(keys[0].expose())));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_is_there_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bankside.key");
        fs::write(&path, "mine").unwrap();
        assert!(make(&path, &Random::system()).unwrap().matches(b"mine"));
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_with_the_files_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("absent/bankside.key");
        assert!(read(&path).unwrap().is_none());
        assert!(make(&path, &Random::system()).unwrap_err().to_string().contains("absent/bankside.key"));
    }
}
