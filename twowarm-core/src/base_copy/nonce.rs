use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable;
use crate::file_error::FileError;
use crate::identifiers::random_id;

const PREFIX: &str = ".twowarm-nonce-";

/// A file with a random name in the source's directories. If the far end finds it in the target, the target
/// is the source itself. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Nonce {
    name: String,
    directories: Vec<PathBuf>,
}

/// The text is not the name of a nonce file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not the name of a nonce file")]
pub struct NonceError(pub String);

impl Nonce {
    /// Creates the file in each directory, and removes those of interrupted copies. The caller holds the
    /// lock of the source, so no other copy is running.
    pub(super) fn create(directories: Vec<PathBuf>) -> Result<Nonce, FileError> {
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
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Checks a name that another node sent: it must not be a path.
    pub(super) fn check_name(name: &str) -> Result<(), NonceError> {
        if name.strip_prefix(PREFIX).is_some_and(are_random_digits) {
            Ok(())
        } else {
            Err(NonceError(name.to_owned()))
        }
    }

    /// Whether a directory contains the file of this name.
    pub(super) fn is_in(name: &str, directory: &Path) -> Result<bool, FileError> {
        match directory.join(name).symlink_metadata() {
            Ok(_) => Ok(true),
            Err(e)
                if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                Ok(false)
            }
            Err(e) => Err(FileError::of("read", directory)(e)),
        }
    }
}

/// Whether a text is a random id.
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
    fn a_nonce_is_found_in_its_directories_until_it_is_dropped() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(a.path().join(".twowarm-nonce-0123"), "").unwrap();
        let nonce = Nonce::create(vec![a.path().into()]).unwrap();
        Nonce::check_name(nonce.name()).unwrap();
        assert!(Nonce::is_in(nonce.name(), a.path()).unwrap());
        assert!(!Nonce::is_in(nonce.name(), b.path()).unwrap());
        assert!(!Nonce::is_in(nonce.name(), Path::new("/nowhere/at/all")).unwrap());
        drop(nonce);
        assert_eq!(
            fs::read_dir(a.path()).unwrap().count(),
            0,
            "that of an interrupted copy is removed too"
        );
    }

    #[test]
    fn a_path_is_not_a_name() {
        for bad in ["", ".twowarm-nonce-", ".twowarm-nonce-../../etc/passwd", "x"] {
            assert!(Nonce::check_name(bad).is_err(), "{bad}");
        }
    }
}
