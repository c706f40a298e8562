//! What was relayed besides segments, in a file of this node. Losing it costs that these files are sent again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::durable;
use crate::file_error::FileError;
use crate::receipt::ReceiptId;
use crate::wal::{SegmentName, WalFileName};

/// The remembered state of a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    file: PathBuf,
    /// The history, `.partial` and backup history files that the other node has acknowledged, with their modification
    /// times: a `.partial` file can be replaced.
    pub(super) sent: BTreeMap<WalFileName, u64>,
    /// The receipt that the other node has stored, or perhaps has.
    pub(super) receipt: Option<ReceiptId>,
    /// Whether it is known that it has stored it.
    pub(super) is_delivered: bool,
    /// The last listing of the archive.
    pub(super) listed: Option<Listed>,
    /// A segment that is missing here and there although there are later ones, and since when.
    pub(super) stuck: Option<(SegmentName, u64)>,
}

/// A listing of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    /// The modification time of the directory before it, in nanoseconds since 1970.
    pub(super) modified: u64,
    /// When, in seconds since 1970.
    pub(super) at: u64,
    /// The number of the segment that was the next to be relayed.
    pub(super) segment: u64,
}

impl Note {
    /// Reads it; an absent or invalid file is an empty note.
    pub(super) fn read(file: PathBuf) -> Note {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let empty = Note {
            file,
            sent: BTreeMap::new(),
            receipt: None,
            is_delivered: false,
            listed: None,
            stuck: None,
        };
        parse(&text, empty.clone()).unwrap_or(empty)
    }

    /// Writes it durably.
    pub(super) fn write(&self) -> Result<(), FileError> {
        if let Some(directory) = self.file.parent() {
            fs::create_dir_all(directory).map_err(FileError::of("create", directory))?;
        }
        let mut text = "version=1\n".to_owned();
        for (name, modified) in &self.sent {
            let _ = writeln!(text, "sent {name} {modified}");
        }
        if let Some(id) = &self.receipt {
            let word = if self.is_delivered { "receipt" } else { "delivering" };
            let _ = writeln!(text, "{word} {id}");
        }
        if let Some(Listed { modified, at, segment }) = self.listed {
            let _ = writeln!(text, "listed {modified} {at} {segment}");
        }
        if let Some((segment, since)) = self.stuck {
            let _ = writeln!(text, "stuck {segment} {since}");
        }
        durable::write(&self.file, (text + "end\n").as_bytes())
    }

    /// Whether the file of this name, as it is now, has been relayed.
    pub(super) fn has(&self, name: WalFileName, path: &Path) -> bool {
        self.sent.get(&name).is_some_and(|&sent| modified(path) == Some(sent))
    }

    /// Whether the other node has stored this receipt.
    pub(super) fn has_receipt(&self, id: &ReceiptId) -> bool {
        self.is_delivered && self.receipt.as_ref() == Some(id)
    }

    /// The file of this name has been relayed.
    pub(super) fn add(&mut self, name: WalFileName, path: &Path) {
        if let Some(modified) = modified(path) {
            self.sent.insert(name, modified);
        }
    }
}

fn parse(text: &str, empty: Note) -> Option<Note> {
    let mut note = empty;
    let mut lines = text.strip_prefix("version=1\n")?.strip_suffix("end\n")?.lines();
    lines.try_for_each(|line| {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["sent", name, modified] => {
                note.sent.insert(name.parse().ok()?, modified.parse().ok()?);
            }
            [word @ ("receipt" | "delivering"), id] => {
                note.receipt = Some(id.parse().ok()?);
                note.is_delivered = word == "receipt";
            }
            ["listed", modified, at, segment] => {
                note.listed = Some(Listed {
                    modified: modified.parse().ok()?,
                    at: at.parse().ok()?,
                    segment: segment.parse().ok()?,
                });
            }
            ["stuck", segment, since] => {
                note.stuck = Some((segment.parse().ok()?, since.parse().ok()?));
            }
            _ => return None,
        }
        Some(())
    })?;
    Some(note)
}

/// The modification time of a file or directory, in nanoseconds since 1970.
pub(super) fn modified(path: &Path) -> Option<u64> {
    let at = fs::metadata(path).and_then(|found| found.modified()).ok()?;
    u64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos()).ok()
}

/// The present, in seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().as_ref().map_or(0, Duration::as_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_an_invalid_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("relay/db3");
        let empty = Note::read(file.clone());
        let mut note = empty.clone();
        let history = "00000002.history".parse().unwrap();
        fs::write(dir.path().join("history"), "x").unwrap();
        note.add(history, &dir.path().join("history"));
        note.receipt = "0123456789abcdef0123456789abcdef".parse().ok();
        note.listed = Some(Listed { modified: 5, at: 6, segment: 7 });
        note.stuck = Some(("000000010000000000000005".parse().unwrap(), 9));
        for is_delivered in [false, true] {
            note.is_delivered = is_delivered;
            note.write().unwrap();
            assert_eq!(Note::read(file.clone()), note);
            assert_eq!(note.has_receipt(note.receipt.as_ref().unwrap()), is_delivered);
        }
        assert!(note.has(history, &dir.path().join("history")));
        assert!(!note.has(history, &dir.path().join("absent")));
        let text = fs::read_to_string(&file).unwrap();
        for cut in [0, 5, 40, text.len() - 1] {
            fs::write(&file, &text[..cut]).unwrap();
            assert_eq!(Note::read(file.clone()), empty, "{cut}");
        }
    }
}
