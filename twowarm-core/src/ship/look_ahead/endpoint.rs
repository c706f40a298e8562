use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;
use nix::sys::stat::{Mode, umask};

use crate::data_directory::lock_directory;

/// The socket by which calls find the process that ships ahead.
#[derive(Debug)]
pub(super) struct Endpoint<'a> {
    directory: &'a Path,
}

/// The socket of this process, which serves calls as the only one. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// The lock, which ends with the process.
    _directory: Flock<File>,
}

const NAME: &str = "look_ahead";

impl<'a> Endpoint<'a> {
    pub(super) fn of(directory: &'a Path) -> Endpoint<'a> {
        Endpoint { directory }
    }

    /// Connects to the process, if there is one.
    pub(super) fn connect(&self) -> io::Result<UnixStream> {
        // Usually there is none.
        fs::symlink_metadata(self.directory.join(NAME))?;
        let directory = File::open(self.directory)?;
        UnixStream::connect(short_path(&directory))
    }

    /// Serves calls, unless another process does.
    pub(super) fn serve(&self) -> io::Result<Served> {
        let directory = lock_directory(self.directory).map_err(io::Error::other)?;
        let path = self.directory.join(NAME);
        // The socket of a process that was killed.
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let before = umask(Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(short_path(&directory));
        umask(before);
        let listener = listener?;
        listener.set_nonblocking(true)?;
        Ok(Served { listener, path, _directory: directory })
    }
}

/// The address of a socket has at most 108 bytes.
fn short_path(directory: &File) -> PathBuf {
    format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()).into()
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_process_serves_in_a_directory_with_a_long_path() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("d".repeat(200));
        fs::create_dir(&long).unwrap();
        let endpoint = Endpoint::of(&long);
        assert!(endpoint.connect().is_err());
        // As after a kill.
        fs::write(long.join(NAME), "").unwrap();
        assert!(endpoint.connect().is_err());
        let served = endpoint.serve().unwrap();
        let mode = fs::metadata(long.join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(endpoint.serve().is_err(), "another one serves");
        endpoint.connect().unwrap();
        assert!(served.listener.accept().is_ok());
        drop(served);
        assert!(!long.join(NAME).exists());
        assert!(endpoint.serve().is_ok());
    }
}
