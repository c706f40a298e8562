use super::{Lsn, SegmentName, SegmentPlace, SegmentSize, TimelineId};
use crate::version::PgMajor;

/// How a cluster lays its log out in segment files: the segment size, and whether the last segment of
/// each 4 GB is skipped (before 9.3) or used (from 9.3 on).
///
/// The same name means another position under another layout, so every conversion goes through here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentLayout {
    size: SegmentSize,
    per_log_id: u64,
}

impl SegmentLayout {
    /// The layout of a cluster of this version with segments of this size.
    pub fn new(major: PgMajor, size: SegmentSize) -> SegmentLayout {
        let log_id_span = if major.skips_last_segment() { 0xFFFF_FFFF } else { 1 << 32 };
        SegmentLayout { size, per_log_id: log_id_span / size.bytes() }
    }

    /// The segment size.
    pub fn size(self) -> SegmentSize {
        self.size
    }

    /// How many segments share a log id.
    pub fn segments_per_log_id(self) -> u64 {
        self.per_log_id
    }

    /// The segment's number counted from the start of the log (`XLogSegNo` in PostgreSQL).
    pub fn number(self, place: SegmentPlace) -> Result<u64, NoSuchSegment> {
        if u64::from(place.segment) < self.per_log_id {
            Ok(u64::from(place.log_id) * self.per_log_id + u64::from(place.segment))
        } else {
            Err(NoSuchSegment { place, layout: self })
        }
    }

    /// The place of a segment by its number; none past the end of the log.
    pub fn place(self, number: u64) -> Option<SegmentPlace> {
        let log_id = u32::try_from(number / self.per_log_id).ok()?;
        let segment = u32::try_from(number % self.per_log_id).ok()?;
        Some(SegmentPlace { log_id, segment })
    }

    /// The position of the segment's first byte.
    pub fn start(self, place: SegmentPlace) -> Result<Lsn, NoSuchSegment> {
        self.number(place)?;
        Ok(Lsn((u64::from(place.log_id) << 32) + u64::from(place.segment) * self.size.bytes()))
    }

    /// The segment that holds the byte at this position. A position in the range that servers before
    /// 9.3 never use counts to the start of the next log id (in the last log id, to its last segment).
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

    /// The segment that holds the byte before this position: the last one of a log that ends here.
    /// None at the very start of the log. Servers before 9.3 write the end of a log id both as
    /// 0/FF000000 and as 1/0.
    pub fn ending_at(self, timeline: TimelineId, lsn: Lsn) -> Option<SegmentName> {
        let (log_id, segment) = self.slot(lsn);
        if segment >= self.per_log_id {
            let last = (self.per_log_id - 1) as u32;
            return Some(SegmentName { timeline, place: SegmentPlace { log_id, segment: last } });
        }
        let holder = self.containing(timeline, lsn);
        if self.start(holder.place) == Ok(lsn) { self.previous(holder) } else { Some(holder) }
    }

    /// Log id and segment by plain division, whether the layout has that segment or not.
    fn slot(self, lsn: Lsn) -> (u32, u64) {
        ((lsn.0 >> 32) as u32, (lsn.0 & 0xFFFF_FFFF) / self.size.bytes())
    }

    /// The segment after this one on the same timeline; none after the last there can be, and none
    /// for a name that this layout does not have.
    pub fn next(self, name: SegmentName) -> Option<SegmentName> {
        let place = self.place(self.number(name.place).ok()?.checked_add(1)?)?;
        Some(SegmentName { place, ..name })
    }

    /// The segment before this one on the same timeline; none before the first.
    pub fn previous(self, name: SegmentName) -> Option<SegmentName> {
        let place = self.place(self.number(name.place).ok()?.checked_sub(1)?)?;
        Some(SegmentName { place, ..name })
    }

    /// How many segments `to` is after `from`; negative when it is before.
    pub fn distance(self, from: SegmentPlace, to: SegmentPlace) -> Result<i64, NoSuchSegment> {
        let number = |place| self.number(place).map(|n| n as i64);
        Ok(number(to)? - number(from)?)
    }
}

/// The name is well formed, but clusters of this layout have no such segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "segment {:08X} of log id {:08X} does not exist with segments of {} ({} to a log id)",
    place.segment, place.log_id, layout.size, layout.per_log_id
)]
pub struct NoSuchSegment {
    /// The place asked for.
    pub place: SegmentPlace,
    /// The layout that lacks it.
    pub layout: SegmentLayout,
}
