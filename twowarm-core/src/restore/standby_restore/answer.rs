//! The child's part: asks the archive, tells its parent the answer, and prunes.

use std::cell::RefCell;
use std::path::PathBuf;
use std::process;

use super::StandbyRestore;
use crate::data_directory::IdentityError;
use crate::restore::archive_process::{NoEvents, Reporting, ToParent};
use crate::restore::archive_source::ArchiveSource;
use crate::restore::outcome::{RESTORED, STOP_SERVER};
use crate::restore::standby_policy::StandbyPolicy;
use crate::restore::{Order, Outcome, RealClock, RecoveryMemory, RecoveryOrders, restore_loop};
use crate::wal::{TimelineId, WalFileName};
use crate::watch::{Events, Watcher};

impl StandbyRestore {
    pub(super) fn run_as_child(&self, mut parent: ToParent) -> ! {
        if let Err(e) = self.answer(&mut parent) {
            log::error!("{e}");
        }
        // Where the server is the first process of a container, it inherits this one, and takes each exit code but 0
        // and 1 for a crash. Without an answer the exit code must not be taken for one.
        let code = if parent.has_answered() { RESTORED } else { STOP_SERVER };
        process::exit(code.into())
    }

    pub(super) fn answer(&self, parent: &mut ToParent) -> Result<Outcome, IdentityError> {
        let mut orders = self.orders()?;
        let mut memory = RecoveryMemory::of(&self.data_directory);
        let mode = self.server_mode(&mut memory);
        let mut source = ArchiveSource::new(self);
        if parent.is_connected() {
            source = source.with_other_archives(self);
        }
        let arrival = source.path();
        let history = self.history_to_watch();
        let promote = self.promote_file();
        let watched = [arrival.as_path(), &self.trigger, &promote, &history];
        let clock = RealClock::new(Watcher::new(watched, Events::Wanted));
        let mut policy = StandbyPolicy::new(self.request.name, mode);
        if memory.archive_unavailable() {
            policy = policy.without_read_retries();
        }
        if memory.ended_before().map(WalFileName::Segment) == Some(self.request.name) {
            policy = policy.with_gap_reported();
        }
        let parent = RefCell::new(parent);
        let mut clock = Reporting { inner: clock, parent: &parent };
        let mut reporting = Reporting { inner: &mut source, parent: &parent };
        let outcome = restore_loop(&mut reporting, &mut orders, &mut clock, &mut policy);
        parent.borrow_mut().answer(&outcome);
        source.keep_copy();
        // While recovery is to end nothing is removed: the server may need any of it again.
        if outcome == Outcome::Restored && orders.look(&NoEvents) == Order::Wait {
            source.prune(memory.archive().is_none());
        }
        if source.is_fetching() {
            parent.borrow_mut().next_may_begin();
            source.finish_fetching(&mut || orders.look(&NoEvents));
        }
        Ok(outcome)
    }

    /// The history file of the timeline that a promotion elsewhere would create. Its arrival ends a wait.
    fn history_to_watch(&self) -> PathBuf {
        let own = self.request.name.timeline();
        let next = TimelineId::new(own.number().saturating_add(1)).unwrap_or(own);
        self.archive.join(WalFileName::History(next).to_string())
    }
}
