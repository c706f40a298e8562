use std::fs;
use std::path::{Path, PathBuf};

use super::Timelines;
use super::history_files::{HistoryFileError, HistoryFiles, Invalid};
use crate::data_directory::Reached;
use crate::file_error::{FileError, if_exists};
use crate::wal::{
    ControlFile, ForkPoint, SegmentInHistory, SegmentLayout, SegmentName, TimelineHistory,
    TimelineId, WalFileName,
};

/// A later timeline that forked from a segment's own before that segment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForkedBefore {
    /// The later timeline.
    pub timeline: TimelineId,
    /// The history file that shows it.
    pub history: PathBuf,
}

/// A newer timeline that forked from a segment's own at or before that segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superseded {
    /// The newer timeline.
    pub timeline: TimelineId,
    /// Whether the server that requests the segment can follow it.
    pub following: Following,
}

/// Whether a standby's server can follow a newer timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Following {
    /// It has not replayed WAL from after the fork. In standby mode it follows by itself, in warm mode
    /// after a restart.
    Possible,
    /// It has replayed WAL from after the fork, and a shutdown writes that position to disk: a restart
    /// would fail with "requested timeline does not contain minimum recovery point". The standby needs a
    /// new base copy.
    BaseCopy,
}

/// A timeline in the archive that descends from the node's own, and that the node could still follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewerTimeline {
    /// The newer timeline.
    pub timeline: TimelineId,
    /// The node's own.
    pub own: TimelineId,
}

impl Timelines<'_> {
    /// The timeline that forked from the segment's own before the segment: the segment holds WAL that
    /// this later timeline does not have.
    ///
    /// The server's WAL directory is searched too: a node that was promoted has the history
    /// of its new timeline only there, and must not accept what the old primary still writes. In that
    /// directory a file that is not the history of its timeline is an error; in the archive it is ignored,
    /// with an error message.
    ///
    /// # Errors
    /// If a directory cannot be listed or a file cannot be read. A missing archive directory is not
    /// noticed.
    pub fn forked_before(
        &self,
        segment: SegmentName,
        layout: SegmentLayout,
    ) -> Result<Option<ForkedBefore>, HistoryFileError> {
        let past = |histories: Vec<TimelineHistory>, files: HistoryFiles| {
            let is_past = |history: &&TimelineHistory| {
                history.locate(segment, layout) == SegmentInHistory::PastFork
            };
            let timeline = histories.iter().find(is_past).map(TimelineHistory::timeline)?;
            Some(ForkedBefore { timeline, history: files.path(timeline) })
        };
        let archived = self.archived();
        if let Some(forked) = past(archived.probed_after(segment.timeline)?, archived) {
            return Ok(Some(forked));
        }
        for wal in self.wal_directories() {
            let files = HistoryFiles { directory: &wal, invalid: Invalid::Fail };
            if exists(&wal)?
                && let Some(forked) = past(files.listed_after(segment.timeline)?, files)
            {
                return Ok(Some(forked));
            }
        }
        Ok(None)
    }

    /// The newest descendant that forked from the segment's timeline at or before the segment. One that
    /// the server can follow takes precedence.
    ///
    /// # Errors
    /// If a history file exists and cannot be read.
    pub fn superseded(
        &self,
        segment: SegmentName,
        layout: SegmentLayout,
    ) -> Result<Option<Superseded>, HistoryFileError> {
        let mut best: Option<Superseded> = None;
        for history in self.descendants(segment.timeline) {
            let history = history?;
            // Before 9.3 a history names the segment of the fork, which may end with it.
            let (fork, may_be_at_end) = match history.fork_from(segment.timeline) {
                Some(ForkPoint::Segment(fork)) => (*fork, true),
                Some(ForkPoint::Position(fork)) => {
                    (layout.containing(segment.timeline, *fork), false)
                }
                None => continue,
            };
            if fork.place > segment.place {
                continue;
            }
            let fork = SegmentName { timeline: segment.timeline, ..fork };
            let past = fork != segment && !(may_be_at_end && layout.next(fork) == Some(segment));
            let following = if past { Following::BaseCopy } else { Following::Possible };
            if best.is_none_or(|best| following <= best.following) {
                best = Some(Superseded { timeline: history.timeline(), following });
            }
        }
        Ok(best)
    }

    /// The newest timeline in the archive that the server would follow after a restart, but does not
    /// follow now. Promoting the server would lose what that timeline holds.
    ///
    /// From 9.2 on a server that follows a timeline has its history in its WAL directory; that is visible
    /// there earlier than in pg_control.
    ///
    /// # Errors
    /// If the archive cannot be listed, or a history file in it cannot be read.
    pub fn followable(
        &self,
        control: &ControlFile,
    ) -> Result<Option<NewerTimeline>, HistoryFileError> {
        let own = Reached::of(control).timeline;
        let follows = |timeline| {
            let name = WalFileName::History(timeline).to_string();
            self.wal_directories().any(|wal| wal.join(&name).exists())
        };
        let histories = self.archived_after(own)?;
        let followable = histories
            .iter()
            .filter(|history| can_follow(control, history) && !follows(history.timeline()));
        let newest = followable.map(TimelineHistory::timeline).max();
        Ok(newest.map(|timeline| NewerTimeline { timeline, own }))
    }
}

/// Whether a directory entry exists, including a symbolic link that leads nowhere: its disk is not
/// mounted, and the histories on it are unknown.
fn exists(path: &Path) -> Result<bool, FileError> {
    let found = if_exists(fs::symlink_metadata(path)).map_err(FileError::of("look for", path))?;
    Ok(found.is_some())
}

/// Whether the timeline descends from the node's own and the node has replayed nothing from after the
/// fork.
pub(crate) fn can_follow(control: &ControlFile, history: &TimelineHistory) -> bool {
    let reached = Reached::of(control);
    match history.fork_from(reached.timeline) {
        None => false,
        Some(ForkPoint::Position(fork)) => reached.position <= *fork,
        // The position is the end of what was replayed: at a boundary of segments nothing of the next one was.
        Some(ForkPoint::Segment(fork)) => {
            let next = control.layout().next(*fork);
            next.is_some_and(|next| !reached.is_in_or_past(next, control))
        }
    }
}
