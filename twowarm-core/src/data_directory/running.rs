use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Postmaster;
use crate::file_error::FileError;

/// What a running server writes about itself into `postmaster.pid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningServer {
    /// The postmaster's process id.
    pub pid: i32,
    /// The port in the socket's name; from 9.1 on.
    pub port: Option<u16>,
    /// The directory of its first socket; from 9.1 on, if it has one.
    pub socket_directory: Option<PathBuf>,
    /// The first address it listens on; from 9.1 on, if it does.
    pub listen_address: Option<String>,
}

impl RunningServer {
    /// Reads the file's text; none if it does not begin with a process id.
    pub fn parse(text: &str) -> Option<RunningServer> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        // A stand-alone backend writes its number with a minus.
        let pid = lines.first()?.parse::<i32>().ok()?.checked_abs()?;
        // Through 9.0 there are three lines, the last with shared memory's keys.
        let line = |n: usize| lines.get(n).copied().filter(|l| lines.len() >= 5 && !l.is_empty());
        Some(RunningServer {
            pid,
            port: line(3).and_then(|port| port.parse().ok()),
            socket_directory: line(4).map(PathBuf::from),
            listen_address: line(5).map(str::to_owned),
        })
    }

    /// The server that runs in this data directory, if one does. A file that a crash left behind names
    /// a process that is gone, or one that by now is somebody else's.
    pub fn find(pgdata: &Path) -> Result<Option<RunningServer>, FileError> {
        let file = pgdata.join("postmaster.pid");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FileError::of("read", &file)(e)),
        };
        // The server itself refuses to start on a file that it can't read.
        let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "it holds no process id");
        let found = RunningServer::parse(&text)
            .ok_or_else(|| FileError::of("make sense of", &file)(unreadable()))?;
        let alive =
            Postmaster::of(pgdata).is_running() && stands_in(found.pid, pgdata).unwrap_or(true);
        Ok(alive.then_some(found))
    }
}

/// Whether a process stands in this directory, as all processes of its server do; none where that can't be
/// seen. One that is not there may be another machine's.
pub(crate) fn stands_in(pid: i32, pgdata: &Path) -> Option<bool> {
    let id = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    match id(Path::new(&format!("/proc/{pid}/cwd"))) {
        Ok(directory) => Some(id(pgdata).is_ok_and(|wanted| wanted == directory)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Path::new("/proc/self").exists().then_some(false)
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_the_file_is_read() {
        let found =
            RunningServer::parse("123\n/d\n1700000000\n5433\n/run\nlocalhost\n  1 2\nready\n");
        let expected = RunningServer {
            pid: 123,
            port: Some(5433),
            socket_directory: Some("/run".into()),
            listen_address: Some("localhost".into()),
        };
        assert_eq!(found, Some(expected));
        let old = RunningServer::parse("-77\n/data\n  5432001 98304\n").unwrap();
        assert_eq!((old.pid, old.port), (77, None));
        assert_eq!(RunningServer::parse("pid"), None);
        assert_eq!(RunningServer::parse(""), None);
    }

    #[test]
    fn a_living_process_elsewhere_is_no_server_of_this_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("postmaster.pid");
        assert_eq!(RunningServer::find(dir.path()).unwrap(), None);
        fs::write(&file, format!("{}\n", std::process::id())).unwrap();
        assert_eq!(RunningServer::find(dir.path()).unwrap(), None);
        let here = std::env::current_dir().unwrap();
        let me = std::process::id() as i32;
        assert_eq!(stands_in(me, &here), Some(true));
        assert_eq!(stands_in(me, dir.path()), Some(false));
        assert_eq!(stands_in(i32::MAX, &here), Some(false), "of another machine");
        fs::write(&file, "nonsense").unwrap();
        assert!(RunningServer::find(dir.path()).is_err());
    }
}
