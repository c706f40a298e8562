use std::fs;
use std::io;
use std::path::{Path, PathBuf};
#[cfg(feature = "server")]
use std::{
    thread,
    time::{Duration, Instant},
};

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
    /// The key and the identifier of the server's block of System V shared memory, as the kernel prints them.
    pub shared_memory: Option<(i64, i64)>,
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
            shared_memory: lines
                .get(if lines.len() >= 5 { 6 } else { 2 })
                .and_then(|line| two(line)),
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

/// Whether processes of a server whose postmaster was killed still run: they may still write. As the server does before
/// it starts, this looks for processes that are attached to its shared memory.
///
/// # Errors
/// As [`PidFile::read`], and if the kernel's list of shared memory can't be read.
pub fn has_orphans(data_directory: &Path) -> Result<bool, FileError> {
    let file = PidFile::read(data_directory)?;
    let Some(block) = file.and_then(|file| file.shared_memory) else { return Ok(false) };
    let list = Path::new("/proc/sysvipc/shm");
    let text = if_exists(fs::read_to_string(list)).map_err(FileError::of("read", list))?;
    Ok(text.is_some_and(|text| is_attached(&text, block)))
}

/// Waits until no process of a server whose postmaster was killed is left, or for this long.
#[cfg(feature = "server")]
pub(crate) fn wait_for_orphans(data_directory: &Path, limit: Duration) -> Result<(), FileError> {
    let begun = Instant::now();
    while begun.elapsed() < limit
        && running_server(data_directory)?.is_none()
        && has_orphans(data_directory)?
    {
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Whether a process is attached to a block, by `/proc/sysvipc/shm`: key, shmid, perms, size, cpid, lpid, nattch and more.
fn is_attached(list: &str, block: (i64, i64)) -> bool {
    list.lines().skip(1).any(|line| {
        let attached = line.split_whitespace().nth(6);
        two(line) == Some(block) && attached.is_some_and(|count| count != "0")
    })
}

fn two(line: &str) -> Option<(i64, i64)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
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
            shared_memory: Some((1, 2)),
            status: Some("ready".into()),
        };
        assert_eq!(found, Some(expected));
        let old = PidFile::parse("-77\n/data\n  5432001 98304\n").unwrap();
        assert_eq!((old.pid, old.started, old.port), (77, None, None));
        assert_eq!(old.shared_memory, Some((5_432_001, 98_304)));
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

    #[test]
    fn processes_of_a_killed_server_are_attached_to_its_shared_memory() {
        let list = "       key      shmid perms  size  cpid  lpid nattch  uid\n\
            \x20  5432001      98304   600    56 20877 20877      0  101\n\
            \x20  5433001      98305   600    56 11865 24072      4  101\n";
        assert!(is_attached(list, (5_433_001, 98_305)));
        assert!(!is_attached(list, (5_432_001, 98_304)), "none is left");
        assert!(!is_attached(list, (5_433_001, 98_304)), "another server's");
    }
}
