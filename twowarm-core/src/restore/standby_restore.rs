//! All of restoreWALFile: what a standby's restore_command does for one file.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::child::{Asker, Blind, Ended, Limits, ToParent, Told, ToldClock};
use super::{
    ArchiveSource, Careful, GiveUp, NodeOrders, Order, Outcome, Pruning, RealClock, RecoveryMemory,
    Serving, Standing, restore,
};
use crate::data_directory::{
    IdentityError, PROMOTE_FILES, RecoveryMode, identity, last_place_needed, major_version,
    recovery_settings, request_promotion,
};
use crate::trigger::{Trigger, TriggerLook, Writing};
use crate::wal::{SegmentName, TimelineId, WalFileName};
use crate::watch::{Events, Watcher};

/// One request of a standby's server for a WAL file, and what the answer depends on.
#[derive(Debug, Clone)]
pub struct StandbyRestore {
    /// The file (`%f`).
    pub name: WalFileName,
    /// Where the server wants it (`%p`).
    pub target: PathBuf,
    /// The server's data directory.
    pub data_directory: PathBuf,
    /// The archive directory.
    pub archive: PathBuf,
    /// The node's `local/replication`, which knows the archive's [mark](crate::archive::mark); none
    /// takes the archive as it is.
    pub local_replication: Option<PathBuf>,
    /// The trigger file.
    pub trigger: PathBuf,
    /// What may be removed after a restore.
    pub pruning: Pruning,
    /// In warm mode: whether a supervisor restarts a server that was stopped because a newer timeline
    /// has arrived.
    pub restart_for_timeline: bool,
    /// How long one question to the archive may take once recovery is to end.
    pub time_limit: Duration,
    /// In standby mode: how long to wait before the answer "not yet".
    pub wait_limit: Duration,
}

/// Once the archive counted as absent it is asked with this limit, for the rest of the failover.
const ONCE_UNAVAILABLE: Duration = Duration::from_millis(200);
/// How long a wait may be where a promotion can be missed. The servers that are concerned sleep for what is
/// left of 5 s between two questions, and would find nothing in the archive meanwhile.
const MISSED_PROMOTION: Duration = Duration::from_secs(6);
/// How often to see whether the archive hangs.
const TICK: Duration = Duration::from_secs(1);
/// Before a child that died, or could not be started, is started again.
const AGAIN: Duration = Duration::from_secs(1);
/// So many tries to start a process that asks the archive, a second apart, precede the last resort.
const STARTS: u32 = 3;
/// Between two looks at a trigger file that may be in the making.
const SETTLING: Duration = Duration::from_millis(10);
/// The postmaster hands a request to promote on to the process that waits for our answer; a moment, so
/// that it finds the request when it has the answer.
const HANDED_ON: Duration = Duration::from_millis(50);

impl StandbyRestore {
    /// Restores the file, or finds out that it is not there. The archive is asked by a child process,
    /// `child` with [`in_child`](StandbyRestore::in_child) in it; where none can be started this process
    /// asks, which a hung archive then holds up.
    ///
    /// # Errors
    /// When the data directory does not tell which cluster it holds.
    pub fn run(&self, child: &mut dyn FnMut() -> Command) -> Result<Outcome, IdentityError> {
        let mut memory = RecoveryMemory::of(&self.data_directory);
        let mut orders = self.orders()?;
        let serving = self.serving(&mut memory);
        orders.look(&Blind);
        if orders.is_triggered() {
            self.promote(serving, &mut memory);
        } else if memory.promotion_requested() {
            memory.note_promotion_requested(false);
        }
        let outcome = self.ask(child, serving, &mut orders, &mut memory)?;
        self.remember(&outcome, &mut orders, &mut memory);
        // An empty trigger file that the child saw being closed may look unfinished to us.
        while outcome == Outcome::GaveUp(GiveUp::EndWhenAbsent)
            && orders.look(&Blind) == Order::Unsettled
        {
            thread::sleep(SETTLING);
        }
        orders.look(&Blind);
        if orders.is_triggered() && matches!(outcome, Outcome::Restored | Outcome::GaveUp(_)) {
            if matches!(outcome, Outcome::GaveUp(_)) && self.promote_file().exists() {
                // It has not obeyed yet.
                memory.note_promotion_requested(false);
            }
            self.promote(serving, &mut memory);
        }
        Ok(outcome)
    }

    fn remember(&self, outcome: &Outcome, orders: &mut NodeOrders, memory: &mut RecoveryMemory) {
        match outcome {
            Outcome::Restored => {
                let ending = memory.archive_unavailable() && orders.look(&Blind) != Order::Wait;
                memory.note_restored(&self.archive, ending, self.name);
            }
            Outcome::GaveUp(GiveUp::ArchiveUnavailable) => memory.note_archive_unavailable(),
            Outcome::GaveUp(GiveUp::EndWhenAbsent) => {
                // Histories are asked for as well, and are often absent.
                if let WalFileName::Segment(segment) = self.name {
                    memory.note_ended_before(segment);
                }
            }
            Outcome::GaveUp(GiveUp::EndNow) => {
                if let Some(name) = self.name.segment() {
                    remember_refused(orders, name);
                }
            }
            _ => {}
        }
    }

    fn ask(
        &self,
        child: &mut dyn FnMut() -> Command,
        serving: Serving,
        orders: &mut NodeOrders,
        memory: &mut RecoveryMemory,
    ) -> Result<Outcome, IdentityError> {
        let started = Instant::now();
        let limits = self.limits(serving, memory);
        let copied = || self.target.metadata().map_or(0, |found| found.len());
        let mut failed = 0;
        loop {
            let hangs = memory.hangs_still();
            if hangs || failed > 0 {
                match self.without_child(orders.look(&Blind), started, limits, hangs) {
                    Some(outcome) => return Ok(outcome),
                    None if hangs => {}
                    // Recovery is to end, and what is there is wanted, at the risk of an archive that hangs.
                    None if failed > STARTS && orders.look(&Blind) != Order::Wait => {
                        log::warn!("asking the archive without a process of its own");
                        return self.answer(&mut ToParent::nobody());
                    }
                    None => {}
                }
                thread::sleep(AGAIN);
                if hangs {
                    continue;
                }
            }
            let asked = Asker::start(&mut child());
            match asked.and_then(|asker| asker.wait(&copied, orders, limits)) {
                Ok(Ended::Answered(outcome)) => return Ok(outcome),
                Ok(Ended::Hung(outcome, process)) => {
                    if let Some(process) = process {
                        memory.note_left_behind(process);
                    }
                    return Ok(self.hung(outcome, orders, memory));
                }
                Ok(Ended::Died(status)) if status.code().is_some() => {
                    let why = format!("the process that asks the archive ended with {status}");
                    return Ok(Outcome::Stopped(why));
                }
                Ok(Ended::Died(status)) => {
                    log::warn!(
                        "the process that asks the archive ended with {status}; trying again"
                    );
                }
                Err(e) if failed == 0 => {
                    log::warn!(
                        "no process could be started to ask the archive ({e}); trying again"
                    );
                }
                Err(_) => {}
            }
            failed += 1;
        }
    }

    fn limits(&self, serving: Serving, memory: &RecoveryMemory) -> Limits {
        // Servers that keep no copy of what was restored stop with PANIC when it is not served again.
        let major = major_version(&self.data_directory).ok().flatten();
        let must_be_served = self.name.segment().is_some()
            && major.is_some_and(|major| !major.keeps_restored_segments());
        let question = match memory.archive_unavailable() && !must_be_served {
            true => self.time_limit.min(ONCE_UNAVAILABLE),
            false => self.time_limit,
        };
        let not_yet = match serving {
            Serving::Standby { wait_limit, .. } => Some(wait_limit),
            Serving::Warm { .. } => None,
        };
        Limits { question, not_yet, tick: TICK.min(question) }
    }

    /// What to answer while no process can ask the archive; none while that is to be tried again.
    fn without_child(
        &self,
        order: Order,
        started: Instant,
        limits: Limits,
        hangs: bool,
    ) -> Option<Outcome> {
        match order {
            Order::NobodyWaits(why) => Some(Outcome::Stopped(why)),
            Order::EndNow { serve_again: false } if self.name.segment().is_some() => {
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

    /// The answer where the archive hangs.
    fn hung(
        &self,
        outcome: Outcome,
        orders: &mut NodeOrders,
        memory: &mut RecoveryMemory,
    ) -> Outcome {
        if !matches!(outcome, Outcome::GaveUp(_)) {
            return outcome;
        }
        log::error!("the archive {} does not answer; it counts as absent", self.archive.display());
        let refused = orders.look(&Blind) == Order::EndNow { serve_again: false };
        if refused && self.name.segment().is_some() {
            memory.note_archive_unavailable();
            return Outcome::GaveUp(GiveUp::EndNow);
        }
        outcome
    }

    /// The child's part: asks the archive, tells the parent process the answer, and prunes.
    ///
    /// # Errors
    /// When the data directory does not tell which cluster it holds.
    pub fn in_child(&self, parent: i32) -> Result<(), ChildError> {
        let mut parent = ToParent::of_child(parent)?;
        self.answer(&mut parent)?;
        Ok(())
    }

    fn answer(&self, parent: &mut ToParent) -> Result<Outcome, IdentityError> {
        let mut orders = self.orders()?;
        let mut memory = RecoveryMemory::of(&self.data_directory);
        let serving = self.serving(&mut memory);
        let mut source = ArchiveSource::new(
            &self.archive,
            self.name,
            &self.target,
            &self.data_directory,
            self.pruning.clone(),
        );
        if let Some(local) = &self.local_replication {
            source = source.marked_by(local);
        }
        let arrival = source.path();
        let histories = self.history_to_watch();
        let promote = self.data_directory.join("promote");
        let watched = [arrival.as_path(), &self.trigger, &promote, &histories];
        let clock = RealClock::new(Watcher::new(watched, Events::Wanted));
        let mut policy = Careful::new(self.name, serving);
        if memory.archive_unavailable() {
            policy = policy.without_read_patience();
        }
        if memory.ended_before().map(WalFileName::Segment) == Some(self.name) {
            policy = policy.gap_was_said();
        }
        let told = RefCell::new(parent);
        let mut clock = ToldClock { clock, parent: &told };
        let mut asked = Told { source: &mut source, parent: &told };
        let outcome = restore(&mut asked, &mut orders, &mut clock, &mut policy);
        told.borrow_mut().answer(&outcome);
        source.keep_copy();
        // Nobody prunes while recovery is to end: the answer may be the last thing the node needs.
        if outcome == Outcome::Restored && orders.look(&Blind) == Order::Wait {
            source.prune();
        }
        Ok(outcome)
    }

    /// The history of the timeline that a promotion elsewhere would make: its arrival ends a wait.
    fn history_to_watch(&self) -> PathBuf {
        let own = self.name.timeline();
        let next = TimelineId::new(own.number().saturating_add(1)).unwrap_or(own);
        self.archive.join(WalFileName::History(next).to_string())
    }

    fn orders(&self) -> Result<NodeOrders, IdentityError> {
        let data_directory = &self.data_directory;
        let cluster = identity(data_directory)?;
        let needed_up_to = cluster.and_then(|cluster| last_place_needed(data_directory, &cluster));
        let place = self.name.segment().map(|segment| segment.place);
        Ok(NodeOrders::new(data_directory, &self.trigger, place, needed_up_to))
    }

    /// What the server makes of "not there", by its own data directory: a setting of ours may be out of
    /// date. A data directory that can't be read is taken for warm mode's, which is the safer one.
    ///
    /// The files must have said standby mode at the server's first question, too: that is when it has just
    /// read them, and it takes no notice of a change.
    fn serving(&self, memory: &mut RecoveryMemory) -> Serving {
        let settings = recovery_settings(&self.data_directory);
        if let (Ok(settings), None) = (&settings, memory.mode()) {
            memory.note_mode(settings.mode);
        }
        let was_warm = memory.mode() == Some(RecoveryMode::Warm);
        match settings {
            Ok(settings) if settings.mode == RecoveryMode::Standby && !was_warm => {
                Serving::Standby {
                    wait_limit: match settings.streams {
                        // Streaming is faster than the archive, and begins when the archive has nothing.
                        true => Duration::ZERO,
                        // A server that obeys `promote` has deleted that file and goes on to ask.
                        false if memory.archive_unavailable() => {
                            self.wait_limit.min(ONCE_UNAVAILABLE)
                        }
                        false if self.promotion_may_be_missed() => {
                            self.wait_limit.min(MISSED_PROMOTION)
                        }
                        false => self.wait_limit,
                    },
                    follows_latest: settings.follows_latest,
                }
            }
            _ => Serving::Warm { restart_for_timeline: self.restart_for_timeline },
        }
    }

    /// Before 9.3 the file `promote` is there for a moment only, and between two calls nobody sees it.
    fn promotion_may_be_missed(&self) -> bool {
        let major = major_version(&self.data_directory).ok().flatten();
        major.is_some_and(|major| !major.keeps_promote_file())
    }

    fn promote_file(&self) -> PathBuf {
        self.data_directory.join(PROMOTE_FILES[0])
    }

    /// In standby mode a trigger file alone does not end recovery: the server has to be asked, once.
    fn promote(&self, serving: Serving, memory: &mut RecoveryMemory) {
        if memory.promotion_requested() || !matches!(serving, Serving::Standby { .. }) {
            return;
        }
        let major = major_version(&self.data_directory).ok().flatten();
        if major.is_some_and(|major| !major.has_standby_mode_promotion()) {
            log::warn!(
                "this server in standby mode is promoted by the trigger_file in its recovery.conf only"
            );
            return;
        }
        match request_promotion(&self.data_directory) {
            Ok(()) => {
                memory.note_promotion_requested(true);
                thread::sleep(HANDED_ON);
            }
            Err(e) => log::error!("the server could not be asked to promote: {e}"),
        }
    }
}

/// The server asks again: for this segment, which stays refused, and for the last one before it, which
/// it must get (8.2 to 9.1 would panic). The trigger file itself remembers which is which.
fn remember_refused(orders: &mut NodeOrders, name: SegmentName) {
    let trigger = orders.trigger();
    if let TriggerLook::Complete(Trigger::Fast) = trigger.look(Writing::Closed)
        && let Err(e) = trigger.remember(name)
    {
        log::error!("{e}; the last segment may be refused when the server asks for it again");
    }
}

/// Why a child could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// Its parent process is gone, or its line to it is.
    #[error("{0}")]
    Parent(#[from] io::Error),
    /// The data directory does not tell which cluster it holds.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}
