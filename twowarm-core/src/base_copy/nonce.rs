use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable;
use crate::file_error::FileError;
use crate::identifiers::random_id;

const PREFIX: &str = ".twowarm-nonce-";

/// A file of a random name in the source's directories: a far node that finds it in a target has the
/// source itself before it. It is removed when this is dropped.
#[derive(Debug)]
pub struct Nonce {
    name: String,
    directories: Vec<PathBuf>,
}

/// The text is no nonce file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no nonce file's name")]
pub struct NonceError(pub String);

impl Nonce {
    /// Puts one into each directory, and removes what killed runs left there. The caller holds the
    /// source's lock, so no other run's is in use.
    pub fn create(directories: Vec<PathBuf>) -> Result<Nonce, FileError> {
        let name = format!("{PREFIX}{}", random_id()?);
        let mut nonce = Nonce { name, directories: Vec::new() };
        for directory in directories {
            remove_left_over(&directory)?;
            durable::create(&directory.join(&nonce.name), b"")?;
            nonce.directories.push(directory);
        }
        Ok(nonce)
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks a name that came from another node: it must be no path.
    pub fn check_name(name: &str) -> Result<(), NonceError> {
        if name.strip_prefix(PREFIX).is_some_and(are_random_digits) {
            Ok(())
        } else {
            Err(NonceError(name.to_owned()))
        }
    }

    /// Whether a directory holds the file of this name; what can't be looked at is an error.
    pub fn is_in(name: &str, directory: &Path) -> Result<bool, FileError> {
        match directory.join(name).symlink_metadata() {
            Ok(_) => Ok(true),
            Err(e)
                if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                Ok(false)
            }
            Err(e) => Err(FileError::of("look into", directory)(e)),
        }
    }
}

/// Whether a text has the form of those.
pub(super) fn are_random_digits(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Drop for Nonce {
    fn drop(&mut self) {
        for directory in &self.directories {
            let _ = fs::remove_file(directory.join(&self.name));
        }
    }
}

fn remove_left_over(directory: &Path) -> Result<(), FileError> {
    let entries = fs::read_dir(directory).and_then(|all| all.collect::<Result<Vec<_>, _>>());
    for entry in entries.map_err(FileError::of("list", directory))? {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            durable::remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_where_it_was_put_and_gone_afterwards() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(a.path().join(".twowarm-nonce-0123"), "").unwrap();
        let nonce = Nonce::create(vec![a.path().into()]).unwrap();
        Nonce::check_name(nonce.name()).unwrap();
        assert!(Nonce::is_in(nonce.name(), a.path()).unwrap());
        assert!(!Nonce::is_in(nonce.name(), b.path()).unwrap());
        assert!(!Nonce::is_in(nonce.name(), Path::new("/nowhere/at/all")).unwrap());
        drop(nonce);
        assert_eq!(fs::read_dir(a.path()).unwrap().count(), 0, "left-overs go too");
    }

    #[test]
    fn a_path_is_no_name() {
        for bad in ["", ".twowarm-nonce-", ".twowarm-nonce-../../etc/passwd", "x"] {
            assert!(Nonce::check_name(bad).is_err(), "{bad}");
        }
    }
}
