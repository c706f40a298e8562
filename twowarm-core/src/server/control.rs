use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::ServerError;
use crate::file_error::FileError;
use crate::wal::ControlFile;

/// How often, and how far apart, a pg_control with a wrong checksum is read again: a running server may
/// be writing it, and not every file system gives a reader all or nothing.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// The data directory's pg_control and all of the file's bytes, whose checksum has been found right; none
/// if it has none.
pub fn read_control_bytes(pgdata: &Path) -> Result<Option<(ControlFile, Vec<u8>)>, ServerError> {
    let path = pgdata.join("global/pg_control");
    let mut tries = 0;
    loop {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FileError::of("read", &path)(e).into()),
        };
        tries += 1;
        match ControlFile::parse(&bytes) {
            Ok(control) => return Ok(Some((control, bytes))),
            Err(error) if error.is_retryable() && tries < TRIES => thread::sleep(PAUSE),
            Err(error) => return Err(ServerError::Control { path, error }),
        }
    }
}
