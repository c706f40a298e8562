use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// Enough of a file's metadata to see that it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileVersion(u64, u64, u64, i64, i64);

impl FileVersion {
    pub(super) fn of(metadata: &fs::Metadata) -> FileVersion {
        let m = metadata;
        FileVersion(m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec())
    }

    /// Its device and inode.
    pub(super) fn file(self) -> (u64, u64) {
        (self.0, self.1)
    }
}

/// A file that was written to within this time may still be written to.
const STILL_WRITTEN: Duration = Duration::from_secs(2);

/// Whether a file was changed a moment ago, or in the future of another machine's clock.
pub(super) fn is_young(metadata: &fs::Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_none_or(|age| age < STILL_WRITTEN)
}
