//! The original's decisions.

use std::time::Duration;

use twowarm_core::restore::{Decision, Found, GiveUp, Order, Policy, Situation};

use crate::archive::Kind;
use crate::arguments::Arguments;
use crate::dialect::Dialect;
use crate::exit_codes::{RESTORED, TOO_LARGE};
use crate::messages::say;

/// pg_standby's policy, in each dialect.
#[derive(Debug)]
pub struct Contrib<'a> {
    arguments: &'a Arguments,
    kind: Kind,
    said_waiting_at: Option<Duration>,
    /// After a copy that failed, none is tried before.
    next_try: Duration,
    /// Whether one has failed.
    failed: bool,
}

/// No wait is longer: a server that was killed is noticed by looking, and can't be started again
/// before its restore_command has ended.
const LOOK_FOR_THE_SERVER: Duration = Duration::from_secs(5);

impl<'a> Contrib<'a> {
    /// For a file of this kind.
    pub fn new(arguments: &'a Arguments, kind: Kind) -> Contrib<'a> {
        Contrib { arguments, kind, said_waiting_at: None, next_try: Duration::ZERO, failed: false }
    }

    /// Whether to say what the enhanced version always says and the others with `-d`.
    fn tells(&self) -> bool {
        self.arguments.debug
            || (self.arguments.dialect.has_verbosity() && self.arguments.verbosity >= 1)
    }

    fn is_over(&self, waited: Duration) -> bool {
        self.arguments.limit.is_some_and(|limit| waited >= limit)
    }

    /// 8.3's way; the server sees that there is no file.
    fn succeeds_whatever_its_copy_said(&self) -> bool {
        self.failed && self.arguments.dialect == Dialect::V8_3 && self.kind != Kind::History
    }

    fn copy_failed(&mut self, tries: u32, waited: Duration) -> Decision {
        self.failed = true;
        if tries <= self.arguments.retries.unsigned_abs() {
            // After the first failure at once, then after one interval, two, and so on.
            self.next_try = waited + self.arguments.poll * (tries - 1);
            Decision::Wait
        } else if self.succeeds_whatever_its_copy_said() {
            Decision::Exit(RESTORED)
        } else {
            Decision::GiveUp(GiveUp::CopyFailed)
        }
    }
}

impl Policy for Contrib<'_> {
    fn decide(&mut self, situation: &Situation) -> Decision {
        if let Order::Stop(why) = &situation.order {
            return Decision::Stop(why.clone());
        }
        if matches!(situation.order, Order::EndNow { .. }) && self.succeeds_whatever_its_copy_said()
        {
            return Decision::Exit(RESTORED);
        }
        match &situation.found {
            Found::NotCopied(_) => {
                self.copy_failed(situation.failed_copies.max(1), situation.waited)
            }
            Found::TooLarge { bytes } => {
                if self.tells() {
                    say(&format!("{bytes} bytes are more than a segment has"));
                }
                Decision::Exit(TOO_LARGE)
            }
            Found::Ready if situation.waited < self.next_try => Decision::Wait,
            Found::Ready => Decision::Restore { as_it_is: true },
            _ if self.kind == Kind::History => {
                say("there is no such history file");
                Decision::GiveUp(GiveUp::NotThere)
            }
            Found::Settling => Decision::Wait,
            _ if matches!(situation.order, Order::EndWhenAbsent | Order::EndNow { .. }) => {
                Decision::GiveUp(GiveUp::EndWhenAbsent)
            }
            _ if self.is_over(situation.waited) => {
                if self.tells() {
                    say(&format!(
                        "timed out after {} seconds: fast failover",
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
        (now && !self.succeeds_whatever_its_copy_said()).then_some(GiveUp::EndNow)
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
                Some(_) => "the WAL file is not there yet, nor is a trigger",
                None => "the WAL file is not there yet",
            });
            self.said_waiting_at = Some(waited);
        }
        let left = self.arguments.limit.map(|limit| limit.saturating_sub(waited));
        left.map_or(poll, |left| left.min(poll)).min(LOOK_FOR_THE_SERVER)
    }
}
