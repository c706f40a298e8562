//! Which files of an archive may go: a pure plan, so that what is deleted can be tested without
//! deleting anything.

mod sweep;

use std::collections::BTreeSet;

pub use sweep::{NotSwept, Sweep, is_segment_name, timelines_up_to};

use crate::wal::{SegmentLayout, SegmentName, SegmentPlace};

/// What somebody still needs of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// This segment and those after it.
    From(SegmentPlace),
    /// Not known: all of it.
    Unknown,
}

/// The restart point that a server from 8.3 on gives its restore_command as `%r`: replay starts there
/// if the standby is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPoint {
    /// The server gives none: no argument, or a `%r` that 8.2 does not replace.
    Absent,
    /// 24 zeros: the server knows of none now, before redo starts and after it has ended. It may need
    /// anything.
    NotNow,
    /// Replay would start in this segment.
    At(SegmentName),
    /// The argument is none of these; nothing may go on its account.
    Unreadable,
}

impl RestartPoint {
    /// Reads restore_command's argument.
    pub fn parse(argument: Option<&str>) -> RestartPoint {
        match argument {
            None | Some("" | "%r" | "%R") => RestartPoint::Absent,
            Some("000000000000000000000000") => RestartPoint::NotNow,
            Some(text) => text.parse().map_or(RestartPoint::Unreadable, RestartPoint::At),
        }
    }
}

/// Everything that decides what may go after a segment was restored.
#[derive(Debug, Clone, Copy)]
pub struct Needs<'a> {
    /// The segment that was just restored: it and those after it always stay.
    pub restored: SegmentName,
    /// What the server said.
    pub restart_point: RestartPoint,
    /// How many segments before the restored one stay where the server says nothing, counted in this
    /// layout; none means all of them.
    pub keep: Option<(SegmentLayout, u32)>,
    /// What others who read this archive have not got yet.
    pub floors: &'a [Floor],
}

impl Needs<'_> {
    /// The oldest place that has to stay, if anything may go at all: the least of all needs.
    ///
    /// Timelines do not count: a segment of an old timeline that lies before the restart point is not
    /// needed by anybody on a newer one.
    pub fn oldest_needed(&self) -> Option<SegmentPlace> {
        let own = match self.restart_point {
            RestartPoint::At(name) if name.place <= self.restored.place => name.place,
            RestartPoint::Absent => {
                let (layout, count) = self.keep?;
                let number = layout.number(self.restored.place).ok()?;
                layout.place(number.checked_sub(u64::from(count))?)?
            }
            // A restart point after the segment that the server asks for makes no sense.
            RestartPoint::At(_) | RestartPoint::NotNow | RestartPoint::Unreadable => return None,
        };
        self.floors.iter().try_fold(own, |least, floor| match floor {
            Floor::From(place) => Some(least.min(*place)),
            Floor::Unknown => None,
        })
    }

    /// The names among these that may go. Only whole segments ever do: histories, .backup and
    /// .partial files and names that are not ours stay.
    pub fn plan<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> BTreeSet<SegmentName> {
        let Some(oldest) = self.oldest_needed() else { return BTreeSet::new() };
        names
            .into_iter()
            .filter_map(|name| name.parse::<SegmentName>().ok())
            .filter(|name| name.place < oldest)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::PgMajor;
    use crate::wal::SegmentSize;
    use proptest::prelude::*;

    fn name(text: &str) -> SegmentName {
        text.parse().unwrap()
    }

    const NAMES: [&str; 8] = [
        "000000010000000C00000098",
        "000000010000000C00000097",
        "000000020000000C00000050",
        "000000020000000D00000001",
        "00000002.history",
        "000000010000000C00000001.00000020.backup",
        "000000010000000C00000002.partial",
        "000000010000000c00000003",
    ];

    fn plan(restart: Option<&str>, keep: Option<u32>, floors: &[Floor]) -> Vec<String> {
        let layout = SegmentLayout::new("15".parse::<PgMajor>().unwrap(), SegmentSize::DEFAULT);
        let needs = Needs {
            restored: name("000000010000000C00000099"),
            restart_point: RestartPoint::parse(restart),
            keep: keep.map(|count| (layout, count)),
            floors,
        };
        needs.plan(NAMES).iter().map(SegmentName::to_string).collect()
    }

    #[test]
    fn what_lies_before_the_restart_point_goes_whatever_its_timeline() {
        assert_eq!(
            plan(Some("000000010000000C00000098"), None, &[]),
            ["000000010000000C00000097", "000000020000000C00000050"]
        );
    }

    #[test]
    fn zeros_nothing_nonsense_and_a_restart_point_in_the_future_prune_nothing() {
        let future = "000000010000000C0000009A";
        for restart in ["%r", ""] {
            assert!(plan(Some(restart), None, &[]).is_empty(), "{restart}");
        }
        for restart in ["000000000000000000000000", "nonsense", future] {
            assert!(plan(Some(restart), Some(2), &[]).is_empty(), "{restart}");
        }
        assert!(plan(None, None, &[]).is_empty());
    }

    #[test]
    fn a_keep_count_counts_only_without_a_restart_point() {
        assert_eq!(plan(None, Some(2), &[]), ["000000020000000C00000050"]);
        assert_eq!(plan(Some("000000010000000C00000050"), Some(0), &[]), [""; 0]);
        assert!(plan(None, Some(u32::MAX), &[]).is_empty());
    }

    #[test]
    fn what_another_consumer_needs_or_may_need_stays() {
        let restart = Some("000000010000000C00000098");
        let floor = Floor::From(name("000000010000000C00000090").place);
        assert_eq!(plan(restart, None, &[floor]), ["000000020000000C00000050"]);
        assert!(plan(restart, None, &[floor, Floor::Unknown]).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_needed_ever_goes(log_id in 0u32..3, segment in 0u32..256, r_log in 0u32..3,
            r_segment in 0u32..256, f_log in 0u32..3, f_segment in 0u32..256) {
            let place = |log_id, segment| SegmentPlace { log_id, segment };
            let restored = SegmentName { place: place(2, 255), ..name("000000010000000000000000") };
            let restart = SegmentName { place: place(r_log, r_segment), ..restored };
            let candidate = SegmentName { place: place(log_id, segment), ..restored }.to_string();
            let floor = place(f_log, f_segment);
            let needs = Needs { restored, restart_point: RestartPoint::At(restart), keep: None,
                floors: &[Floor::From(floor)] };
            let goes = !needs.plan([candidate.as_str()]).is_empty();
            prop_assert_eq!(goes, place(log_id, segment) < restart.place.min(floor));
        }
    }
}
