//! Whether a file in the archive is the requested one, and what it means if it is absent.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use super::ArchiveSource;
use crate::data_directory::{Identity, Reached, redo_place};
use crate::restore::Found;
use crate::restore::crossing::{Checked, Crossing, Earlier};
use crate::timelines::{HistoryFileError, Timelines};
use crate::wal::{
    BadPageHeader, Lsn, MAX_TEXT, PageHeader, SegmentHeader, SegmentInHistory, SegmentName,
    TextVerdict, TimelineHistory, TimelineId, Unsound, WalFileName, check_segment_header,
    check_text, first_page,
};

/// Enough of a file's metadata to see that it was changed or replaced. A file that is sent again has the same
/// modification time, and may get the same inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileVersion(u64, u64, u64, (i64, i64), (i64, i64));

impl FileVersion {
    pub(super) fn of(metadata: &fs::Metadata) -> FileVersion {
        let m = metadata;
        let (modified, changed) = ((m.mtime(), m.mtime_nsec()), (m.ctime(), m.ctime_nsec()));
        FileVersion(m.dev(), m.ino(), m.size(), modified, changed)
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

fn unreadable(error: HistoryFileError) -> Found {
    Found::Unreadable(error.to_string())
}

impl<'a> ArchiveSource<'a> {
    pub(super) fn check_header(
        &mut self,
        file: &mut File,
        name: SegmentName,
        bytes: u64,
        any_size: bool,
    ) -> Result<SegmentHeader, Found> {
        let expected = self.cluster()?.map(Identity::expected).unwrap_or_default();
        let first_page = file.rewind().and_then(|()| first_page(file));
        let first_page = first_page.map_err(|e| self.unreadable(e))?;
        if first_page.len() < PageHeader::MAX_BYTES {
            return Err(Found::Arriving);
        }
        let checked = match check_segment_header(&first_page, name, bytes, &expected) {
            Err(
                Unsound::TooSmall { segment_size, .. } | Unsound::TooLarge { segment_size, .. },
            ) if any_size => {
                check_segment_header(&first_page, name, segment_size.bytes(), &expected)
            }
            checked => checked,
        };
        checked.map_err(|why| match why {
            Unsound::TooSmall { .. } => Found::Unfinished,
            Unsound::TooLarge { bytes, .. } => Found::TooLarge { bytes },
            // Some programs set the size first and then write the content.
            Unsound::NotWal(BadPageHeader::UnknownMagic(0))
                if expected.segment_size.is_some_and(|s| bytes < s.bytes()) =>
            {
                Found::Arriving
            }
            why => Found::NotThatFile(format!("the file in the archive is not {name}: {why}")),
        })
    }

    /// Refuses an ancestor's segment from after the fork to the cluster's own timeline. Servers before 13
    /// request those when the segment of their own timeline is absent, and would replay them.
    pub(super) fn check_timeline(&mut self, name: SegmentName) -> Result<Found, Found> {
        let Some(control) = self.control()? else { return Ok(Found::Ready) };
        // The checkpoint's timeline lags behind while the standby replays.
        let (own, layout) = (Reached::of(control).timeline, control.layout());
        if own <= name.timeline {
            return Ok(Found::Ready);
        }
        let history = self.timelines().history(own).map_err(unreadable)?;
        let is_past =
            |history: TimelineHistory| history.locate(name, layout) == SegmentInHistory::PastFork;
        Ok(match history.is_some_and(is_past) {
            true => Found::Foreign(format!(
                "{name} is not in the history of timeline {own}, which forked from timeline {} before it",
                name.timeline
            )),
            false => Found::Ready,
        })
    }

    /// What it means that the file does not exist.
    pub(super) fn absent(&mut self) -> Result<Found, Found> {
        let WalFileName::Segment(name) = self.request.name else { return Ok(Found::Absent) };
        let Some(layout) = self.cluster()?.and_then(Identity::layout) else {
            return Ok(Found::Absent);
        };
        let timelines = self.timelines();
        if name.timeline != TimelineId::FIRST {
            // If only a descendant's history was shipped, it has the same fork.
            let history = match timelines.history(name.timeline) {
                Ok(None) => timelines.descendants(name.timeline).next().transpose(),
                own => own,
            };
            let history = history.map_err(unreadable)?;
            let before = |history: &TimelineHistory| {
                history.ancestors().iter().rev().map(|a| a.timeline).find(|&t| t < name.timeline)
            };
            let parent = history.as_ref().and_then(before);
            match history.map(|history| history.locate(name, layout)) {
                // It will never arrive; after this answer the server requests its parent's.
                Some(SegmentInHistory::BeforeStart) => {
                    self.before_start = true;
                    return Ok(Found::NeverExists);
                }
                Some(SegmentInHistory::AtFork) if self.has_on_timeline(parent, name) => {
                    return Ok(Found::NeverExists);
                }
                _ => {}
            }
        }
        let superseded = timelines.superseded(name, layout).map_err(unreadable)?;
        Ok(superseded.map_or(Found::Absent, Found::Superseded))
    }

    fn timelines(&self) -> Timelines<'a> {
        Timelines::new(self.archive, Some(self.data_directory))
    }

    /// Whether the archive has the segment of the same position on this timeline.
    fn has_on_timeline(&self, timeline: Option<TimelineId>, name: SegmentName) -> bool {
        let other = timeline.map(|timeline| SegmentName { timeline, ..name });
        other.is_some_and(|other| self.archive.join(other.to_string()).exists())
    }

    /// Reads a history or `.backup` file, and checks it.
    pub(super) fn read_text(&mut self, file: &mut File) -> Result<Vec<u8>, Found> {
        let name = self.request.name;
        let is_backup = matches!(name, WalFileName::Backup(..));
        let major = if is_backup { self.cluster()?.and_then(|c| c.major) } else { None };
        let mut text = Vec::new();
        file.take(MAX_TEXT + 1).read_to_end(&mut text).map_err(|e| self.unreadable(e))?;
        match check_text(name, &text, major) {
            Ok(TextVerdict::Sound) => {}
            Ok(TextVerdict::Unneeded(bad)) => {
                log::warn!("restored a damaged file, which no server of this version reads: {bad}");
            }
            Err(bad) => {
                return Err(Found::NotThatFile(format!("it is damaged in the archive: {bad}")));
            }
        }
        Ok(text)
    }

    /// Checks the record that continues in the segment, from where it begins.
    pub(super) fn check_crossing(
        &mut self,
        mut segment: Checked,
        links_to: Option<Lsn>,
    ) -> Result<(), Found> {
        let control = self.cluster.as_ref().and_then(|cluster| cluster.control.as_ref());
        let redo = control.map(|control| redo_place(self.data_directory, control));
        // Replay starts after that record. The segment before may never have been shipped.
        if redo.is_some_and(|redo| segment.name.place <= redo) {
            return Ok(());
        }
        let earlier = Earlier { archive: self.archive, data_directory: self.data_directory };
        match earlier.check(&mut segment, links_to) {
            Crossing::Sound => {}
            // The record may need more segments than the configured number to keep.
            Crossing::Within => self.within_record = true,
            Crossing::Damaged { at, why } => {
                return Err(Found::Damaged(format!(
                    "segment is incomplete or damaged: WAL ends at {at}: {why}"
                )));
            }
            // Without a cluster no server is asking.
            Crossing::Unchecked(_) if redo.is_none() => {}
            Crossing::Unchecked(why) => return Err(Found::Unchecked(why)),
        }
        Ok(())
    }
}
