use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::wire::{Fields, Payload, WireError};
use crate::file_error::FileError;

/// How much of a file is read at a time, in bytes.
const BUFFER: usize = 256 * 1024;

/// A file that was last changed this long ago gets another time of change when it is written again, also on file
/// systems that record full or even seconds only. The kernel sets that time; a program can't.
const SETTLED: Duration = Duration::from_secs(3);

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
    /// CRC-32 of the whole content, if it was computed. Of a file that was changed a moment ago the times prove
    /// nothing: they can be the same after it was written again.
    checksum: Option<u32>,
}

impl Fingerprint {
    /// A file's state now, without the checksum.
    pub(super) fn state_of(path: &Path) -> Result<Fingerprint, FileError> {
        let found = std::fs::metadata(path).map_err(FileError::of("read", path))?;
        Ok(Fingerprint {
            size: found.len(),
            device: found.dev(),
            inode: found.ino(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            checksum: None,
        })
    }

    pub(super) fn with_checksum(self, checksum: u32) -> Fingerprint {
        Fingerprint { checksum: Some(checksum), ..self }
    }

    /// Whether a file that is written after this state was read has another time of change.
    pub(super) fn is_settled(&self) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or(u64::MAX);
        let changed = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let age = changed.and_then(|changed| SystemTime::now().duration_since(changed).ok());
        age.is_some_and(|age| age > SETTLED)
    }

    /// Whether only the checksum of the other one is missing to tell that they are equal.
    pub(super) fn needs_checksum_of(&self, other: &Fingerprint) -> bool {
        let without = Fingerprint { checksum: None, ..*self };
        self.checksum.is_some() && *other == without
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
        time(time(payload, self.modified), self.changed)
            .u8(self.checksum.is_some().into())
            .u32(self.checksum.unwrap_or_default())
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
            checksum: {
                let is_known = fields.u8()? == 1;
                Some(fields.u32()?).filter(|_| is_known)
            },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_just_written_is_recognized_by_its_checksum_only() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let state = Fingerprint::state_of(file.path()).unwrap();
        assert!(!state.is_settled());
        let known = Fingerprint::of(file.path()).unwrap();
        assert!(known != state && known.needs_checksum_of(&state));
        let other = Fingerprint { inode: state.inode + 1, ..state };
        assert!(!known.needs_checksum_of(&other) && !state.needs_checksum_of(&state));
    }

    #[test]
    fn a_file_is_settled_three_seconds_after_its_last_change() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        let state = Fingerprint::state_of("/proc/self/exe".as_ref()).unwrap();
        let changed = |seconds| Fingerprint { changed: (seconds, 0), ..state }.is_settled();
        assert!(changed(0) && changed(now - 60));
        // Also a clock that was set back.
        assert!(!changed(now) && !changed(now + 60) && !changed(i64::MAX) && !changed(-1));
    }
}
