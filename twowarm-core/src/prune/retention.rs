use crate::wal::{SegmentLayout, SegmentName, SegmentPlace};

/// What another consumer of an archive still needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// This segment and all later ones.
    From(SegmentPlace),
    /// Not known: it may need every segment.
    Unknown,
}

impl Floor {
    /// With at most this many segments before the restored one. What is not known is not limited.
    #[must_use]
    pub fn limited(self, restored: SegmentPlace, layout: SegmentLayout, segments: u64) -> Floor {
        let Floor::From(place) = self else { return self };
        let number = layout.number(restored).ok();
        let least = number.and_then(|number| layout.place(number.saturating_sub(segments)));
        Floor::From(least.map_or(place, |least| place.max(least)))
    }
}

/// The restart point that a server from 8.3 on passes to its restore_command as `%r`: if the standby is
/// restarted, replay starts there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPoint {
    /// The server passes none: no argument, or a `%r` that 8.2 does not replace.
    Absent,
    /// 24 zeros: the server knows none at the moment, before redo starts and after it has ended. It may
    /// need every segment.
    NotNow,
    /// Replay would start in this segment.
    At(SegmentName),
    /// The argument is none of these. Nothing is removed.
    Unreadable,
}

impl RestartPoint {
    /// Parses restore_command's argument.
    #[must_use]
    pub fn parse(argument: Option<&str>) -> RestartPoint {
        match argument {
            None | Some("" | "%r" | "%R") => RestartPoint::Absent,
            Some("000000000000000000000000") => RestartPoint::NotNow,
            Some(text) => text.parse().map_or(RestartPoint::Unreadable, RestartPoint::At),
        }
    }
}

/// Which segments must be kept after a segment was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention<'a> {
    /// The segment that was restored. It and all later ones are kept.
    pub restored: SegmentName,
    /// The restart point that the server passed.
    pub restart_point: RestartPoint,
    /// The cluster's segment layout, if it is known.
    pub layout: Option<SegmentLayout>,
    /// How many segments before the restored one are kept if the server passes no restart point; 0 keeps
    /// all of them, and so does an unknown layout.
    pub keep: u32,
    /// What other consumers of the archive, such as a DR node, have not received yet.
    pub floors: &'a [Floor],
}

impl Retention<'_> {
    /// The oldest segment that must be kept, on any timeline; `None` if every segment must be kept.
    ///
    /// The timeline does not matter: a segment of an old timeline before the restart point is not needed
    /// on a newer one.
    pub(crate) fn oldest_needed(&self) -> Option<SegmentPlace> {
        let own = match self.restart_point {
            RestartPoint::At(name) if name.place <= self.restored.place => name.place,
            RestartPoint::Absent if self.keep > 0 => {
                let layout = self.layout?;
                let number = layout.number(self.restored.place).ok()?;
                layout.place(number.checked_sub(u64::from(self.keep))?)?
            }
            // A restart point after the requested segment is an error of the caller.
            RestartPoint::At(_)
            | RestartPoint::Absent
            | RestartPoint::NotNow
            | RestartPoint::Unreadable => return None,
        };
        self.floors.iter().try_fold(own, |least, floor| match floor {
            Floor::From(place) => Some(least.min(*place)),
            Floor::Unknown => None,
        })
    }
}
