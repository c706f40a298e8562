use std::fs;
use std::path::{Path, PathBuf};

use super::{Clock, Order, RecoveryOrders};
use crate::data_directory::{PROMOTE_FILES, Postmaster};
use crate::trigger::{Trigger, TriggerFile, TriggerLook, Writing};
use crate::wal::SegmentPlace;

/// The orders to a standby: its trigger file, the file `promote` that `pg_ctl promote` creates in the data
/// directory (the server itself does not notice it while restore_command waits), and the end of the
/// server.
#[derive(Debug)]
pub(super) struct StandbyOrders {
    trigger: TriggerFile,
    promote: [PathBuf; 2],
    postmaster: Postmaster,
    segment: Option<SegmentPlace>,
    needed_up_to: Option<SegmentPlace>,
    warned: Option<String>,
    triggered: bool,
}

impl StandbyOrders {
    /// For the server of a data directory that requests this segment (none for other files). Segments up
    /// to `needed_up_to` are restored under a fast trigger too, since the server cannot become consistent
    /// without them.
    pub(super) fn new(
        data_directory: &Path,
        trigger: &Path,
        segment: Option<SegmentPlace>,
        needed_up_to: Option<SegmentPlace>,
    ) -> StandbyOrders {
        StandbyOrders {
            trigger: TriggerFile::new(trigger),
            promote: PROMOTE_FILES.map(|name| data_directory.join(name)),
            postmaster: Postmaster::of(data_directory),
            segment,
            needed_up_to,
            warned: None,
            triggered: false,
        }
    }

    /// Whether the trigger file ordered recovery to end, at the last look.
    pub(super) fn is_triggered(&self) -> bool {
        self.triggered
    }

    /// The trigger file, to record in it what was refused.
    pub(super) fn trigger(&mut self) -> &mut TriggerFile {
        &mut self.trigger
    }

    fn order(&self, trigger: &Trigger) -> Order {
        match trigger {
            Trigger::Smart => Order::EndWhenAbsent,
            Trigger::Unknown(_) => Order::Wait,
            Trigger::Fast | Trigger::FastFrom(_) => {
                let needed = |segment| self.needed_up_to.is_some_and(|last| segment <= last);
                let serve = |segment| trigger.may_restore(segment) || needed(segment);
                Order::EndNow { serve_again: self.segment.is_some_and(serve) }
            }
        }
    }

    /// Before 9.3 the postmaster deletes the file as soon as it has the signal: only an event shows it.
    fn promote_order(&self, clock: &dyn Clock) -> Order {
        let ordered = self.promote.iter().any(|file| {
            let written = fs::metadata(file).and_then(|found| found.modified());
            let valid = written.is_ok_and(|at| self.postmaster.may_be_promoted_since(at));
            valid || clock.writing(file) != Writing::Unseen
        });
        if ordered { Order::EndWhenAbsent } else { Order::Wait }
    }

    fn warn_once(&mut self, message: String) {
        if self.warned.as_ref() != Some(&message) {
            log::warn!("{message}");
            self.warned = Some(message);
        }
    }
}

impl RecoveryOrders for StandbyOrders {
    fn look(&mut self, clock: &dyn Clock) -> Order {
        if self.postmaster.is_gone() {
            let pid = self.postmaster.pid().unwrap_or_default();
            return Order::Stop(format!("the postmaster (PID {pid}) is no longer running"));
        }
        let path = self.trigger.path().to_owned();
        let order = match self.trigger.look(clock.writing(&path)) {
            TriggerLook::Complete(trigger) => {
                if let Trigger::Unknown(content) = &trigger {
                    self.warn_once(format!(
                        "the trigger file \"{}\" is ignored: it contains \"{content}\" instead of \"smart\" or \"fast\"",
                        path.display()
                    ));
                }
                self.order(&trigger)
            }
            TriggerLook::Unsettled => Order::Unsettled,
            TriggerLook::Absent => Order::Wait,
            TriggerLook::Unreadable(error) => {
                self.warn_once(format!("the trigger file is ignored: {error}"));
                Order::Wait
            }
        };
        self.triggered = matches!(order, Order::EndWhenAbsent | Order::EndNow { .. });
        if order == Order::Wait { self.promote_order(clock) } else { order }
    }
}
