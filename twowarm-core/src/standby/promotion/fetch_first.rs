//! Before a failover this node's archive gets what other nodes' archives have and it lacks, also beyond its last
//! segment: that a segment is missing before a later one shows only where the later one is.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::PromotionError;
use super::archive_question::Line;
use crate::archive::{
    Archive, FetchStep, Given, OtherArchive, Stored, Wanted, has_whole_segment, next_needed,
    wal_directories,
};
use crate::limits::Background;
use crate::wal::{
    ControlFile, Expected, SegmentInHistory, SegmentName, SegmentPlace, TimelineHistory,
    TimelineId, WalFileName,
};

/// How many segments after the last one are asked for one by one, since some of them may be missing.
const PROBES: u64 = 8;
/// How many missing segments before the last one are asked for.
const MOST: usize = 1024;
/// A node whose first answer takes longer is not waited for: restoreWALFile asks it once more, with the usual time
/// limit.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// Asks each node in turn. One that lets nothing arrive for `limit` is left.
pub(super) fn fetch(
    archive: &Archive,
    history: &TimelineHistory,
    given: Given,
    (control, data_directory): (&ControlFile, &Path),
    others: &[Arc<dyn OtherArchive>],
    limit: Duration,
    tell: &mut dyn FnMut(Line),
) -> Result<(), PromotionError> {
    for other in others {
        tell(Line::Asking(other.node()));
        let mut first = true;
        loop {
            let wanted =
                Wanting { archive, history, given, control, data_directory }.list(first)?;
            let last = wanted.segments.last().copied();
            match ask(other, wanted.list, limit, tell) {
                // The last of those that were probed is there, so that more may follow.
                Ok(stored) if last.is_some_and(|last| stored.contains(&last)) => first = false,
                Ok(_) => break,
                Err(why) => {
                    tell(Line::NotFetched(why));
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Fetches files on a thread that can be left. Returns the segments that are in this node's archive then.
fn ask(
    other: &Arc<dyn OtherArchive>,
    wanted: Vec<Wanted>,
    limit: Duration,
    tell: &mut dyn FnMut(Line),
) -> Result<BTreeSet<SegmentName>, String> {
    let (steps, arrived) = mpsc::channel();
    let (node, other) = (other.node(), Arc::clone(other));
    let result = Background::start(move || {
        let mut progress = |step| steps.send(step).is_ok();
        other.fetch(&wanted, &mut progress).map_err(|error| error.to_string())
    });
    let result = result.map_err(|error| format!("could not start a thread: {error}"))?;
    let mut stored = BTreeSet::new();
    let mut wait = limit.min(FIRST_ANSWER);
    let mut told = Instant::now();
    loop {
        match arrived.recv_timeout(wait) {
            Ok(FetchStep::Stored(name, how)) => {
                if let WalFileName::Segment(segment) = name {
                    stored.insert(segment);
                }
                tell(if how == Stored::New { Line::Fetched(name) } else { Line::Alive });
            }
            Ok(FetchStep::Unfit { name, why, .. }) => {
                tell(Line::NotFetched(format!("{node} has {name}, which was not stored: {why}")));
            }
            Ok(_) if told.elapsed() >= Duration::from_secs(1) => {
                told = Instant::now();
                tell(Line::Alive);
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let ended = result.wait(FIRST_ANSWER).unwrap_or(Ok(()));
                return ended.map(|()| stored);
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("{node} did not answer within {} s", wait.as_secs()));
            }
        }
        wait = limit;
    }
}

/// What this node's archive lacks.
struct Wanting<'a> {
    archive: &'a Archive,
    history: &'a TimelineHistory,
    given: Given,
    control: &'a ControlFile,
    data_directory: &'a Path,
}

struct List {
    list: Vec<Wanted>,
    /// The segments among them.
    segments: Vec<SegmentName>,
}

impl Wanting<'_> {
    /// The first list has the missing segments before the last one and the history of the next timeline too.
    fn list(&self, is_first: bool) -> Result<List, PromotionError> {
        let layout = self.control.layout();
        let is_own = |name: &SegmentName| {
            matches!(
                self.history.locate(*name, layout),
                SegmentInHistory::Included | SegmentInHistory::AtFork
            )
        };
        let archived: BTreeSet<SegmentPlace> =
            self.archive.segments()?.into_iter().filter(is_own).map(|name| name.place).collect();
        let next = next_needed(self.given, self.control, self.data_directory).place;
        let end = archived.last().copied().filter(|&last| last >= next);
        let number = |place| layout.number(place).ok();
        let Some(next) = number(next) else {
            return Ok(List { list: Vec::new(), segments: Vec::new() });
        };
        let after = end.and_then(number).map_or(next, |end| end + 1);
        let segment = |number| {
            let place = layout.place(number)?;
            let timeline = self.history.newest_with(place, layout)?;
            Some(SegmentName { timeline, place })
        };
        let mut segments = Vec::new();
        // What a server has restored that is started by another program is not known.
        if is_first && self.given != Given::Unknown {
            let wal = wal_directories(self.data_directory);
            let expected = Expected::of(self.control);
            let is_missing = |name: &SegmentName| {
                !archived.contains(&name.place)
                    && !wal.iter().any(|wal| has_whole_segment(wal, *name, &expected))
            };
            segments.extend((next..after).filter_map(segment).filter(is_missing).take(MOST));
        }
        segments.extend((after..=after + PROBES).filter_map(segment));
        let one = |name| Wanted { name, following: 0, even_damaged: false };
        let mut list: Vec<Wanted> =
            segments.iter().map(|&segment| one(WalFileName::Segment(segment))).collect();
        let timeline = self.history.timeline().number().checked_add(1);
        if let Some(Ok(timeline)) = timeline.map(TimelineId::new)
            && is_first
        {
            list.insert(0, one(WalFileName::History(timeline)));
        }
        Ok(List { list, segments })
    }
}
