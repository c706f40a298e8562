use std::fs;
use std::io;
use std::path::Path;

use super::{Following, Found, Superseded};
use crate::wal::{
    ForkPoint, SegmentLayout, SegmentName, TimelineHistory, TimelineId, WalFileName, check_history,
};

/// The timeline histories that a node has: those in its archive, and those that its server has fetched.
pub(super) struct Histories<'a> {
    pub(super) archive: &'a Path,
    pub(super) data_directory: &'a Path,
}

impl Histories<'_> {
    /// The histories of later timelines that came from this one. They are found as the server finds
    /// them: by trying the next number until one is missing.
    pub(super) fn descendants(
        &self,
        timeline: TimelineId,
    ) -> impl Iterator<Item = Result<TimelineHistory, Found>> {
        let later = (timeline.number() + 1..).map_while(|number| TimelineId::new(number).ok());
        later
            .map_while(|later| self.of(later).transpose())
            .filter(move |found| found.as_ref().map_or(true, |h| h.is_ancestor(timeline)))
    }

    /// The newest timeline that forked from a segment's own at or before it, and whether the server that
    /// asks for the segment can follow; one that it can follow comes first.
    pub(super) fn superseded(
        &self,
        name: SegmentName,
        layout: SegmentLayout,
    ) -> Result<Option<Superseded>, Found> {
        let mut best: Option<Superseded> = None;
        for history in self.descendants(name.timeline) {
            let history = history?;
            let (fork, may_be_at_end) = match history.fork_from(name.timeline) {
                Some(ForkPoint::Segment(fork)) => (*fork, true),
                Some(ForkPoint::Position(fork)) => (layout.containing(name.timeline, *fork), false),
                None => continue,
            };
            if fork.place > name.place {
                continue;
            }
            let fork = SegmentName { timeline: name.timeline, ..fork };
            let past = fork != name && !(may_be_at_end && layout.next(fork) == Some(name));
            let following = if past { Following::BaseCopy } else { Following::Possible };
            if best.is_none_or(|best| following <= best.following) {
                best = Some(Superseded { timeline: history.timeline(), following });
            }
        }
        Ok(best)
    }

    /// A timeline's history, from the archive or from what the server has fetched before.
    pub(super) fn of(&self, timeline: TimelineId) -> Result<Option<TimelineHistory>, Found> {
        let name = WalFileName::History(timeline).to_string();
        let fetched = ["pg_wal", "pg_xlog"].map(|wal| self.data_directory.join(wal).join(&name));
        for path in [self.archive.join(&name)].iter().chain(&fetched) {
            match fs::read(path) {
                Ok(text) => match check_history(timeline, &text) {
                    Ok(history) => return Ok(Some(history)),
                    // It tells nothing; the server's own request for it is what waits for a good one.
                    Err(e) => log::debug!("{}: {e}", path.display()),
                },
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(e) => {
                    return Err(Found::Unreadable(format!(
                        "could not read {}: {e}",
                        path.display()
                    )));
                }
            }
        }
        Ok(None)
    }
}
