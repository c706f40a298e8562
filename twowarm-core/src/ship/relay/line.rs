//! The line of timelines that is relayed, and its segments by place.

use std::path::Path;

use super::RelayError;
use crate::timelines::Timelines;
use crate::wal::{
    ForkPoint, SegmentInHistory, SegmentLayout, SegmentName, SegmentPlace, TimelineHistory,
    TimelineId,
};

/// The newest timeline that continues the one of the next segment, with its ancestors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    newest: TimelineHistory,
    layout: SegmentLayout,
    /// The timelines from that of the next segment to the newest one.
    timelines: Vec<TimelineId>,
}

impl Line {
    /// The line from this timeline on that the archive shows.
    pub(super) fn of_archive(
        archive: &Path,
        timeline: TimelineId,
        layout: SegmentLayout,
    ) -> Result<Line, RelayError> {
        let timelines = Timelines::new(archive, None);
        let newest = match timelines.archived_descendants(timeline)?.pop() {
            Some(newest) => Some(newest),
            None => timelines.history(timeline)?,
        };
        let newest = newest.unwrap_or_else(|| TimelineHistory::without_ancestors(timeline));
        Ok(Line::new(newest, timeline, layout))
    }

    /// The line that ends with the timeline of this node, which was promoted; `None` if it does not contain the other
    /// timeline.
    pub(super) fn of_primary(
        data_directory: &Path,
        own: TimelineId,
        timeline: TimelineId,
        layout: SegmentLayout,
    ) -> Result<Option<Line>, RelayError> {
        let history = Timelines::new(&data_directory.join("pg_wal"), None).history(own)?;
        let history = match history {
            Some(history) => Some(history),
            None => Timelines::new(&data_directory.join("pg_xlog"), None).history(own)?,
        };
        let newest = history.unwrap_or_else(|| TimelineHistory::without_ancestors(own));
        let has = own == timeline || newest.is_ancestor(timeline);
        Ok(has.then(|| Line::new(newest, timeline, layout)))
    }

    fn new(newest: TimelineHistory, from: TimelineId, layout: SegmentLayout) -> Line {
        let ancestors = newest.ancestors().iter().map(|ancestor| ancestor.timeline);
        let timelines = ancestors.chain([newest.timeline()]);
        let timelines = timelines.filter(|&timeline| timeline >= from).collect();
        Line { newest, layout, timelines }
    }

    pub(super) fn newest(&self) -> TimelineId {
        self.newest.timeline()
    }

    /// The segment with the WAL of this place; it has the name of the newest timeline that contains it.
    pub(super) fn segment(&self, place: SegmentPlace) -> SegmentName {
        let newest = self.newest.newest_with(place, self.layout);
        SegmentName { timeline: newest.unwrap_or(self.newest()), place }
    }

    /// The segments of this place that older timelines left when the next one forked.
    pub(super) fn left_at(&self, place: SegmentPlace) -> Vec<SegmentName> {
        let segment = self.segment(place);
        let on = |&timeline: &TimelineId| SegmentName { timeline, place };
        let others = self.timelines.iter().map(on).filter(|name| *name != segment);
        let counts = |name: &SegmentName| {
            let found = self.newest.locate(*name, self.layout);
            matches!(found, SegmentInHistory::Included | SegmentInHistory::AtFork)
        };
        others.filter(counts).collect()
    }

    pub(super) fn after(&self, segment: SegmentName) -> SegmentName {
        self.layout.next(segment).map_or(segment, |next| self.segment(next.place))
    }

    /// The number of a segment from the beginning of the log.
    pub(super) fn number(&self, segment: SegmentName) -> u64 {
        self.layout.number(segment.place).unwrap_or_default()
    }

    /// Where relaying continues if the next segment is known by the name of its timeline at that time: a newer timeline
    /// may have forked before it.
    pub(super) fn resume(&self, next: SegmentName) -> SegmentName {
        let fork = match self.newest.fork_from(next.timeline) {
            Some(ForkPoint::Position(fork)) => {
                Some(self.layout.containing(next.timeline, *fork).place)
            }
            Some(ForkPoint::Segment(fork)) => Some(fork.place),
            None => None,
        };
        self.segment(fork.map_or(next.place, |fork| fork.min(next.place)))
    }
}
