//! Trigger files, by which an administrator orders a waiting standby to end recovery.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::durable;
use crate::file_error::FileError;
use crate::wal::{SegmentName, SegmentPlace};

/// What a trigger file orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// Replay what has arrived, then end recovery: an empty file, or one that begins with "smart".
    Smart,
    /// End recovery now: a file that begins with "fast".
    Fast,
    /// `fast NAME`: recovery was ordered to end before this segment. Earlier segments are restored again
    /// when the server requests them once more; this one and later ones are not.
    FastFrom(SegmentName),
    /// Anything else, which is ignored: the beginning of the content.
    Unknown(String),
}

impl Trigger {
    /// Parses a trigger file's content as pg_standby from 8.4 on does, and `fast NAME`.
    #[must_use]
    pub fn parse(content: &[u8]) -> Trigger {
        let name = |rest: &[u8]| std::str::from_utf8(rest).ok()?.trim().parse().ok();
        if content.is_empty() || content.starts_with(b"smart") {
            Trigger::Smart
        } else if let Some(rest) = content.strip_prefix(b"fast") {
            match rest.strip_prefix(b" ").and_then(name) {
                Some(name) => Trigger::FastFrom(name),
                None => Trigger::Fast,
            }
        } else {
            let text = String::from_utf8_lossy(&content[..content.len().min(40)]);
            Trigger::Unknown(text.trim_end().escape_default().to_string())
        }
    }

    /// Whether this segment may be restored under the trigger. Under a fast one: whether it was restored
    /// before recovery was ordered to end.
    #[must_use]
    pub fn may_restore(&self, place: SegmentPlace) -> bool {
        match self {
            Trigger::Fast => false,
            Trigger::FastFrom(first_refused) => place < first_refused.place,
            Trigger::Smart | Trigger::Unknown(_) => true,
        }
    }
}

/// Whether a process may still be writing to a file, as far as events have shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Writing {
    /// There were no events.
    #[default]
    Unseen,
    /// It was created, and has not been closed.
    Open,
    /// It was closed after writing, or renamed into place.
    Closed,
}

/// The state of a trigger file.
#[derive(Debug)]
pub enum TriggerLook {
    /// It does not exist.
    Absent,
    /// It is empty, and may have been created a moment ago by a process that is about to write "fast" to
    /// it: look again soon.
    Unsettled,
    /// It is complete.
    Complete(Trigger),
    /// It exists and cannot be read.
    Unreadable(FileError),
}

/// An empty trigger file is taken for complete when it is this old. A shell needs microseconds between
/// creating or truncating it and writing to it, unless the machine is busy.
const SETTLED: Duration = Duration::from_millis(250);
/// The same for one that was seen to be closed: no process writes to it any more, unless it has just
/// truncated it again.
const SETTLED_AND_CLOSED: Duration = Duration::from_millis(50);
/// The same for one that was seen to be created but not closed: a hard link is never closed.
const SETTLED_THOUGH_OPEN: Duration = Duration::from_secs(2);

/// A trigger file, by its path.
#[derive(Debug)]
pub struct TriggerFile {
    path: PathBuf,
    /// Since when the file has been seen empty. File systems may have another clock.
    empty_since: Option<Instant>,
}

impl TriggerFile {
    /// The trigger file with this path, which need not exist.
    #[must_use]
    pub fn new(path: &Path) -> TriggerFile {
        TriggerFile { path: path.to_owned(), empty_since: None }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its state. `writing` is what events have shown.
    pub fn look(&mut self, writing: Writing) -> TriggerLook {
        let read = || -> io::Result<(Vec<u8>, SystemTime)> {
            let mut file = File::open(&self.path)?;
            let mut content = Vec::new();
            (&mut file).take(4096).read_to_end(&mut content)?;
            Ok((content, file.metadata()?.modified()?))
        };
        match read() {
            Ok((content, _)) if !content.is_empty() => {
                self.empty_since = None;
                TriggerLook::Complete(Trigger::parse(&content))
            }
            Ok((_, modified)) => self.empty(writing, modified),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.empty_since = None;
                TriggerLook::Absent
            }
            Err(e) => {
                TriggerLook::Unreadable(FileError::of("read the trigger file", &self.path)(e))
            }
        }
    }

    fn empty(&mut self, writing: Writing, modified: SystemTime) -> TriggerLook {
        let enough = match writing {
            Writing::Closed => SETTLED_AND_CLOSED,
            Writing::Unseen => SETTLED,
            Writing::Open => SETTLED_THOUGH_OPEN,
        };
        let seen_empty = self.empty_since.get_or_insert_with(Instant::now).elapsed();
        let age = modified.elapsed().unwrap_or(Duration::ZERO);
        if age.max(seen_empty) >= enough {
            TriggerLook::Complete(Trigger::Smart)
        } else {
            TriggerLook::Unsettled
        }
    }

    /// Records in a fast trigger the first segment that was refused. The file is overwritten in place: this
    /// also works for a file in `/tmp` of another user, and leaves no second file behind; a partial write
    /// still begins with "fast". If the file is not writable (root created it in the data directory), it
    /// is replaced.
    ///
    /// # Errors
    /// If the file can be neither written nor replaced.
    pub fn remember(&self, first_refused: SegmentName) -> Result<(), FileError> {
        let content = format!("fast {first_refused}\n");
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).open(&self.path)?;
            file.write_all(content.as_bytes())?;
            file.set_len(content.len() as u64)?;
            file.sync_all()
        };
        match write() {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                durable::write(&self.path, content.as_bytes())
            }
            done => done.map_err(FileError::of("update the trigger file", &self.path)),
        }
    }

    /// Makes a fast trigger smart by truncating it, as pg_standby from 8.4 on does.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn truncate(&self) -> Result<(), FileError> {
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&self.path)
            .map(drop)
            .map_err(FileError::of("truncate the trigger file", &self.path))
    }

    /// Removes it, as pg_standby of 8.3 does.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn delete(&self) -> Result<(), FileError> {
        fs::remove_file(&self.path).map_err(FileError::of("remove the trigger file", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_is_parsed() {
        let name: SegmentName = "000000010000000C00000099".parse().unwrap();
        for (content, means) in [
            ("", Trigger::Smart),
            ("smart\n", Trigger::Smart),
            ("smartest", Trigger::Smart),
            ("fast", Trigger::Fast),
            ("fastest", Trigger::Fast),
            ("fast 000000010000000C00000099\n", Trigger::FastFrom(name)),
            ("fast 000000010000000C", Trigger::Fast),
            ("FAST", Trigger::Unknown("FAST".into())),
            (" fast", Trigger::Unknown(" fast".into())),
            ("\n", Trigger::Unknown(String::new())),
        ] {
            assert_eq!(Trigger::parse(content.as_bytes()), means, "{content:?}");
        }
    }

    #[test]
    fn a_fast_trigger_lets_earlier_segments_through_on_any_timeline() {
        let trigger = Trigger::parse(b"fast 000000020000000C00000099");
        let place = |text: &str| text.parse::<SegmentName>().unwrap().place;
        assert!(trigger.may_restore(place("000000020000000C00000098")));
        assert!(!trigger.may_restore(place("000000020000000C00000099")));
        assert!(!trigger.may_restore(place("000000010000000D00000000")));
    }

    #[test]
    fn an_empty_file_is_smart_only_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trigger");
        let mut trigger = TriggerFile::new(&path);
        assert!(matches!(trigger.look(Writing::Unseen), TriggerLook::Absent));
        fs::write(&path, "").unwrap();
        assert!(matches!(trigger.look(Writing::Open), TriggerLook::Unsettled));
        assert!(matches!(trigger.look(Writing::Unseen), TriggerLook::Unsettled));
        // Closed, and perhaps opened again by a process that truncates it before it writes.
        assert!(matches!(trigger.look(Writing::Closed), TriggerLook::Unsettled));
        let since = |age| File::open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
        since(Duration::from_millis(100));
        let closed = trigger.look(Writing::Closed);
        assert!(matches!(closed, TriggerLook::Complete(Trigger::Smart)));
        let long_ago = SystemTime::now() - Duration::from_secs(1);
        File::open(&path).unwrap().set_modified(long_ago).unwrap();
        let old = trigger.look(Writing::Unseen);
        assert!(matches!(old, TriggerLook::Complete(Trigger::Smart)));
    }

    #[test]
    fn the_refused_segment_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trigger");
        fs::write(&path, "fast, with more text than the record that replaces it").unwrap();
        let name = "000000010000000C00000099".parse().unwrap();
        TriggerFile::new(&path).remember(name).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"fast 000000010000000C00000099\n");
    }
}
