use std::path::Path;
use std::time::{Duration, Instant};

use super::{Decision, Found, GiveUp, Order, Situation};
use crate::archive::Gap;
use crate::trigger::Writing;
use crate::watch::Watcher;

/// The archive, as far as one requested file goes.
pub trait Source {
    /// Looks whether the file is there.
    fn look(&mut self, clock: &dyn Clock) -> Found;

    /// Copies it to where the server wants it, also damaged or unfinished if `as_it_is`. What comes back
    /// instead is why it is not there now; no partial file is left behind.
    fn restore(&mut self, as_it_is: bool) -> Result<(), Found>;

    /// Moves it out of the way, under a name that nobody asks for. False if by now there is another file
    /// under the name, which is to be looked at.
    fn set_aside(&mut self, why: &str) -> bool;

    /// Looks whether the archive has a later segment although this one, or one after it, is missing.
    fn gap(&mut self) -> Option<Gap> {
        None
    }
}

/// Standing orders: the trigger file and whatever else ends a wait.
pub trait Standing {
    /// What is ordered now.
    fn look(&mut self, clock: &dyn Clock) -> Order;
}

/// Time, waiting, and what was seen while waiting.
pub trait Clock {
    /// How long this call has been running.
    fn elapsed(&self) -> Duration;
    /// Starts to notice arrivals; true if something may have been missed until now.
    fn arm(&mut self) -> bool;
    /// Waits for an arrival, at most for so long.
    fn wait(&mut self, at_most: Duration);
    /// Ends the noticing, since what is waited for has come.
    fn disarm(&mut self) {}
    /// Whether somebody was seen writing this file.
    fn writing(&self, path: &Path) -> Writing;
}

/// What one program makes of each situation.
pub trait Policy {
    /// The decision. After a copy that failed, `found` says why, and restoring again must come after a
    /// wait.
    fn decide(&mut self, situation: &Situation) -> Decision;

    /// Whether an order is answered without looking into the archive, which may hang.
    fn answers_at_once(&self, order: &Order) -> Option<GiveUp>;

    /// Whether it wants to know of a gap in the archive now, where the file is absent: that takes a listing.
    fn asks_for_gap(&self, _situation: &Situation) -> bool {
        false
    }

    /// The answer to that.
    fn note_gap(&mut self, _gap: Option<Gap>, _situation: &Situation) {}

    /// Called before each wait: to say now and then what is waited for. Returns how long to wait if
    /// nothing happens.
    fn waiting(&mut self, situation: &Situation) -> Duration;
}

/// How the loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The file stands where the server wants it.
    Restored,
    /// There is no such file, and this was the order when it was decided.
    GaveUp(GiveUp),
    /// The server is to stop, for this reason.
    Stopped(String),
    /// An exit code that the policy chose.
    Exit(u8),
}

/// The longest wait while a trigger file or the file itself may be in the making.
const SETTLING: Duration = Duration::from_millis(10);

/// Waits for the file, decides and restores it. Pruning comes after the answer, and is the caller's.
pub fn restore(
    source: &mut dyn Source,
    standing: &mut dyn Standing,
    clock: &mut dyn Clock,
    policy: &mut dyn Policy,
) -> Outcome {
    let mut failed_copies = 0;
    let mut failure = None;
    loop {
        let order = standing.look(clock);
        if let Some(why) = policy.answers_at_once(&order) {
            return Outcome::GaveUp(why);
        }
        let copy_failed = failure.is_some();
        let found = failure.take().unwrap_or_else(|| source.look(clock));
        let situation = Situation { order, found, waited: clock.elapsed(), failed_copies };
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
                // Between the look and the arming something may have arrived: look once more. To copy again
                // at once would help nobody.
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

/// The real time, and a [`Watcher`] to wait with.
#[derive(Debug)]
pub struct RealClock {
    started: Instant,
    watcher: Watcher,
}

impl RealClock {
    /// Starts counting.
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
