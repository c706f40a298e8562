use std::io;
use std::path::{Path, PathBuf};

/// An operation on a file that failed: what was tried, on which file, and why.
///
/// # Errors of this crate
///
/// The rule for all error types here: the message (`Display`) is complete, in one line, and includes the
/// cause; [`source`](std::error::Error::source) is `None`. So `{error}` prints a cause once, and so does a
/// program that walks the chain of sources. The cause is a public field (here [`error`](FileError::error))
/// for callers that need more than the message. It must not be named `source` or marked `#[source]` or
/// `#[from]`, except in a variant that is `#[error(transparent)]`.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} \"{}\": {error}", path.display())]
pub struct FileError {
    /// What was tried, as a verb: "read", "create", "fsync the directory".
    pub doing: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The error of the operating system.
    pub error: io::Error,
}

impl FileError {
    /// For `map_err`: `File::open(path).map_err(FileError::of("open", path))`.
    pub fn of<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> FileError {
        move |error| FileError { doing, path: path.to_owned(), error: error.into() }
    }

    /// The kind of the operating system's error.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }
}

/// `None` if there is no such file.
pub(crate) fn if_exists<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error =
            FileError::of("read", Path::new("/a/b"))(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(error.to_string(), "could not read \"/a/b\": entity not found");
        assert!(error.source().is_none());
    }
}
