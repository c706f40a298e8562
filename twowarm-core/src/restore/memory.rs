//! What the calls of restore_command during one server's recovery remember for each other.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::data_directory::{Postmaster, RecoveryMode, process_ticks};
use crate::wal::{SegmentName, WalFileName};

/// The file in the data directory. A base copy leaves out all files with this prefix.
const FILE: &str = ".twowarm_recovery";

const STANDBY: &[u8] = b"standby_mode";
const WARM: &[u8] = b"warm_mode";

/// Facts about the running server that one call of restore_command records for the next, each of which is
/// a new process.
///
/// They are bound to the postmaster: the file of an earlier server is ignored, so that it need not be
/// removed. Without a postmaster (a call by hand) nothing is recorded. Losing the file costs time, never a
/// segment.
#[derive(Debug)]
pub struct RecoveryMemory {
    file: PathBuf,
    postmaster: Option<String>,
    facts: Facts,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Facts {
    archive: Option<PathBuf>,
    archive_unavailable: bool,
    promotion_requested: bool,
    mode: Option<RecoveryMode>,
    restored: Option<SegmentName>,
    ended_before: Option<SegmentName>,
    /// A process that was left behind in a call that hangs, and its start time.
    left_behind: Option<(i32, u64)>,
}

impl RecoveryMemory {
    /// What was recorded for the server that runs in this data directory.
    #[must_use]
    pub fn of(data_directory: &Path) -> RecoveryMemory {
        let file = data_directory.join(FILE);
        let postmaster = Postmaster::of(data_directory).identity();
        let text = postmaster.as_ref().and_then(|_| fs::read(&file).ok());
        let facts = text.zip(postmaster.as_ref()).map(|(text, server)| Facts::parse(&text, server));
        RecoveryMemory { file, postmaster, facts: facts.unwrap_or_default() }
    }

    /// The archive of the last restore; `None` if nothing was restored since the server started.
    #[must_use]
    pub fn archive(&self) -> Option<&Path> {
        self.facts.archive.as_deref()
    }

    /// Records that this file was restored from this archive: the configuration was correct.
    /// `still_unavailable` is whether the archive is still treated as empty, as it is while recovery is to
    /// end.
    pub(super) fn note_restored(
        &mut self,
        archive: &Path,
        still_unavailable: bool,
        name: WalFileName,
    ) {
        let restored = match name {
            WalFileName::Segment(segment) => Some(segment),
            _ => self.facts.restored,
        };
        self.note(Facts {
            archive: Some(archive.to_owned()),
            archive_unavailable: still_unavailable,
            restored,
            ..self.facts.clone()
        });
    }

    /// The last segment that was restored.
    #[must_use]
    pub fn restored(&self) -> Option<SegmentName> {
        self.facts.restored
    }

    /// The absent segment before which recovery was ordered to end.
    pub(super) fn ended_before(&self) -> Option<SegmentName> {
        self.facts.ended_before
    }

    /// Records that recovery was ordered to end before this segment.
    pub(super) fn note_ended_before(&mut self, segment: SegmentName) {
        self.note(Facts { ended_before: Some(segment), ..self.facts.clone() });
    }

    /// Whether the archive did not answer within its time limit while recovery was to end. It is treated as
    /// empty for the rest of the failover, without another wait.
    pub(super) fn archive_unavailable(&self) -> bool {
        self.facts.archive_unavailable
    }

    /// Records that the archive is treated as empty.
    pub(super) fn note_archive_unavailable(&mut self) {
        self.note(Facts { archive_unavailable: true, ..self.facts.clone() });
    }

    /// Whether the server was asked to promote. It deletes the file `promote` when it obeys, and must not
    /// find another one when it is a primary.
    pub(super) fn promotion_requested(&self) -> bool {
        self.facts.promotion_requested
    }

    /// Records whether the server was asked to promote.
    pub(super) fn note_promotion_requested(&mut self, promotion_requested: bool) {
        self.note(Facts { promotion_requested, ..self.facts.clone() });
    }

    /// The mode that the server's files said at its first request. The server read them when it started, and
    /// ignores later changes.
    #[must_use]
    pub fn mode(&self) -> Option<RecoveryMode> {
        self.facts.mode
    }

    /// Records the mode, once.
    pub(super) fn note_mode(&mut self, mode: RecoveryMode) {
        self.note(Facts { mode: Some(self.facts.mode.unwrap_or(mode)), ..self.facts.clone() });
    }

    /// Whether a process that was left behind still hangs in the archive. Another one would hang too, and
    /// they would accumulate.
    pub(super) fn hangs_still(&self) -> bool {
        let hangs = |(pid, ticks)| process_ticks(pid) == Some(Some(ticks));
        self.facts.left_behind.is_some_and(hangs)
    }

    /// Records that this process was left behind.
    pub(super) fn note_left_behind(&mut self, pid: i32) {
        let left_behind = process_ticks(pid).flatten().map(|ticks| (pid, ticks));
        self.note(Facts { left_behind, ..self.facts.clone() });
    }

    fn note(&mut self, facts: Facts) {
        let Some(postmaster) = self.postmaster.as_ref().filter(|_| facts != self.facts) else {
            return;
        };
        self.facts = facts;
        // Renamed, so that no process reads half of it; not fsynced, since after a crash it is not used.
        let aside = self.file.with_extension("new");
        let written = fs::write(&aside, self.facts.text(postmaster))
            .and_then(|()| fs::rename(&aside, &self.file));
        if let Err(e) = written {
            log::debug!("could not write \"{}\": {e}", self.file.display());
        }
    }
}

impl Facts {
    /// A line for the server, and one for each fact.
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

    fn parse(text: &[u8], postmaster: &str) -> Facts {
        let mut facts = Facts::default();
        let mut lines = text.split(|&b| b == b'\n');
        if lines.next() != Some(format!("postmaster {postmaster}").as_bytes()) {
            return facts;
        }
        for line in lines {
            match line {
                b"archive_unavailable" => facts.archive_unavailable = true,
                b"promotion_requested" => facts.promotion_requested = true,
                STANDBY => facts.mode = Some(RecoveryMode::Standby),
                WARM => facts.mode = Some(RecoveryMode::Warm),
                _ => {
                    if let Some(path) = line.strip_prefix(b"archive ") {
                        facts.archive = Some(OsString::from_vec(path.to_vec()).into());
                        continue;
                    }
                    match std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) {
                        Some(("restored", segment)) => facts.restored = segment.parse().ok(),
                        Some(("ended_before", segment)) => {
                            facts.ended_before = segment.parse().ok()
                        }
                        Some(("left_behind", process)) => {
                            facts.left_behind = process
                                .split_once(' ')
                                .and_then(|(pid, ticks)| pid.parse().ok().zip(ticks.parse().ok()));
                        }
                        _ => {}
                    }
                }
            }
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_back_for_the_same_server_only() {
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
        assert_eq!(again.mode(), Some(RecoveryMode::Warm), "the first one stays");
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
