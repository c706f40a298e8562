use std::fs;
use std::path::{Path, PathBuf};

use super::{Clock, Order, Standing};
use crate::data_directory::{PROMOTE_FILES, Postmaster};
use crate::trigger::{Trigger, TriggerFile, TriggerLook, Writing};
use crate::wal::SegmentPlace;

/// The orders that stand on a warm standby: its trigger file, the file `promote` that `pg_ctl promote`
/// leaves in the data directory (the server itself can't see it while restore_command waits), and
/// whether there still is a server.
#[derive(Debug)]
pub struct NodeOrders {
    trigger: TriggerFile,
    promote: [PathBuf; 2],
    postmaster: Postmaster,
    place: Option<SegmentPlace>,
    needed_up_to: Option<SegmentPlace>,
    complained: Option<String>,
    triggered: bool,
}

impl NodeOrders {
    /// For the server of a data directory that asks for the segment at this place (none for other
    /// files); up to `needed_up_to` it gets segments also under a fast trigger, since it could not open
    /// without them.
    pub fn new(
        data_directory: &Path,
        trigger: &Path,
        place: Option<SegmentPlace>,
        needed_up_to: Option<SegmentPlace>,
    ) -> NodeOrders {
        NodeOrders {
            trigger: TriggerFile::new(trigger),
            promote: PROMOTE_FILES.map(|name| data_directory.join(name)),
            postmaster: Postmaster::of(data_directory),
            place,
            needed_up_to,
            complained: None,
            triggered: false,
        }
    }

    /// Whether the trigger file ordered recovery to end, at the last look.
    pub fn is_triggered(&self) -> bool {
        self.triggered
    }

    /// The trigger file, to make it remember what was refused.
    pub fn trigger(&mut self) -> &mut TriggerFile {
        &mut self.trigger
    }

    fn order(&self, trigger: &Trigger) -> Order {
        match trigger {
            Trigger::Smart => Order::EndWhenAbsent,
            Trigger::Unknown(_) => Order::Wait,
            Trigger::Fast | Trigger::FastFrom(_) => {
                let needed = |place| self.needed_up_to.is_some_and(|last| place <= last);
                let serve = |place| trigger.lets_through(place) || needed(place);
                Order::EndNow { serve_again: self.place.is_some_and(serve) }
            }
        }
    }

    /// Before 9.3 the postmaster deletes the file as soon as it has its signal: only the event tells.
    fn promote_order(&self, clock: &dyn Clock) -> Order {
        let ordered = self.promote.iter().any(|file| {
            let written = fs::metadata(file).and_then(|found| found.modified());
            let stands = written.is_ok_and(|at| self.postmaster.may_be_promoted_since(at));
            stands || clock.writing(file) != Writing::Unseen
        });
        if ordered { Order::EndWhenAbsent } else { Order::Wait }
    }

    fn complain_once(&mut self, about: String) {
        if self.complained.as_ref() != Some(&about) {
            log::warn!("{about}");
            self.complained = Some(about);
        }
    }
}

impl Standing for NodeOrders {
    fn look(&mut self, clock: &dyn Clock) -> Order {
        if self.postmaster.is_gone() {
            let pid = self.postmaster.pid().unwrap_or_default();
            return Order::NobodyWaits(format!("the server that asked (process {pid}) is gone"));
        }
        let path = self.trigger.path().to_owned();
        let order = match self.trigger.look(clock.writing(&path)) {
            TriggerLook::Complete(trigger) => {
                if let Trigger::Unknown(content) = &trigger {
                    self.complain_once(format!(
                        "the trigger file {} says \"{content}\", which is neither \"smart\" nor \"fast\": nothing is triggered",
                        path.display()
                    ));
                }
                self.order(&trigger)
            }
            TriggerLook::Unsettled => Order::Unsettled,
            TriggerLook::Absent => Order::Wait,
            TriggerLook::Unreadable(error) => {
                self.complain_once(format!("{error}: nothing is triggered"));
                Order::Wait
            }
        };
        self.triggered = matches!(order, Order::EndWhenAbsent | Order::EndNow { .. });
        if order == Order::Wait { self.promote_order(clock) } else { order }
    }
}
