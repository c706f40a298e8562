//! What the calls of one server's recovery have to know of each other.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::data_directory::{Postmaster, RecoveryMode, process_ticks};
use crate::wal::{SegmentName, WalFileName};

/// The file in the data directory. Its name begins as all our files there do, which a base copy leaves out.
const FILE: &str = ".twowarm_recovery";

const STANDBY: &[u8] = b"standby_mode";
const WARM: &[u8] = b"warm_mode";

/// Facts that hold for the running server and end with it: the server asks many times during one
/// recovery, each time by a new process.
///
/// It is bound to the postmaster: what an earlier server left is not read, so nothing has to be removed.
/// Without a postmaster (a call by hand) there is no memory. Losing it costs time, never a segment.
#[derive(Debug)]
pub struct RecoveryMemory {
    file: PathBuf,
    postmaster: Option<String>,
    notes: Notes,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Notes {
    archive: Option<PathBuf>,
    archive_unavailable: bool,
    promotion_requested: bool,
    mode: Option<RecoveryMode>,
    restored: Option<SegmentName>,
    ended_before: Option<SegmentName>,
    /// A process that was left behind in a call that hangs, and when it started.
    left_behind: Option<(i32, u64)>,
}

impl RecoveryMemory {
    /// What was noted for the server that runs in this data directory.
    pub fn of(data_directory: &Path) -> RecoveryMemory {
        let file = data_directory.join(FILE);
        let postmaster = Postmaster::of(data_directory).identity();
        let text = postmaster.as_ref().and_then(|_| fs::read(&file).ok());
        let notes = text.zip(postmaster.as_ref()).map(|(text, server)| Notes::parse(&text, server));
        RecoveryMemory { file, postmaster, notes: notes.unwrap_or_default() }
    }

    /// The archive that the server was served from last; none if nothing was served since it started.
    pub fn archive(&self) -> Option<&Path> {
        self.notes.archive.as_deref()
    }

    /// Notes that the server was served from this archive: its configuration was right.
    /// `still_unavailable` says whether the archive goes on to count as absent, as it does while recovery
    /// is to end; `name` is the file that was restored.
    pub fn note_restored(&mut self, archive: &Path, still_unavailable: bool, name: WalFileName) {
        let restored = match name {
            WalFileName::Segment(segment) => Some(segment),
            _ => self.notes.restored,
        };
        self.note(Notes {
            archive: Some(archive.to_owned()),
            archive_unavailable: still_unavailable,
            restored,
            ..self.notes.clone()
        });
    }

    /// The last segment that the server was given.
    pub fn restored(&self) -> Option<SegmentName> {
        self.notes.restored
    }

    /// The segment before which recovery was told to end, because it is absent.
    pub fn ended_before(&self) -> Option<SegmentName> {
        self.notes.ended_before
    }

    /// Notes that recovery was told to end before this segment.
    pub fn note_ended_before(&mut self, segment: SegmentName) {
        self.note(Notes { ended_before: Some(segment), ..self.notes.clone() });
    }

    /// Whether the archive could not be asked within its time limit while recovery was to end: it
    /// counts as absent for the rest of the failover, and its time limit is not paid again.
    pub fn archive_unavailable(&self) -> bool {
        self.notes.archive_unavailable
    }

    /// Notes that the archive counts as absent.
    pub fn note_archive_unavailable(&mut self) {
        self.note(Notes { archive_unavailable: true, ..self.notes.clone() });
    }

    /// Whether the server was asked to promote. It deletes the file `promote` when it obeys, and must not
    /// find another one when it is a primary.
    pub fn promotion_requested(&self) -> bool {
        self.notes.promotion_requested
    }

    /// Notes that the server was asked to promote, or that nothing asks it any more.
    pub fn note_promotion_requested(&mut self, promotion_requested: bool) {
        self.note(Notes { promotion_requested, ..self.notes.clone() });
    }

    /// The mode that the server's files said at its first question. It read them when it started, and
    /// takes no notice of what is changed since.
    pub fn mode(&self) -> Option<RecoveryMode> {
        self.notes.mode
    }

    /// Notes the mode, once.
    pub fn note_mode(&mut self, mode: RecoveryMode) {
        self.note(Notes { mode: Some(self.notes.mode.unwrap_or(mode)), ..self.notes.clone() });
    }

    /// Whether a process that was left behind still hangs in the archive. Another one would too, and in
    /// time there would be no room for more.
    pub fn hangs_still(&self) -> bool {
        let hangs = |(pid, ticks)| process_ticks(pid) == Some(Some(ticks));
        self.notes.left_behind.is_some_and(hangs)
    }

    /// Notes that this process was left behind.
    pub fn note_left_behind(&mut self, pid: i32) {
        let left_behind = process_ticks(pid).flatten().map(|ticks| (pid, ticks));
        self.note(Notes { left_behind, ..self.notes.clone() });
    }

    fn note(&mut self, notes: Notes) {
        let Some(postmaster) = self.postmaster.as_ref().filter(|_| notes != self.notes) else {
            return;
        };
        self.notes = notes;
        // Renamed, so that nobody reads half of it; not fsynced, since it means nothing after a crash.
        let aside = self.file.with_extension("new");
        let written = fs::write(&aside, self.notes.text(postmaster))
            .and_then(|()| fs::rename(&aside, &self.file));
        if let Err(e) = written {
            log::debug!("could not write {}: {e}", self.file.display());
        }
    }
}

impl Notes {
    /// A line for the server, and one for each note.
    fn text(&self, postmaster: &str) -> Vec<u8> {
        let mut text = format!("postmaster {postmaster}\n").into_bytes();
        if let Some(archive) = &self.archive {
            text.extend(b"archive ");
            text.extend(archive.as_os_str().as_bytes());
            text.push(b'\n');
        }
        if self.archive_unavailable {
            text.extend(b"archive_unavailable\n");
        }
        if self.promotion_requested {
            text.extend(b"promotion_requested\n");
        }
        if let Some(mode) = self.mode {
            text.extend(if mode == RecoveryMode::Standby { STANDBY } else { WARM });
            text.push(b'\n');
        }
        if let Some(segment) = self.restored {
            text.extend(format!("restored {segment}\n").bytes());
        }
        if let Some(segment) = self.ended_before {
            text.extend(format!("ended_before {segment}\n").bytes());
        }
        if let Some((pid, ticks)) = self.left_behind {
            text.extend(format!("left_behind {pid} {ticks}\n").bytes());
        }
        text
    }

    fn parse(text: &[u8], postmaster: &str) -> Notes {
        let mut notes = Notes::default();
        let mut lines = text.split(|&b| b == b'\n');
        if lines.next() != Some(format!("postmaster {postmaster}").as_bytes()) {
            return notes;
        }
        for line in lines {
            match line {
                b"archive_unavailable" => notes.archive_unavailable = true,
                b"promotion_requested" => notes.promotion_requested = true,
                STANDBY => notes.mode = Some(RecoveryMode::Standby),
                WARM => notes.mode = Some(RecoveryMode::Warm),
                _ => {
                    if let Some(path) = line.strip_prefix(b"archive ") {
                        notes.archive = Some(OsString::from_vec(path.to_vec()).into());
                        continue;
                    }
                    match std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) {
                        Some(("restored", segment)) => notes.restored = segment.parse().ok(),
                        Some(("ended_before", segment)) => {
                            notes.ended_before = segment.parse().ok()
                        }
                        Some(("left_behind", process)) => {
                            notes.left_behind = process
                                .split_once(' ')
                                .and_then(|(pid, ticks)| pid.parse().ok().zip(ticks.parse().ok()));
                        }
                        _ => {}
                    }
                }
            }
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_back_by_the_same_server_only() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = |pid: u32| {
            fs::write(dir.path().join("postmaster.pid"), format!("{pid}\n/d\n1\n")).unwrap();
        };
        pid_file(std::process::id());
        let mut memory = RecoveryMemory::of(dir.path());
        assert!(memory.archive().is_none() && !memory.archive_unavailable());
        let name = |text: &str| text.parse::<WalFileName>().unwrap();
        let (segment, next) = ("000000010000000C00000099", "000000010000000C0000009A");
        memory.note_restored(Path::new("/mnt/the archive"), false, name(segment));
        memory.note_restored(Path::new("/mnt/the archive"), false, name("00000002.history"));
        memory.note_ended_before(next.parse().unwrap());
        memory.note_archive_unavailable();
        memory.note_promotion_requested(true);
        memory.note_mode(RecoveryMode::Warm);
        memory.note_mode(RecoveryMode::Standby);
        memory.note_left_behind(std::process::id() as i32);
        let again = RecoveryMemory::of(dir.path());
        assert_eq!(again.archive(), Some(Path::new("/mnt/the archive")));
        assert!(again.archive_unavailable() && again.promotion_requested());
        assert_eq!(again.mode(), Some(RecoveryMode::Warm), "it was noted first");
        assert_eq!(again.restored(), name(segment).segment());
        assert_eq!(again.ended_before(), name(next).segment());
        assert!(again.hangs_still());
        assert!(!dir.path().join(".twowarm_recovery.new").exists());
        pid_file(1);
        let other = RecoveryMemory::of(dir.path());
        assert!(other.archive().is_none() && !other.promotion_requested());
    }

    #[test]
    fn without_a_server_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        RecoveryMemory::of(dir.path()).note_archive_unavailable();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
