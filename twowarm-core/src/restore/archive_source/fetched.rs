//! Files that are fetched from the archives of other nodes for a request.

use super::ArchiveSource;
use crate::data_directory::Identity;
use crate::restore::fetching::Fetching;
use crate::restore::{Found, Order, Source, StandbyRestore};

impl<'a> ArchiveSource<'a> {
    /// The same with the other archives, which are asked for files that this one lacks. They are asked on threads,
    /// so the process must end by [`finish_fetching`](ArchiveSource::finish_fetching). Without `waits` the request is
    /// answered at once while recovery is not to end.
    pub(in crate::restore) fn with_other_archives(
        self,
        restore: &'a StandbyRestore,
        waits: bool,
    ) -> ArchiveSource<'a> {
        ArchiveSource { fetching: Fetching::of(restore, waits), ..self }
    }

    /// Whether a file may still be fetched.
    pub(in crate::restore) fn is_fetching(&self) -> bool {
        self.fetching.as_ref().is_some_and(Fetching::is_busy)
    }

    /// Waits for files that are being fetched, after the answer; `order` is the order in force.
    pub(in crate::restore) fn finish_fetching(&mut self, order: &mut dyn FnMut() -> Order) {
        let layout = self.cluster.as_ref().and_then(Identity::layout);
        if let Some(fetching) = self.fetching.take() {
            fetching.finish(layout, order);
        }
    }

    /// Fetches the requested file, which this archive lacks or has damaged, if another archive has it.
    pub(super) fn fetch_other(&mut self, order: &Order, found: &Found) -> Found {
        let Some(mut fetching) = self.fetching.take() else { return Found::Absent };
        let layout = self.cluster.as_ref().and_then(Identity::layout);
        let requested = self.request.name.segment().map(|segment| segment.place);
        let mut has_gap = || {
            let missing = self.gap().map(|gap| gap.missing.place);
            missing.is_some() && missing == requested
        };
        let found = match found.is_unfit_file() {
            true => fetching.look_for_intact(order, layout),
            false => fetching.look(order, layout, &mut has_gap),
        };
        self.unstored = fetching.take_fetched();
        self.fetching = Some(fetching);
        found
    }

    /// Records how restoring the fetched file ended, if there is one.
    pub(super) fn note_unstored(&mut self, done: &Result<(), Found>) {
        let (Some(fetched), Some(fetching)) = (&self.unstored, &mut self.fetching) else { return };
        let (name, node) = (self.request.name, &fetched.node);
        match (done, &fetched.not_stored) {
            (Ok(()), Some(why)) => log::warn!(
                "restored {name} from {node} without storing it in the archive \"{}\": {why}",
                self.archive.display()
            ),
            (Ok(()), None) => log::warn!(
                "restored an intact {name} from {node}, since the file \"{}\" is damaged, incomplete or another file. That file was not changed",
                self.archive.join(name.to_string()).display()
            ),
            // The target's disk may be full for a while.
            (Err(Found::NotCopied(_)), _) => return,
            (Err(_), _) => self.unstored_failed = true,
        }
        if done.is_ok() {
            fetching.note_restored(fetched);
        }
    }

    /// Returns to the file in the archive.
    pub(super) fn reject_unstored(&mut self) {
        (self.unstored, self.unstored_failed) = (None, false);
        if let Some(fetching) = self.fetching.as_mut().filter(|_| self.ending) {
            fetching.reject();
        }
    }
}
