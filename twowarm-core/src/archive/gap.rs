#[cfg(feature = "server")]
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::{Archive, ArchiveError};
use crate::data_directory::{Reached, redo_place};
use crate::timelines::Timelines;
#[cfg(any(feature = "ship", feature = "server"))]
use crate::wal::{Completeness, TimelineId, completeness};
use crate::wal::{
    ControlFile, Expected, SegmentInHistory, SegmentLayout, SegmentName, SegmentPlace,
    TimelineHistory, read_segment_header,
};

/// A segment that a standby still needs is missing, and a later one is in the archive. A failover would end
/// recovery before the missing one and lose the WAL of the later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first segment that is missing.
    pub missing: SegmentName,
    /// The first later one in the archive.
    pub found: SegmentName,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is missing but {} is here", self.missing, self.found)
    }
}

/// The first gap in these segments from `next` on, the position of the next one that the standby needs.
///
/// `histories` are those of the timeline that the standby replays, which comes first, and of its descendants:
/// a segment may have the name of any timeline that contains it. `has` answers for a segment that is not in
/// the listing.
pub(crate) fn gap(
    listing: impl IntoIterator<Item = SegmentName>,
    next: SegmentPlace,
    histories: &[TimelineHistory],
    layout: SegmentLayout,
    has: &dyn Fn(SegmentName) -> bool,
) -> Option<Gap> {
    let history_of = |name: SegmentName| {
        histories.iter().find(|history| {
            matches!(
                history.locate(name, layout),
                SegmentInHistory::Included | SegmentInHistory::AtFork
            )
        })
    };
    let counts = |name| history_of(name).is_some();
    let there = listing.into_iter().filter(|name| name.place >= next && counts(*name));
    let mut there: Vec<SegmentName> = there.collect();
    there.sort_unstable_by_key(|name| name.place);
    let timelines: BTreeSet<_> = histories
        .iter()
        .flat_map(|h| h.ancestors().iter().map(|a| a.timeline).chain([h.timeline()]))
        .collect();
    let has = |place| {
        let names = timelines.iter().map(|&timeline| SegmentName { timeline, place });
        names.into_iter().any(|name| counts(name) && has(name))
    };
    let mut expected = layout.number(next).ok()?;
    for found in there {
        let number = layout.number(found.place).ok()?;
        while expected < number {
            let place = layout.place(expected)?;
            if !has(place) {
                // After a fork the file of the parent's name never existed.
                let timeline = history_of(found)?.newest_with(place, layout)?;
                return Some(Gap { missing: SegmentName { timeline, place }, found });
            }
            expected += 1;
        }
        // Two timelines can have a segment of the same position.
        expected = expected.max(number + 1);
    }
    None
}

impl Archive {
    /// The first gap after which the server of a data directory can't replay the archive's segments. `next`
    /// is the next segment that it needs. A segment in the server's own WAL directory is not missing.
    ///
    /// # Errors
    /// If the archive can't be read.
    pub fn gap_after(
        &self,
        next: SegmentName,
        control: &ControlFile,
        data_directory: &Path,
    ) -> Result<Option<Gap>, ArchiveError> {
        let server = Some((control, data_directory));
        self.first_gap(next, None, has_segment, control.layout(), server)
    }

    /// The first gap from `next` on, before the last segment of the archive or `end`. A segment in the WAL directory of
    /// the server is not missing if it `is_in` that.
    fn first_gap(
        &self,
        next: SegmentName,
        end: Option<SegmentName>,
        is_in: fn(&Path, SegmentName, &Expected) -> bool,
        layout: SegmentLayout,
        server: Option<(&ControlFile, &Path)>,
    ) -> Result<Option<Gap>, ArchiveError> {
        let data_directory = server.map(|(_, data_directory)| data_directory);
        let timelines = Timelines::new(self.path(), data_directory);
        let mut histories = vec![own_history(&timelines, next)?];
        let later = timelines.archived_after(next.timeline)?;
        histories.extend(later.into_iter().filter(|later| later.is_ancestor(next.timeline)));
        let (mut listing, wal) = (self.segments()?, data_directory.map(wal_directories));
        let expected = server.map(|(control, _)| Expected::of(control)).unwrap_or_default();
        listing.extend(end);
        let has = |name| wal.iter().flatten().any(|wal| is_in(wal, name, &expected));
        Ok(gap(listing, next.place, &histories, layout, &has))
    }
}

/// The history of a segment's timeline.
fn own_history(
    timelines: &Timelines<'_>,
    segment: SegmentName,
) -> Result<TimelineHistory, ArchiveError> {
    let own = timelines.history(segment.timeline)?;
    Ok(own.unwrap_or_else(|| TimelineHistory::without_ancestors(segment.timeline)))
}

/// A server's WAL directory, from 10 on and before.
pub(crate) fn wal_directories(data_directory: &Path) -> [PathBuf; 2] {
    ["pg_wal", "pg_xlog"].map(|wal| data_directory.join(wal))
}

/// What a standby's server has restored since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// Nothing: it is not running, or has requested only its first segment.
    Nothing,
    /// Segments up to this one.
    Segment(SegmentName),
    /// It has restored segments, but which ones is not known.
    Unknown,
}

impl Archive {
    /// The first gap that would end recovery in a failover of the server of a data directory.
    ///
    /// # Errors
    /// If the archive can't be read.
    pub fn gap_of_standby(
        &self,
        given: Given,
        control: &ControlFile,
        data_directory: &Path,
    ) -> Result<Option<Gap>, ArchiveError> {
        let next = next_needed(given, control, data_directory);
        let server = Some((control, data_directory));
        after_removed(given, next, |next| {
            self.first_gap(next, None, has_segment, control.layout(), server)
        })
    }

    /// The first segment of a timeline that is missing before `end`, in which its WAL ends, or before the last segment
    /// here. `server` is the server that needs them and what it has restored; without one the oldest segment here is the
    /// first.
    ///
    /// # Errors
    /// If the archive can't be read.
    #[cfg(any(feature = "ship", feature = "server"))]
    pub(crate) fn first_missing(
        &self,
        timeline: TimelineId,
        end: Option<SegmentName>,
        layout: SegmentLayout,
        server: Option<(Given, &ControlFile, &Path)>,
    ) -> Result<Option<SegmentName>, ArchiveError> {
        let place = match server {
            Some((given, control, pgdata)) => Some(next_needed(given, control, pgdata).place),
            None => self.segments()?.into_iter().chain(end).map(|name| name.place).min(),
        };
        let Some(place) = place else { return Ok(None) };
        let given = server.map_or(Given::Nothing, |(given, ..)| given);
        let server = server.map(|(_, control, pgdata)| (control, pgdata));
        let gap = after_removed(given, SegmentName { timeline, place }, |next| {
            self.first_gap(next, end, has_whole_segment, layout, server)
        })?;
        Ok(gap.map(|gap| gap.missing))
    }
}

/// The first gap from `next` on. If it is not known what the server has restored, not one that begins there: those
/// segments existed when the server started, and were removed after they had been replayed.
fn after_removed(
    given: Given,
    next: SegmentName,
    gap_from: impl Fn(SegmentName) -> Result<Option<Gap>, ArchiveError>,
) -> Result<Option<Gap>, ArchiveError> {
    match gap_from(next)? {
        Some(gap) if given == Given::Unknown && gap.missing.place == next.place => {
            gap_from(SegmentName { timeline: next.timeline, ..gap.found })
        }
        gap => Ok(gap),
    }
}

#[cfg(feature = "server")]
impl Archive {
    /// The archive's segments that the server of a data directory still needs, in order, as far as it does not have
    /// them in its own WAL directory. None if it is not known what it has restored.
    ///
    /// # Errors
    /// If the archive can't be read.
    pub(crate) fn needed_by_standby(
        &self,
        given: Given,
        control: &ControlFile,
        data_directory: &Path,
    ) -> Result<Vec<SegmentName>, ArchiveError> {
        if given == Given::Unknown {
            return Ok(Vec::new());
        }
        let next = next_needed(given, control, data_directory);
        let history = own_history(&Timelines::new(self.path(), Some(data_directory)), next)?;
        let (layout, expected) = (control.layout(), Expected::of(control));
        let rank = |name: SegmentName| match history.locate(name, layout) {
            SegmentInHistory::Included => Some(1),
            SegmentInHistory::AtFork => Some(0),
            _ => None,
        };
        let wal = wal_directories(data_directory);
        let is_needed = |name: &SegmentName| {
            let is_own = || wal.iter().any(|wal| has_segment(wal, *name, &expected));
            name.place >= next.place && rank(*name).is_some() && !is_own()
        };
        let mut needed: Vec<_> = self.segments()?.into_iter().filter(is_needed).collect();
        // The server requests the segment of the newest timeline.
        needed.sort_by_key(|name| (name.place, Reverse((rank(*name), name.timeline))));
        needed.dedup_by_key(|name| name.place);
        Ok(needed)
    }
}

/// The next segment that the server of a data directory needs: the one after the last one that it restored,
/// else the one in which its replay starts.
pub(crate) fn next_needed(
    given: Given,
    control: &ControlFile,
    data_directory: &Path,
) -> SegmentName {
    let place = redo_place(data_directory, control);
    let timeline = Reached::of(control).timeline;
    let after = match given {
        Given::Segment(name) => control.layout().next(name),
        Given::Nothing | Given::Unknown => None,
    };
    match after {
        Some(after) if after.place > place => {
            SegmentName { timeline: after.timeline.max(timeline), ..after }
        }
        _ => SegmentName { timeline, place },
    }
}

/// Whether a directory has this segment. In a WAL directory a file of its name may also be an older one that the
/// server has recycled.
pub(crate) fn has_segment(directory: &Path, name: SegmentName, expected: &Expected) -> bool {
    let file = File::open(directory.join(name.to_string()));
    let header = file.and_then(|mut file| read_segment_header(&mut file, name, expected));
    matches!(header, Ok(Ok(_)))
}

/// The same, and the segment is complete: replication by streaming may have ended in the middle of it.
#[cfg(any(feature = "ship", feature = "server"))]
pub(crate) fn has_whole_segment(directory: &Path, name: SegmentName, expected: &Expected) -> bool {
    let file = File::open(directory.join(name.to_string()));
    file.and_then(|mut file| is_whole(&mut file, name, expected)).unwrap_or(false)
}

/// Whether a file is the segment of this name, and complete. A recycled file is another segment, and the last one is
/// not complete.
#[cfg(any(feature = "ship", feature = "server"))]
pub(crate) fn is_whole(
    file: &mut File,
    name: SegmentName,
    expected: &Expected,
) -> std::io::Result<bool> {
    let Ok(header) = read_segment_header(file, name, expected)? else { return Ok(false) };
    Ok(completeness(name, &header, file)? == Completeness::Whole)
}

#[cfg(test)]
mod tests;
