//! Trigger files: how an administrator tells a waiting standby to end recovery.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::durable;
use crate::file_error::FileError;
use crate::wal::{SegmentName, SegmentPlace};

/// What a trigger file asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// Replay what has arrived, then end recovery: an empty file, or one that begins with "smart".
    Smart,
    /// End recovery now: one that begins with "fast".
    Fast,
    /// `fast NAME`: recovery has been told to end before this segment. What lies before it is served
    /// again when the server asks for it once more, what lies after is not.
    FastFrom(SegmentName),
    /// Anything else; nobody is triggered by it.
    Unknown(String),
}

impl Trigger {
    /// Reads a trigger file's content, as pg_standby from 8.4 on does, and `fast NAME` besides.
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

    /// Whether a fast trigger lets this segment through: it was restored before recovery was told to
    /// end.
    pub fn lets_through(&self, place: SegmentPlace) -> bool {
        match self {
            Trigger::Fast => false,
            Trigger::FastFrom(first_refused) => place < first_refused.place,
            Trigger::Smart | Trigger::Unknown(_) => true,
        }
    }
}

/// Whether somebody may still be writing a file, as far as has been seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Writing {
    /// Nothing was seen of it.
    #[default]
    Unseen,
    /// It was created and not closed since.
    Open,
    /// It was closed after writing, or renamed into place.
    Closed,
}

/// What one look at a trigger file shows.
#[derive(Debug)]
pub enum TriggerLook {
    /// There is none.
    Absent,
    /// It is empty and may have been created a moment ago by somebody who is about to write "fast"
    /// into it: look again soon.
    Unsettled,
    /// It is complete.
    Complete(Trigger),
    /// It is there, and can't be read.
    Unreadable(FileError),
}

/// An empty trigger file counts as complete once it is this old. A shell needs microseconds from
/// creating or emptying it to writing into it, unless the machine is busy with others.
const SETTLED: Duration = Duration::from_millis(250);
/// The same for one that was seen to be closed: nobody writes into it any more, unless he has just
/// opened and emptied it again.
const SETTLED_AND_CLOSED: Duration = Duration::from_millis(50);
/// The same for one that was seen to be created but not closed: hard links are never closed.
const SETTLED_THOUGH_OPEN: Duration = Duration::from_secs(2);

/// A trigger file, by its path.
#[derive(Debug)]
pub struct TriggerFile {
    path: PathBuf,
    /// Since when the file has been seen empty; for file systems whose clock is not ours.
    empty_since: Option<Instant>,
}

impl TriggerFile {
    /// The file need not exist.
    pub fn new(path: &Path) -> TriggerFile {
        TriggerFile { path: path.to_owned(), empty_since: None }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file.
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

    /// Makes a fast trigger remember the first segment that it refused. In place, so that it works
    /// also on a file in `/tmp` that somebody else owns, and leaves no second file behind; a torn write
    /// still begins with "fast". Where the file may not be written to (root made it in the data
    /// directory), another takes its place.
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

    /// Makes a fast trigger smart by emptying it, as pg_standby from 8.4 on does.
    pub fn truncate(&self) -> Result<(), FileError> {
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&self.path)
            .map(drop)
            .map_err(FileError::of("empty the trigger file", &self.path))
    }

    /// Removes it, as pg_standby of 8.3 does.
    pub fn delete(&self) -> Result<(), FileError> {
        fs::remove_file(&self.path).map_err(FileError::of("delete the trigger file", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
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
        assert!(trigger.lets_through(place("000000020000000C00000098")));
        assert!(!trigger.lets_through(place("000000020000000C00000099")));
        assert!(!trigger.lets_through(place("000000010000000D00000000")));
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
        // Closed, and perhaps opened again by somebody who empties it before he writes.
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
    fn what_a_fast_trigger_remembers_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trigger");
        fs::write(&path, "fast, please, and now, whatever else is in this file").unwrap();
        let name = "000000010000000C00000099".parse().unwrap();
        TriggerFile::new(&path).remember(name).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"fast 000000010000000C00000099\n");
    }
}
