use crate::wal::{ControlFile, Lsn, SegmentName, TimelineId};

/// How far a cluster's server has written or replayed WAL, according to pg_control. A standby may have replayed
/// more, but not less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The position.
    pub position: Lsn,
    /// Its timeline.
    pub timeline: TimelineId,
}

impl Reached {
    /// According to this pg_control.
    #[must_use]
    pub fn of(control: &ControlFile) -> Reached {
        let recovery_timeline = control.min_recovery_timeline.unwrap_or(TimelineId::FIRST);
        Reached {
            position: control
                .min_recovery_point
                .map_or(control.checkpoint, |end| end.max(control.checkpoint)),
            timeline: control.timeline.max(recovery_timeline),
        }
    }

    /// Whether any part of this segment has been replayed or written.
    #[must_use]
    pub fn is_in_or_past(self, segment: SegmentName, control: &ControlFile) -> bool {
        let begins = control.layout().start(segment.place);
        segment.timeline <= self.timeline && begins.is_ok_and(|begins| begins < self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_counts_as_replayed_from_its_first_record_on() {
        let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/15/pg_control");
        let mut control = ControlFile::parse(&std::fs::read(sample).unwrap()).unwrap();
        let size = control.segment_size.bytes();
        control.timeline = TimelineId::new(2).unwrap();
        control.checkpoint = Lsn(5 * size + 40);
        let replayed = |control: &ControlFile, name: &str| {
            Reached::of(control).is_in_or_past(name.parse().unwrap(), control)
        };
        for (end, four, five, six) in [
            (None, true, true, false),
            (Some(Lsn(4 * size)), true, true, false),
            (Some(Lsn(6 * size)), true, true, false),
            (Some(Lsn(6 * size + 1)), true, true, true),
        ] {
            control.min_recovery_point = end;
            for timeline in 1..3 {
                let of = |n: u32| replayed(&control, &format!("{timeline:08X}00000000{n:08X}"));
                assert_eq!((of(4), of(5), of(6)), (four, five, six), "{end:?}");
            }
            assert!(!replayed(&control, "000000030000000000000004"));
            control.min_recovery_timeline = TimelineId::new(3).ok();
            assert!(replayed(&control, "000000030000000000000004"));
            control.min_recovery_timeline = None;
        }
    }
}
