use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::wire::{Fields, Payload, WireError};
use crate::file_error::FileError;

/// How much of a file is read at a time, in bytes.
const BUFFER: usize = 256 * 1024;

/// The state and content of a file, by which a later state of the same name is recognized as unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// In bytes.
    size: u64,
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
    /// CRC-32 of the whole content. Size and times alone prove nothing: they can be the same after the file was
    /// written again.
    checksum: u32,
}

impl Fingerprint {
    /// A file's state now, with a checksum of 0.
    pub(super) fn state_of(path: &Path) -> Result<Fingerprint, FileError> {
        let found = std::fs::metadata(path).map_err(FileError::of("read", path))?;
        Ok(Fingerprint {
            size: found.len(),
            device: found.dev(),
            inode: found.ino(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            checksum: 0,
        })
    }

    pub(super) fn with_checksum(self, checksum: u32) -> Fingerprint {
        Fingerprint { checksum, ..self }
    }

    /// A file's state and content now.
    pub(super) fn of(path: &Path) -> Result<Fingerprint, FileError> {
        let state = Fingerprint::state_of(path)?;
        let checksum = checksum(path).map_err(FileError::of("read", path))?;
        Ok(state.with_checksum(checksum))
    }

    pub(super) fn write(&self, payload: Payload) -> Payload {
        let time = |payload: Payload, (seconds, nanos): (i64, i64)| {
            payload.u64(seconds.cast_unsigned()).u64(nanos.cast_unsigned())
        };
        let payload = payload.u64(self.size).u64(self.device).u64(self.inode);
        time(time(payload, self.modified), self.changed).u32(self.checksum)
    }

    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Fingerprint, WireError> {
        let time = |fields: &mut Fields<'_>| {
            Ok::<_, WireError>((fields.u64()?.cast_signed(), fields.u64()?.cast_signed()))
        };
        Ok(Fingerprint {
            size: fields.u64()?,
            device: fields.u64()?,
            inode: fields.u64()?,
            modified: time(fields)?,
            changed: time(fields)?,
            checksum: fields.u32()?,
        })
    }
}

fn checksum(path: &Path) -> io::Result<u32> {
    let mut file = File::open(path)?;
    let mut crc = crc32fast::Hasher::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(crc.finalize()),
            Ok(n) => crc.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
