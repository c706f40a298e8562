use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Postmaster;
use super::process::works_in;
use crate::file_error::{FileError, if_exists};

/// What a running server writes about itself into `postmaster.pid`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PidFile {
    /// The postmaster's process id.
    pub pid: i32,
    /// When the postmaster started, in seconds since 1970; from 9.1 on.
    pub started: Option<u64>,
    /// The port number; from 9.1 on.
    pub port: Option<u16>,
    /// The directory of the first Unix-domain socket, if there is one; from 9.1 on.
    pub socket_directory: Option<PathBuf>,
    /// The first address that the server listens on, if it does; from 9.1 on.
    pub listen_address: Option<String>,
    /// `starting`, `standby`, `ready` or `stopping`; from 10 on.
    pub status: Option<String>,
}

impl PidFile {
    /// Parses the file's text; `None` if it does not begin with a process id.
    #[must_use]
    pub fn parse(text: &str) -> Option<PidFile> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        // A single-user server writes its process id with a minus sign.
        let pid = lines.first()?.parse::<i32>().ok()?.checked_abs()?;
        // Through 9.0 there are three lines, and the third holds the shared memory keys.
        let line = |n: usize| lines.get(n).copied().filter(|l| lines.len() >= 5 && !l.is_empty());
        Some(PidFile {
            pid,
            started: lines.get(2).and_then(|line| line.parse().ok()),
            port: line(3).and_then(|port| port.parse().ok()),
            socket_directory: line(4).map(PathBuf::from),
            listen_address: line(5).map(str::to_owned),
            status: lines.get(7).map(|&status| status.to_owned()),
        })
    }

    /// Whether the server is shutting down; from 10 on.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.status.as_deref() == Some("stopping")
    }

    /// Reads the file of a data directory; `None` if there is none.
    ///
    /// # Errors
    /// If the file can't be read or does not begin with a process id.
    pub fn read(data_directory: &Path) -> Result<Option<PidFile>, FileError> {
        let file = data_directory.join("postmaster.pid");
        let text = if_exists(fs::read_to_string(&file)).map_err(FileError::of("read", &file))?;
        let Some(text) = text else { return Ok(None) };
        // The server itself refuses to start on such a file.
        let invalid =
            || io::Error::new(io::ErrorKind::InvalidData, "it does not begin with a process id");
        PidFile::parse(&text).map(Some).ok_or_else(|| FileError::of("parse", &file)(invalid()))
    }
}

/// The server that runs in a data directory, if one does. The file that a crash left behind names a process
/// that no longer exists, or one that now belongs to another program.
///
/// # Errors
/// As [`PidFile::read`].
pub fn running_server(data_directory: &Path) -> Result<Option<PidFile>, FileError> {
    let Some(found) = PidFile::read(data_directory)? else { return Ok(None) };
    let is_running = Postmaster::of(data_directory).is_running()
        && works_in(found.pid, data_directory).unwrap_or(true);
    Ok(is_running.then_some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_every_version_is_read() {
        let found = PidFile::parse("123\n/d\n1700000000\n5433\n/run\nlocalhost\n  1 2\nready   \n");
        let expected = PidFile {
            pid: 123,
            started: Some(1_700_000_000),
            port: Some(5433),
            socket_directory: Some("/run".into()),
            listen_address: Some("localhost".into()),
            status: Some("ready".into()),
        };
        assert_eq!(found, Some(expected));
        let old = PidFile::parse("-77\n/data\n  5432001 98304\n").unwrap();
        assert_eq!((old.pid, old.started, old.port), (77, None, None));
        assert_eq!(PidFile::parse("pid"), None);
        assert_eq!(PidFile::parse(""), None);
    }

    #[test]
    fn a_living_process_in_another_directory_is_not_a_server_of_this_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("postmaster.pid");
        assert_eq!(running_server(dir.path()).unwrap(), None);
        fs::write(&file, format!("{}\n", std::process::id())).unwrap();
        assert_eq!(running_server(dir.path()).unwrap(), None);
        fs::write(&file, "nonsense").unwrap();
        assert!(running_server(dir.path()).is_err());
    }
}
