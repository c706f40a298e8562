//! The original's decisions.

use std::time::Duration;

use twowarm_core::restore::{Decision, Found, GiveUp, Order, Policy, Situation};

use crate::archive::Kind;
use crate::arguments::Arguments;
use crate::dialect::Dialect;
use crate::exit_codes::{RESTORED, TOO_LARGE};
use crate::messages::say;

/// What pg_standby does, in each dialect.
#[derive(Debug)]
pub struct ContribPolicy<'a> {
    arguments: &'a Arguments,
    kind: Kind,
    said_waiting_at: Option<Duration>,
    /// After a failed copy, the time before which no other is attempted.
    next_try: Duration,
    /// Whether a copy has failed.
    failed: bool,
}

/// The longest wait. The end of the server is noticed only by polling, and it can't be restarted before
/// its restore_command has exited.
const LOOK_FOR_THE_SERVER: Duration = Duration::from_secs(5);

impl<'a> ContribPolicy<'a> {
    /// The policy for a file of this kind.
    pub fn new(arguments: &'a Arguments, kind: Kind) -> ContribPolicy<'a> {
        ContribPolicy {
            arguments,
            kind,
            said_waiting_at: None,
            next_try: Duration::ZERO,
            failed: false,
        }
    }

    /// Whether to print messages that the enhanced version always prints and the others only with `-d`.
    fn is_verbose(&self) -> bool {
        self.arguments.debug
            || (self.arguments.dialect.has_verbosity() && self.arguments.verbosity >= 1)
    }

    fn is_over(&self, waited: Duration) -> bool {
        self.arguments.limit.is_some_and(|limit| waited >= limit)
    }

    /// Dialect 8.3 exits 0 after a failed copy; the server notices the missing file.
    fn exits_0_after_failed_copy(&self) -> bool {
        self.failed && self.arguments.dialect == Dialect::V8_3 && self.kind != Kind::History
    }

    fn copy_failed(&mut self, tries: u32, waited: Duration) -> Decision {
        self.failed = true;
        if tries <= self.arguments.retries.unsigned_abs() {
            // The first retry is immediate; the next ones follow after one interval, two, and so on.
            self.next_try = waited + self.arguments.poll * (tries - 1);
            Decision::Wait
        } else if self.exits_0_after_failed_copy() {
            Decision::Exit(RESTORED)
        } else {
            Decision::GiveUp(GiveUp::CopyFailed)
        }
    }
}

impl Policy for ContribPolicy<'_> {
    fn decide(&mut self, situation: &Situation) -> Decision {
        if let Order::Stop(why) = &situation.order {
            return Decision::Stop(why.clone());
        }
        if matches!(situation.order, Order::EndNow { .. }) && self.exits_0_after_failed_copy() {
            return Decision::Exit(RESTORED);
        }
        match &situation.found {
            Found::NotCopied(_) => {
                self.copy_failed(situation.failed_copies.max(1), situation.waited)
            }
            Found::TooLarge { bytes } => {
                if self.is_verbose() {
                    say(&format!("the file is larger than a segment: {bytes} bytes"));
                }
                Decision::Exit(TOO_LARGE)
            }
            Found::Ready if situation.waited < self.next_try => Decision::Wait,
            Found::Ready => Decision::Restore { as_it_is: true },
            _ if self.kind == Kind::History => {
                say("history file not found");
                Decision::GiveUp(GiveUp::NotThere)
            }
            Found::Settling => Decision::Wait,
            _ if matches!(situation.order, Order::EndWhenAbsent | Order::EndNow { .. }) => {
                Decision::GiveUp(GiveUp::EndWhenAbsent)
            }
            _ if self.is_over(situation.waited) => {
                if self.is_verbose() {
                    say(&format!(
                        "timeout after {} seconds: fast failover",
                        situation.waited.as_secs()
                    ));
                }
                Decision::GiveUp(GiveUp::TimeIsUp)
            }
            _ => Decision::Wait,
        }
    }

    fn answers_at_once(&self, order: &Order) -> Option<GiveUp> {
        let now = *order == Order::EndNow { serve_again: false };
        (now && !self.exits_0_after_failed_copy()).then_some(GiveUp::EndNow)
    }

    fn waiting(&mut self, situation: &Situation) -> Duration {
        let (waited, poll) = (situation.waited, self.arguments.poll);
        if matches!(situation.found, Found::NotCopied(_) | Found::Ready) {
            return self.next_try.saturating_sub(waited).min(LOOK_FOR_THE_SERVER);
        }
        let due = self.said_waiting_at.is_none_or(|last| waited >= last + poll);
        let verbose = self.arguments.debug || self.arguments.verbosity >= 3;
        if due && verbose {
            say(match self.arguments.trigger {
                Some(_) => "WAL file not present yet. Checking for trigger file...",
                None => "WAL file not present yet.",
            });
            self.said_waiting_at = Some(waited);
        }
        let left = self.arguments.limit.map(|limit| limit.saturating_sub(waited));
        left.map_or(poll, |left| left.min(poll)).min(LOOK_FOR_THE_SERVER)
    }
}
