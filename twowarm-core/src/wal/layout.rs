use super::{Lsn, SegmentName, SegmentPlace, SegmentSize, TimelineId};
use crate::version::PgMajor;

/// How the log of a cluster is divided into segment files: the segment size, and whether the last segment of
/// each 4 GB is skipped (before 9.3) or used (from 9.3 on).
///
/// The position of a segment depends on the layout, so every conversion between names and positions is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentLayout {
    size: SegmentSize,
    per_log_id: u64,
}

impl SegmentLayout {
    /// The layout of a cluster of this version and segment size.
    #[must_use]
    pub fn new(major: PgMajor, size: SegmentSize) -> SegmentLayout {
        let log_id_span = if major.skips_last_segment() { 0xFFFF_FFFF } else { 1 << 32 };
        SegmentLayout { size, per_log_id: log_id_span / size.bytes() }
    }

    /// The segment size.
    #[must_use]
    pub fn size(self) -> SegmentSize {
        self.size
    }

    /// The number of segments for each log id.
    #[must_use]
    pub fn segments_per_log_id(self) -> u64 {
        self.per_log_id
    }

    /// The number of the segment from the start of the log (`XLogSegNo` in PostgreSQL).
    ///
    /// # Errors
    /// If the layout has no such segment.
    pub fn number(self, place: SegmentPlace) -> Result<u64, NoSuchSegment> {
        if u64::from(place.segment) < self.per_log_id {
            Ok(u64::from(place.log_id) * self.per_log_id + u64::from(place.segment))
        } else {
            Err(NoSuchSegment { place, layout: self })
        }
    }

    /// The segment with this number; `None` after the end of the log.
    #[must_use]
    pub fn place(self, number: u64) -> Option<SegmentPlace> {
        let log_id = u32::try_from(number / self.per_log_id).ok()?;
        let segment = u32::try_from(number % self.per_log_id).ok()?;
        Some(SegmentPlace { log_id, segment })
    }

    /// The position of the first byte of the segment.
    ///
    /// # Errors
    /// If the layout has no such segment.
    pub fn start(self, place: SegmentPlace) -> Result<Lsn, NoSuchSegment> {
        self.number(place)?;
        Ok(Lsn((u64::from(place.log_id) << 32) + u64::from(place.segment) * self.size.bytes()))
    }

    /// The segment that contains the byte at this position. A position in the range that servers before 9.3
    /// never use belongs to the first segment of the next log id (in the last log id, to its last segment).
    #[must_use]
    pub fn containing(self, timeline: TimelineId, lsn: Lsn) -> SegmentName {
        let (log_id, segment) = self.slot(lsn);
        let last = (self.per_log_id - 1) as u32;
        let place = match log_id.checked_add(1) {
            _ if segment < self.per_log_id => SegmentPlace { log_id, segment: segment as u32 },
            Some(log_id) => SegmentPlace { log_id, segment: 0 },
            None => SegmentPlace { log_id, segment: last },
        };
        SegmentName { timeline, place }
    }

    /// The segment that contains the byte before this position, which is the last one of a log that ends
    /// here. `None` at the start of the log. Servers before 9.3 write the end of a log id as 0/FF000000 or 1/0.
    #[must_use]
    pub fn ending_at(self, timeline: TimelineId, lsn: Lsn) -> Option<SegmentName> {
        let (log_id, segment) = self.slot(lsn);
        if segment >= self.per_log_id {
            let last = (self.per_log_id - 1) as u32;
            return Some(SegmentName { timeline, place: SegmentPlace { log_id, segment: last } });
        }
        let holder = self.containing(timeline, lsn);
        if self.start(holder.place) == Ok(lsn) { self.previous(holder) } else { Some(holder) }
    }

    /// Log id and segment by division; the layout may not have that segment.
    fn slot(self, lsn: Lsn) -> (u32, u64) {
        ((lsn.0 >> 32) as u32, (lsn.0 & 0xFFFF_FFFF) / self.size.bytes())
    }

    /// The next segment on the same timeline; `None` after the last possible one, and if the layout does not
    /// have this segment.
    #[must_use]
    pub fn next(self, name: SegmentName) -> Option<SegmentName> {
        let place = self.place(self.number(name.place).ok()?.checked_add(1)?)?;
        Some(SegmentName { place, ..name })
    }

    /// The previous segment on the same timeline; `None` before the first.
    #[must_use]
    pub fn previous(self, name: SegmentName) -> Option<SegmentName> {
        let place = self.place(self.number(name.place).ok()?.checked_sub(1)?)?;
        Some(SegmentName { place, ..name })
    }

    /// The number of segments from `from` to `to`; negative if `to` is before `from`.
    ///
    /// # Errors
    /// If the layout does not have one of the segments.
    pub fn distance(self, from: SegmentPlace, to: SegmentPlace) -> Result<i64, NoSuchSegment> {
        let number = |place| self.number(place).map(|n| n as i64);
        Ok(number(to)? - number(from)?)
    }
}

/// The name is valid, but clusters of this layout have no such segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "segment {:08X} of log id {:08X} does not exist in a cluster with segments of {} ({} segments for each log id)",
    place.segment, place.log_id, layout.size, layout.per_log_id
)]
pub struct NoSuchSegment {
    /// The requested segment.
    pub place: SegmentPlace,
    /// The layout that does not have it.
    pub layout: SegmentLayout,
}
