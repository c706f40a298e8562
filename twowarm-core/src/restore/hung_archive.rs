//! A failover that is wanted is not held up by an archive that hangs, as one on a network file system
//! does when its server is away: the call that asks it never comes back.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Clock, Found, GiveUp, Order, Outcome, Source, Standing};
use crate::trigger::Writing;

/// Since when the archive has been asked, while it has not answered.
#[derive(Debug, Clone, Default)]
pub struct Asking(Arc<Mutex<Option<Instant>>>);

impl Asking {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn while_asking<T>(&self, ask: impl FnOnce() -> T) -> T {
        self.set(Some(Instant::now()));
        let answer = ask();
        self.set(None);
        answer
    }
}

/// A source whose questions are noted.
#[derive(Debug)]
pub struct Noted<S> {
    source: S,
    asking: Asking,
}

impl<S: Source> Noted<S> {
    /// Notes each question to the source in `asking`.
    pub fn new(source: S, asking: Asking) -> Noted<S> {
        Noted { source, asking }
    }
}

impl<S: Source> Source for Noted<S> {
    fn look(&mut self, clock: &dyn Clock) -> Found {
        self.asking.while_asking(|| self.source.look(clock))
    }

    fn restore(&mut self, even_if_it_ends_early: bool) -> Result<(), Found> {
        self.asking.while_asking(|| self.source.restore(even_if_it_ends_early))
    }

    fn set_aside(&mut self, why: &str) {
        self.asking.while_asking(|| self.source.set_aside(why));
    }

    fn prune(&mut self) {
        self.source.prune();
    }
}

/// How often to see whether the archive hangs.
const LOOK: Duration = Duration::from_secs(1);
/// An order to end now is not held up by more than this.
const END_NOW: Duration = Duration::from_secs(3);

/// Runs a restore on a thread of its own. When one question to its [`Noted`] source goes on for longer
/// than `limit` without progress while `standing` orders recovery to end, the archive counts as absent;
/// while nothing is ordered, it is waited for. `progress` is any number that changes while a copy gets
/// on: a slow one is no hung one, and giving it up would lose what has arrived.
pub fn unless_hung(
    run: impl FnOnce(Asking) -> Outcome + Send + 'static,
    progress: &dyn Fn() -> u64,
    standing: &mut dyn Standing,
    limit: Duration,
) -> Outcome {
    let asking = Asking::default();
    let (sender, receiver) = mpsc::channel();
    let noted = asking.clone();
    let worker = thread::spawn(move || {
        // Nobody listens any more once the archive was given up.
        let _ = sender.send(run(noted));
    });
    let mut last = (progress(), Instant::now());
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Timeout) => {}
            // It panicked; so do we, and the process ends as for any bug.
            Err(RecvTimeoutError::Disconnected) => match worker.join() {
                Err(panic) => resume_unwind(panic),
                Ok(()) => return Outcome::Stopped("the restore ended without a word".into()),
            },
        }
        let now = progress();
        if now != last.0 {
            last = (now, Instant::now());
        }
        let Some(asked) = asking.since() else { continue };
        let hung = asked.max(last.1).elapsed();
        if hung < END_NOW.min(limit) {
            continue;
        }
        let why = match standing.look(&Blind) {
            Order::NobodyWaits(why) => return Outcome::Stopped(why),
            Order::EndNow { .. } => GiveUp::EndNow,
            Order::EndWhenAbsent if hung >= limit => GiveUp::EndWhenAbsent,
            _ => continue,
        };
        log::error!("the archive has not answered for {} s, it counts as absent", hung.as_secs());
        return Outcome::GaveUp(why);
    }
}

/// A clock that has seen nothing.
struct Blind;

impl Clock for Blind {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn arm(&mut self) -> bool {
        false
    }

    fn wait(&mut self, _at_most: Duration) {}

    fn writing(&self, _path: &Path) -> Writing {
        Writing::Unseen
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Ordered(Order);

    impl Standing for Ordered {
        fn look(&mut self, _clock: &dyn Clock) -> Order {
            self.0.clone()
        }
    }

    /// Asks an archive that never answers.
    fn hang(asking: Asking) -> Outcome {
        asking.while_asking(|| {
            loop {
                thread::park();
            }
        })
    }

    #[test]
    fn a_wanted_failover_leaves_a_hung_archive_and_nothing_else_does() {
        let limit = Duration::from_millis(1);
        let still: &dyn Fn() -> u64 = &|| 0;
        let smart = unless_hung(hang, still, &mut Ordered(Order::EndWhenAbsent), limit);
        assert_eq!(smart, Outcome::GaveUp(GiveUp::EndWhenAbsent));
        let gone = unless_hung(hang, still, &mut Ordered(Order::NobodyWaits("gone".into())), limit);
        assert_eq!(gone, Outcome::Stopped("gone".into()));
        let slow = |asking: Asking| {
            asking.while_asking(|| thread::sleep(Duration::from_millis(1500)));
            Outcome::Restored
        };
        assert_eq!(unless_hung(slow, still, &mut Ordered(Order::Wait), limit), Outcome::Restored);
    }

    #[test]
    fn a_slow_copy_is_not_given_up_while_it_gets_on() {
        let slow = |asking: Asking| {
            asking.while_asking(|| thread::sleep(Duration::from_millis(3500)));
            Outcome::Restored
        };
        let copied = Cell::new(0);
        let grows = || copied.replace(copied.get() + 1);
        let limit = Duration::from_secs(2);
        let smart = unless_hung(slow, &grows, &mut Ordered(Order::EndWhenAbsent), limit);
        assert_eq!(smart, Outcome::Restored);
    }

    #[test]
    #[should_panic(expected = "a bug")]
    fn a_panic_goes_through() {
        unless_hung(|_| panic!("a bug"), &|| 0, &mut Ordered(Order::Wait), LOOK);
    }
}
