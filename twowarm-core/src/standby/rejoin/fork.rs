use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::{RejoinError, RejoinStep};
use crate::archive::{Archive, FetchStep, OtherArchive, Wanted, have_same_bytes};
use crate::file_error::FileError;
use crate::receipt::Receipt;
use crate::timelines::Timelines;
use crate::wal::{ControlFile, ForkPoint, SegmentName, TimelineHistory, TimelineId, WalFileName};

/// How many histories after the node's own timeline are asked for: each promotion makes one.
const HISTORIES: u32 = 8;

/// Where the new primary continued.
pub(super) struct Fork<'a> {
    pub(super) archive: &'a Archive,
    pub(super) receipt: &'a Receipt,
    pub(super) control: &'a ControlFile,
    /// The node's own copy of the receipt's segment.
    pub(super) segment: &'a Path,
    pub(super) others: &'a [Arc<dyn OtherArchive>],
}

impl Fork<'_> {
    /// Checks that the newest timeline forked from the node's own exactly at the end of the receipt. Returns it.
    pub(super) fn check(
        &self,
        report: &mut dyn FnMut(RejoinStep),
    ) -> Result<TimelineId, RejoinError> {
        let own = self.receipt.timeline;
        let history = self.newest_history(report)?;
        let timeline = history.timeline();
        let other = |fork: String| {
            Err(RejoinError::OtherFork { timeline, own, fork, end: self.receipt.end })
        };
        match history.fork_from(own) {
            None => Err(RejoinError::NotAChild { timeline, own }),
            Some(ForkPoint::Position(fork)) if *fork == self.receipt.end => Ok(timeline),
            Some(ForkPoint::Position(fork)) => other(fork.to_string()),
            Some(ForkPoint::Segment(fork)) if *fork == self.receipt.segment => {
                self.check_first_segment(&history, report)?;
                Ok(timeline)
            }
            Some(ForkPoint::Segment(fork)) => other(fork.to_string()),
        }
    }

    fn newest_history(
        &self,
        report: &mut dyn FnMut(RejoinStep),
    ) -> Result<TimelineHistory, RejoinError> {
        let own = self.receipt.timeline;
        let known = || {
            let later = Timelines::new(self.archive.path(), None).archived_after(own)?;
            Ok::<_, RejoinError>(later.into_iter().next_back())
        };
        if let Some(history) = known()? {
            return Ok(history);
        }
        let later = (1..=HISTORIES).filter_map(|n| own.number().checked_add(n));
        let later = later.filter_map(|number| TimelineId::new(number).ok());
        let asked = self.fetch(&later.map(WalFileName::History).collect::<Vec<_>>(), report);
        let archive = self.archive.path().to_owned();
        known()?.ok_or(RejoinError::NoHistory { timeline: own, archive, asked })
    }

    /// Through 9.2 a history does not tell the position. The new timeline's first segment does: it begins as a copy of
    /// the node's own one, up to the fork. If it is equal up to the end of the receipt, the fork is not before it; and
    /// the node's timeline has no WAL after it.
    fn check_first_segment(
        &self,
        history: &TimelineHistory,
        report: &mut dyn FnMut(RejoinStep),
    ) -> Result<(), RejoinError> {
        let receipt = self.receipt;
        let child = history.ancestors().iter().map(|ancestor| ancestor.timeline);
        let child = child.chain([history.timeline()]).find(|&child| child > receipt.timeline);
        let timeline = child.unwrap_or(history.timeline());
        let first = SegmentName { timeline, ..receipt.segment };
        let name = WalFileName::Segment(first);
        let mut asked = None;
        if self.archive.find(name)?.is_none() {
            asked = self.fetch(&[name], report);
        }
        let Some(theirs) = self.archive.find(name)? else {
            return Err(RejoinError::NoSegment { segment: first, asked });
        };
        let start = self.control.layout().start(receipt.segment.place).unwrap_or(receipt.end);
        let length = receipt.end.0.saturating_sub(start.0);
        let ours = File::open(self.segment).map_err(FileError::of("open", self.segment))?;
        let same = have_same_bytes(&mut ours.take(length), &mut theirs.take(length))
            .map_err(FileError::of("compare", self.segment))?;
        if same {
            return Ok(());
        }
        Err(RejoinError::OtherFork {
            timeline,
            own: receipt.timeline,
            fork: format!("an earlier position in {}", receipt.segment),
            end: receipt.end,
        })
    }

    /// Asks other nodes until one has a file. Returns why they could not be asked.
    fn fetch(&self, names: &[WalFileName], report: &mut dyn FnMut(RejoinStep)) -> Option<String> {
        let one = |&name| Wanted { name, following: 0, even_damaged: false };
        let wanted: Vec<Wanted> = names.iter().map(one).collect();
        let mut failed = None;
        for other in self.others {
            let node = other.node();
            let mut found = false;
            let fetched = other.fetch(&wanted, &mut |step| {
                match step {
                    FetchStep::Stored(name, _) => {
                        found = true;
                        report(RejoinStep::Fetched { name, node: node.clone() });
                    }
                    FetchStep::Unfit { name, why, .. } => {
                        failed = Some(format!("{node} has {name}, which was not stored: {why}"));
                    }
                    _ => {}
                }
                true
            });
            if found {
                return None;
            }
            match fetched {
                Ok(()) => failed = failed.or_else(|| Some(format!("{node} has none"))),
                Err(error) => failed = Some(format!("{node}: {error}")),
            }
        }
        failed
    }
}
