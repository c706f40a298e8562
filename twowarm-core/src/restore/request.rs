use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::prune::RestartPoint;
use crate::wal::WalFileName;

/// What a server requests by its restore_command: `%f`, `%p` and, from 8.3 on, `%r`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRequest {
    /// The requested file (`%f`).
    pub name: WalFileName,
    /// Where to copy it (`%p`).
    pub target: PathBuf,
    /// The server's restart point (`%r`).
    pub restart_point: RestartPoint,
}

/// Why arguments are not a request of a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There are neither two nor three arguments.
    #[error("2 or 3 arguments expected (%f %p %r), not {0}")]
    Arguments(usize),
    /// The first one is not the name of a WAL file.
    #[error("{0}")]
    Name(String),
    /// PostgreSQL never requests such a file.
    #[error("PostgreSQL never requests {0}")]
    NeverRequested(WalFileName),
    /// The second one cannot be the path of a file.
    #[error("\"{}\" is not a file path", .0.display())]
    NotAFilePath(PathBuf),
    /// The directory of the target does not exist.
    #[error("\"{}\" is not a directory", .0.display())]
    NotADirectory(PathBuf),
}

impl RestoreRequest {
    /// The request in restore_command's arguments `%f %p %r`, or without a restart point `%f %p`.
    ///
    /// ```
    /// use twowarm_core::prune::RestartPoint;
    /// use twowarm_core::restore::RestoreRequest;
    ///
    /// let arguments = ["000000010000000000000042", "RECOVERYXLOG"].map(Into::into);
    /// let request = RestoreRequest::from_arguments(&arguments)?;
    /// assert_eq!(request.restart_point, RestartPoint::Absent);
    /// assert!(RestoreRequest::from_arguments(&["x".into(), "y".into()]).is_err());
    /// # Ok::<(), twowarm_core::restore::RequestError>(())
    /// ```
    ///
    /// # Errors
    /// If PostgreSQL does not call its restore_command so.
    pub fn from_arguments(arguments: &[OsString]) -> Result<RestoreRequest, RequestError> {
        let (name, target, restart) = match arguments {
            [name, target] => (name, target, None),
            [name, target, restart] => (name, target, Some(restart.to_string_lossy())),
            _ => return Err(RequestError::Arguments(arguments.len())),
        };
        let name = name.to_string_lossy().parse();
        let name: WalFileName = name.map_err(|e| RequestError::Name(format!("{e}")))?;
        if matches!(name, WalFileName::Partial(_)) {
            return Err(RequestError::NeverRequested(name));
        }
        let target = PathBuf::from(target);
        let directory = match target.parent() {
            Some(directory) if directory.as_os_str().is_empty() => Path::new("."),
            Some(directory) => directory,
            None => return Err(RequestError::NotAFilePath(target)),
        };
        if !directory.is_dir() {
            return Err(RequestError::NotADirectory(directory.to_owned()));
        }
        let restart_point = RestartPoint::parse(restart.as_deref());
        Ok(RestoreRequest { name, target, restart_point })
    }
}
