//! Files that are restored without being stored in the archive.

use std::path::Path;

use super::question::Answer;
use super::{Fetching, Found, Order, Schedule, now};
use crate::archive::{ScratchFile, Wanted};
use crate::wal::SegmentLayout;

/// What one request knows about its file, if it is not to be stored.
#[derive(Debug, Default)]
pub(super) struct Unstored {
    /// Its name in the archive belongs to a damaged file.
    pub(super) name_is_taken: bool,
    /// Why it could not be stored, which was tried before.
    failed: Option<String>,
    fetched: Option<Fetched>,
    /// No request waits for such a file.
    pub(super) only_in_failover: bool,
    /// A fetched file was of no use in a failover.
    rejected: bool,
}

/// A complete, checked file that is not in the archive.
#[derive(Debug)]
pub(in crate::restore) struct Fetched {
    pub(in crate::restore) file: ScratchFile,
    /// The node that had it.
    pub(in crate::restore) node: String,
    /// Why it could not be stored; `None` if its name belongs to a damaged file.
    pub(in crate::restore) not_stored: Option<String>,
}

impl Unstored {
    pub(super) fn new(only_in_failover: bool) -> Unstored {
        Unstored { only_in_failover, ..Unstored::default() }
    }

    pub(super) fn is_fetched(&self) -> bool {
        self.fetched.is_some()
    }

    /// Whether a file may be fetched now without being stored.
    pub(super) fn is_possible(&self, ending: bool) -> bool {
        if ending { !self.rejected } else { !self.only_in_failover }
    }

    /// Records the answer to a question for this scratch file.
    pub(super) fn note(&mut self, answer: Answer, file: ScratchFile, node: &str) -> Answer {
        let not_stored = self.failed.take();
        match answer {
            // The other node has not failed.
            Answer::NotStored(why) => {
                let why = not_stored.map_or(why.clone(), |before| format!("{before}; {why}"));
                Answer::Unfit { why, damaged: false }
            }
            Answer::Fetched { .. } => {
                self.fetched = Some(Fetched { file, node: node.to_owned(), not_stored });
                answer
            }
            answer => answer,
        }
    }
}

impl Fetching<'_> {
    /// Asks the other archives for an intact copy of the file, of which this node's archive has a damaged one, if it
    /// is time to. The result is as that of [`look`](Fetching::look).
    pub(in crate::restore) fn look_for_intact(
        &mut self,
        order: &Order,
        layout: Option<SegmentLayout>,
    ) -> Found {
        let ending = !matches!(order, Order::Wait | Order::Unsettled);
        if !self.unstored.is_possible(ending) {
            return Found::Absent;
        }
        self.unstored.name_is_taken = true;
        let found = self.look(order, layout, &mut || false);
        self.unstored.name_is_taken = false;
        found
    }

    /// The file that was fetched last, once.
    pub(in crate::restore) fn take_fetched(&mut self) -> Option<Fetched> {
        self.unstored.fetched.take()
    }

    /// The fetched file could not be restored. In a failover it is not fetched again.
    pub(in crate::restore) fn reject(&mut self) {
        self.unstored.rejected = true;
    }

    /// The fetched file was restored. The server may request it again.
    pub(in crate::restore) fn note_restored(&mut self, fetched: &Fetched) {
        let name = self.name;
        if fetched.not_stored.is_none() && self.is_segment() {
            self.update(|facts| facts.segment = Some(Schedule::at_once(name, now())));
        }
    }

    /// Asks a place once more, for a scratch file, because the file could not be stored for this reason.
    pub(super) fn ask_again(&mut self, place: usize, wanted: Wanted, why: &str, ending: bool) {
        self.unstored.failed = Some(why.to_owned());
        self.ask(place, ending, vec![wanted]);
        if self.question.is_none() {
            self.unstored.failed = None;
        }
    }

    /// The scratch file for the next question, if its answer is not to be stored.
    pub(super) fn scratch(&self) -> Result<Option<ScratchFile>, String> {
        if !self.unstored.name_is_taken && self.unstored.failed.is_none() {
            return Ok(None);
        }
        let directory = match self.target.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory,
            _ => Path::new("."),
        };
        ScratchFile::create_in(directory).map(Some).map_err(|e| e.to_string())
    }
}
