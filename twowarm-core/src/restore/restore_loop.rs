use std::path::Path;
use std::time::{Duration, Instant};

use super::{Decision, Found, GiveUp, Order, Outcome, Situation};
use crate::archive::Gap;
use crate::trigger::Writing;
use crate::watch::Watcher;

/// The requested file in the archive.
pub trait Source {
    /// Returns the state of the file.
    fn look(&mut self, clock: &dyn Clock) -> Found;

    /// Copies the file to the target; with `as_it_is` even if it is damaged or incomplete. An error is the
    /// reason why it cannot be restored now; then no partial file is left at the target.
    ///
    /// # Errors
    /// The state of the file that prevented the copy.
    fn restore(&mut self, as_it_is: bool) -> Result<(), Found>;

    /// Renames the file to a name that PostgreSQL never requests. Returns false if by now there is another
    /// file with its name, which is to be looked at.
    fn set_aside(&mut self, why: &str) -> bool;

    /// Whether the archive has a later segment although this one, or one after it, is missing.
    fn gap(&mut self) -> Option<Gap> {
        None
    }

    /// Asks other archives for the file, which is absent or unfit here: [`Found::Fetching`] while they are asked,
    /// [`Found::Ready`] if it has come from there without being stored here, else [`Found::Absent`].
    fn fetch(&mut self, _order: &Order, _found: &Found) -> Found {
        Found::Absent
    }
}

/// What orders recovery to end: a trigger file, a promotion, a server that is gone.
pub trait RecoveryOrders {
    /// The order in force now.
    fn look(&mut self, clock: &dyn Clock) -> Order;
}

/// Time, waiting, and what was seen while waiting.
pub trait Clock {
    /// How long this call has been running.
    fn elapsed(&self) -> Duration;
    /// Starts to watch for arrivals; true if something may have been missed until now.
    fn arm(&mut self) -> bool;
    /// Waits for an arrival, at most for this time.
    fn wait(&mut self, at_most: Duration);
    /// Stops watching, since the file has arrived.
    fn disarm(&mut self) {}
    /// Whether a process was seen writing to this file.
    fn writing(&self, path: &Path) -> Writing;
}

/// The decisions of one program.
pub trait Policy {
    /// The decision. If a copy has failed, `found` is the reason, and the copy must not be repeated before
    /// a wait.
    fn decide(&mut self, situation: &Situation) -> Decision;

    /// The answer to an order for which the archive, which may hang, need not be looked at.
    fn answers_at_once(&self, order: &Order) -> Option<GiveUp>;

    /// Whether to look for a gap in the archive now, while the file is absent. That takes a listing.
    fn asks_for_gap(&self, _situation: &Situation) -> bool {
        false
    }

    /// Receives the gap that was found.
    fn note_gap(&mut self, _gap: Option<Gap>, _situation: &Situation) {}

    /// Called before each wait, to log from time to time what the wait is for. Returns the longest time
    /// to wait if nothing happens.
    fn waiting(&mut self, situation: &Situation) -> Duration;
}

/// The longest wait while a trigger file or the requested file may be incomplete.
const SETTLING: Duration = Duration::from_millis(10);

/// Waits for the file, decides, and restores it. Pruning follows the answer, and is left to the caller.
pub fn restore_loop(
    source: &mut dyn Source,
    orders: &mut dyn RecoveryOrders,
    clock: &mut dyn Clock,
    policy: &mut dyn Policy,
) -> Outcome {
    let mut failed_copies = 0;
    let mut failure = None;
    loop {
        let order = orders.look(clock);
        if let Some(why) = policy.answers_at_once(&order) {
            return Outcome::GaveUp(why);
        }
        let copy_failed = failure.is_some();
        let found = failure.take().unwrap_or_else(|| source.look(clock));
        let mut situation = Situation { order, found, waited: clock.elapsed(), failed_copies };
        let unfit = situation.found.is_unfit_file();
        if unfit || matches!(situation.found, Found::Absent | Found::NeverExists) {
            // Without an order the answer that a segment can't exist does not wait: the server needs another one. And
            // an unfit file is reported.
            let waits = situation.found == Found::Absent
                || !matches!(situation.order, Order::Wait | Order::Unsettled);
            match source.fetch(&situation.order, &situation.found) {
                Found::Fetching if waits => situation.found = Found::Fetching,
                Found::Ready if waits || unfit => situation.found = source.look(clock),
                _ => {}
            }
        }
        if situation.found == Found::Absent && policy.asks_for_gap(&situation) {
            policy.note_gap(source.gap(), &situation);
        }
        match policy.decide(&situation) {
            Decision::Restore { as_it_is } => {
                clock.disarm();
                match source.restore(as_it_is) {
                    Ok(()) => return Outcome::Restored,
                    Err(found) => {
                        failed_copies += u32::from(matches!(found, Found::NotCopied(_)));
                        failure = Some(found);
                    }
                }
            }
            Decision::Wait => {
                let wait = policy.waiting(&situation);
                let unsettled =
                    situation.order == Order::Unsettled || situation.found == Found::Settling;
                // Something may have arrived before the watch began: look once more, except after a
                // copy that failed, which would only fail again.
                if !clock.arm() || copy_failed {
                    clock.wait(if unsettled { wait.min(SETTLING) } else { wait });
                }
            }
            Decision::GiveUp(why) => return Outcome::GaveUp(why),
            Decision::SetAside(why) => {
                if source.set_aside(&why) {
                    return Outcome::GaveUp(GiveUp::EndWhenAbsent);
                }
            }
            Decision::Stop(why) => return Outcome::Stopped(why),
            Decision::Exit(code) => return Outcome::Exit(code),
        }
    }
}

/// Real time, and a [`Watcher`] to wait with.
#[derive(Debug)]
pub struct RealClock {
    started: Instant,
    watcher: Watcher,
}

impl RealClock {
    /// Starts the clock.
    #[must_use]
    pub fn new(watcher: Watcher) -> RealClock {
        RealClock { started: Instant::now(), watcher }
    }
}

impl Clock for RealClock {
    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn arm(&mut self) -> bool {
        self.watcher.arm()
    }

    fn wait(&mut self, at_most: Duration) {
        self.watcher.wait(at_most);
    }

    fn disarm(&mut self) {
        self.watcher.disarm();
    }

    fn writing(&self, path: &Path) -> Writing {
        self.watcher.writing(path)
    }
}
