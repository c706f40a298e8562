//! The parent's part: has the archive asked by a child process, and does not wait for one that hangs.

use std::thread;
use std::time::{Duration, Instant};

use super::{ONCE_UNAVAILABLE, StandbyRestore};
use crate::data_directory::{IdentityError, major_version};
use crate::restore::archive_process::{
    ASK_ARCHIVE, ArchiveProcess, Ended, Limits, NoEvents, ToParent,
};
use crate::restore::standby_orders::StandbyOrders;
use crate::restore::standby_policy::ServerMode;
use crate::restore::{GiveUp, Order, Outcome, RecoveryMemory, RecoveryOrders};

/// How often to check whether the archive hangs.
const TICK: Duration = Duration::from_secs(1);
/// Before a child that died or could not be started is started again.
const RETRY: Duration = Duration::from_secs(1);
/// How many times a child process is started before, with a trigger, this process asks the archive.
const STARTS: u32 = 3;

impl StandbyRestore {
    pub(super) fn ask(
        &self,
        mode: ServerMode,
        orders: &mut StandbyOrders,
        memory: &mut RecoveryMemory,
    ) -> Result<Outcome, IdentityError> {
        let started = Instant::now();
        let limits = self.limits(mode, memory);
        let copied = || self.request.target.metadata().map_or(0, |found| found.len());
        let mut failed = 0;
        loop {
            let hangs = memory.hangs_still();
            if hangs || failed > 0 {
                match self.without_child(orders.look(&NoEvents), started, limits, hangs) {
                    Some(outcome) => return Ok(outcome),
                    None if hangs => {}
                    // Recovery is to end, and what has arrived is needed, even if the archive may hang.
                    None if failed > STARTS && orders.look(&NoEvents) != Order::Wait => {
                        log::warn!("asking the archive without a child process");
                        return self.answer(&mut ToParent::none());
                    }
                    None => {}
                }
                thread::sleep(RETRY);
                if hangs {
                    continue;
                }
            }
            let process = ASK_ARCHIVE.command().and_then(ArchiveProcess::start);
            match process.and_then(|process| process.wait(&copied, orders, limits)) {
                Ok(Ended::Answered(outcome)) => return Ok(outcome),
                Ok(Ended::Hung(outcome, process)) => {
                    if let Some(process) = process {
                        memory.note_left_behind(process);
                    }
                    return Ok(self.hung(outcome, orders, memory));
                }
                Ok(Ended::Died(status)) if status.code().is_some() => {
                    let why = format!("the child process that asks the archive failed: {status}");
                    return Ok(Outcome::Stopped(why));
                }
                Ok(Ended::Died(status)) => {
                    log::warn!("the child process that asks the archive ended: {status}; retrying");
                }
                Err(e) if failed == 0 => {
                    log::warn!("could not start a child process to ask the archive: {e}; retrying");
                }
                Err(_) => {}
            }
            failed += 1;
        }
    }

    fn limits(&self, mode: ServerMode, memory: &RecoveryMemory) -> Limits {
        // Servers that keep no copy of a restored segment stop with PANIC if it is not served again.
        let major = major_version(&self.data_directory).ok().flatten();
        let must_be_served = self.request.name.segment().is_some()
            && major.is_some_and(|major| !major.keeps_restored_segments());
        let question = match memory.archive_unavailable() && !must_be_served {
            true => self.time_limit.min(ONCE_UNAVAILABLE),
            false => self.time_limit,
        };
        let not_yet = match mode {
            ServerMode::Standby { wait_limit, .. } => Some(wait_limit),
            ServerMode::Warm { .. } => None,
        };
        Limits { question, not_yet, tick: TICK.min(question) }
    }

    /// The answer while no process can ask the archive; `None` if it is to be tried again.
    fn without_child(
        &self,
        order: Order,
        started: Instant,
        limits: Limits,
        hangs: bool,
    ) -> Option<Outcome> {
        match order {
            Order::Stop(why) => Some(Outcome::Stopped(why)),
            Order::EndNow { serve_again: false } if self.request.name.segment().is_some() => {
                Some(Outcome::GaveUp(GiveUp::EndNow))
            }
            Order::EndNow { .. } | Order::EndWhenAbsent if hangs => {
                Some(Outcome::GaveUp(GiveUp::ArchiveUnavailable))
            }
            Order::Wait if limits.not_yet.is_some_and(|limit| started.elapsed() >= limit) => {
                Some(Outcome::GaveUp(GiveUp::NotYet))
            }
            _ => None,
        }
    }

    /// The answer if the archive hangs.
    fn hung(
        &self,
        outcome: Outcome,
        orders: &mut StandbyOrders,
        memory: &mut RecoveryMemory,
    ) -> Outcome {
        if !matches!(outcome, Outcome::GaveUp(_)) {
            return outcome;
        }
        log::error!(
            "the archive \"{}\" did not answer; it is treated as empty for the rest of this failover",
            self.archive.display()
        );
        let refused = orders.look(&NoEvents) == Order::EndNow { serve_again: false };
        if refused && self.request.name.segment().is_some() {
            memory.note_archive_unavailable();
            return Outcome::GaveUp(GiveUp::EndNow);
        }
        outcome
    }
}
