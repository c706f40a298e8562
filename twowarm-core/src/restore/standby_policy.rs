use std::time::Duration;

mod gap_watch;
#[cfg(test)]
mod tests;

use gap_watch::GapWatch;

use super::reminder::{FIRST_REMINDER, Reminder};
use super::{Decision, Found, GiveUp, Order, Policy, Situation};
use crate::archive::Gap;
use crate::timelines::{Following, Superseded};
use crate::wal::WalFileName;

/// A standby's policy. In warm mode, where the server takes every "no such file" for the end of WAL and
/// becomes a primary, it does not give up a segment without an order. In standby mode it answers "not yet"
/// after a while, so that the server can re-read its configuration, check for a promotion, and ask again.
#[derive(Debug)]
pub(super) struct StandbyPolicy {
    name: WalFileName,
    kind: Kind,
    mode: ServerMode,
    read_retries: Duration,
    ending_since: Option<Duration>,
    reminder: Option<(String, Reminder)>,
    gaps: GapWatch,
}

/// How the server takes the answer that there is no such segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerMode {
    /// As the end of WAL: a server in archive recovery.
    Warm {
        /// Whether to stop the server when a newer timeline has arrived that it would follow after a
        /// restart, because a supervisor restarts it.
        restart_for_timeline: bool,
    },
    /// As "not yet": a server in standby mode.
    Standby {
        /// How long to wait before that answer.
        wait_limit: Duration,
        /// Whether the server follows a newer timeline by itself.
        follows_latest: bool,
    },
}

/// What is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A segment, which will arrive.
    Segment,
    /// A history or `.backup` file, which exists or does not.
    Optional,
}

/// How often to look where there are no events, as on network file systems.
const POLL: Duration = Duration::from_secs(1);
/// How often to look whether another archive has answered, where the request is answered then.
const FETCHING: Duration = Duration::from_millis(20);
/// How long a failover waits for free space on the server's disk before it stops the server.
const COPY_RETRIES: Duration = Duration::from_secs(30);
/// How long a failover retries to read an archive that cannot be read.
const READ_RETRIES: Duration = Duration::from_secs(2);

impl StandbyPolicy {
    /// For a server in this mode that requests this file.
    pub(super) fn new(name: WalFileName, mode: ServerMode) -> StandbyPolicy {
        let kind = match name {
            WalFileName::Segment(_) => Kind::Segment,
            _ => Kind::Optional,
        };
        let (read_retries, gaps) = (READ_RETRIES, GapWatch::default());
        StandbyPolicy { name, kind, mode, read_retries, ending_since: None, reminder: None, gaps }
    }

    /// The archive was unavailable earlier in this failover: it is not retried again.
    pub(super) fn without_read_retries(self) -> StandbyPolicy {
        StandbyPolicy { read_retries: Duration::ZERO, ..self }
    }

    /// Recovery was ordered to end before this file in an earlier call, which reported a gap.
    pub(super) fn with_gap_reported(mut self) -> StandbyPolicy {
        self.gaps.reported = true;
        self
    }

    /// The decision while recovery is not ordered to end.
    fn untriggered(&self, situation: &Situation) -> Decision {
        match &situation.found {
            Found::Ready => return Decision::Restore { as_it_is: false },
            Found::NeverExists => return Decision::GiveUp(GiveUp::NotThere),
            Found::Absent if self.kind == Kind::Optional => {
                return Decision::GiveUp(GiveUp::NotThere);
            }
            _ => {}
        }
        match (self.mode, &situation.found) {
            (ServerMode::Warm { restart_for_timeline: true }, Found::Superseded(newer))
                if newer.following != Following::BaseCopy =>
            {
                let timeline = newer.timeline;
                Decision::Stop(format!(
                    "timeline {timeline} has arrived, and the server follows it after a restart"
                ))
            }
            (ServerMode::Warm { .. }, _) => Decision::Wait,
            // The server looks for newer timelines when it has the answer.
            (ServerMode::Standby { follows_latest: true, .. }, Found::Superseded(newer))
                if newer.following == Following::Possible =>
            {
                Decision::GiveUp(GiveUp::NotYet)
            }
            (ServerMode::Standby { wait_limit, .. }, _) if situation.waited >= wait_limit => {
                Decision::GiveUp(GiveUp::NotYet)
            }
            (ServerMode::Standby { .. }, _) => Decision::Wait,
        }
    }

    /// The decision while recovery is ordered to end. Any file that begins as the requested segment is restored;
    /// nothing else delays the failover.
    fn triggered(&mut self, situation: &Situation) -> Decision {
        let since = *self.ending_since.get_or_insert(situation.waited);
        let ending_for = situation.waited.saturating_sub(since);
        let name = self.name;
        match &situation.found {
            // If the copy shows that it is damaged, that is logged.
            Found::Ready => Decision::Restore { as_it_is: false },
            Found::Damaged(why) => {
                log::error!(
                    "{name}: {why}. It is restored as it is, recovery ends there, and a copy is kept as {name}.corrupt. {INTACT_COPY}"
                );
                Decision::Restore { as_it_is: true }
            }
            Found::Unfinished => {
                log::error!(
                    "{name} is incomplete. It is restored as it is, recovery ends there, and a copy is kept as {name}.corrupt. {INTACT_COPY}"
                );
                Decision::Restore { as_it_is: true }
            }
            Found::TooLarge { bytes } => {
                log::error!(
                    "{name} has {bytes} bytes, more than a segment; its beginning is restored"
                );
                Decision::Restore { as_it_is: true }
            }
            Found::Unchecked(why) => {
                log::warn!("{name} is restored unchecked, because recovery is to end: {why}");
                Decision::Restore { as_it_is: true }
            }
            Found::NeverExists => Decision::GiveUp(GiveUp::NotThere),
            // This ends: each place is asked once, within a limit.
            Found::Fetching => Decision::Wait,
            Found::Absent | Found::Superseded(_) => Decision::GiveUp(GiveUp::EndWhenAbsent),
            Found::Arriving | Found::Settling => {
                log::error!(
                    "{name} is treated as absent, because recovery is to end: {INCOMPLETE}"
                );
                Decision::GiveUp(GiveUp::EndWhenAbsent)
            }
            // A network file system may fail once and then work; giving up would lose all later WAL.
            Found::Unreadable(_) if ending_for < self.read_retries => Decision::Wait,
            Found::Unreadable(why) => {
                log::error!("{name} is treated as absent, because recovery is to end: {why}");
                Decision::GiveUp(GiveUp::ArchiveUnavailable)
            }
            Found::Foreign(why) => {
                log::error!("{name} is treated as absent, because recovery is to end: {why}");
                Decision::GiveUp(GiveUp::EndWhenAbsent)
            }
            Found::NotThatFile(why) => Decision::SetAside(why.clone()),
            // It has arrived: to answer that it has not would lose committed transactions.
            Found::NotCopied(_) if ending_for < COPY_RETRIES => Decision::Wait,
            Found::NotCopied(why) => Decision::Stop(format!(
                "{name} has arrived but cannot be copied: {why}. Free space and start the server again; the trigger remains in force (a fast trigger skips {name})"
            )),
        }
    }

    /// What is wrong, if it does not pass by itself.
    fn problem(&self, found: &Found) -> Option<String> {
        match found {
            Found::NeverExists | Found::Ready => None,
            Found::Absent => self.gaps.problem(),
            // A file takes a while to arrive.
            Found::Fetching | Found::Arriving | Found::Unfinished | Found::Settling => None,
            Found::Superseded(newer) => Some(self.superseded(newer)),
            Found::TooLarge { bytes } => {
                Some(self.with_advice(&format!("the file has {bytes} bytes, more than a segment")))
            }
            Found::Damaged(why) | Found::NotThatFile(why) => Some(self.with_advice(why)),
            Found::Unchecked(why)
            | Found::Foreign(why)
            | Found::Unreadable(why)
            | Found::NotCopied(why) => Some(why.clone()),
        }
    }

    fn with_advice(&self, why: &str) -> String {
        format!("{why}. {INTACT_COPY}, or in {}.corrupt if a failover kept one", self.name)
    }

    fn superseded(&self, newer: &Superseded) -> String {
        let timeline = newer.timeline;
        let what_to_do = match newer.following {
            Following::BaseCopy => {
                "This standby has replayed WAL from after the fork and needs a new base copy: run copyToStandby on the new primary".to_owned()
            }
            Following::Possible if matches!(self.mode, ServerMode::Standby { .. }) => format!(
                "To follow timeline {timeline}, set recovery_target_timeline = 'latest' and restart the server"
            ),
            Following::Possible => {
                format!("To follow timeline {timeline}, restart the server")
            }
        };
        format!(
            "timeline {timeline} forked from this timeline at or before this segment. {what_to_do}"
        )
    }
}

impl Policy for StandbyPolicy {
    fn decide(&mut self, situation: &Situation) -> Decision {
        match &situation.order {
            Order::Stop(why) => Decision::Stop(why.clone()),
            Order::Wait | Order::Unsettled => {
                let decision = self.untriggered(situation);
                let unlogged = self.reminder.is_none() || self.gaps.problem().is_some();
                if decision == Decision::GiveUp(GiveUp::NotYet) && unlogged {
                    // Without a wait there is no other moment to log it.
                    self.waiting(situation);
                }
                decision
            }
            Order::EndWhenAbsent | Order::EndNow { serve_again: true } => self.triggered(situation),
            // History files are restored as usual: the new timeline's number depends on them.
            Order::EndNow { serve_again: false } if self.kind == Kind::Optional => {
                self.triggered(situation)
            }
            Order::EndNow { serve_again: false } => Decision::GiveUp(GiveUp::EndNow),
        }
    }

    fn answers_at_once(&self, order: &Order) -> Option<GiveUp> {
        let now = *order == Order::EndNow { serve_again: false };
        (now && self.kind == Kind::Segment).then_some(GiveUp::EndNow)
    }

    fn asks_for_gap(&self, situation: &Situation) -> bool {
        let waited = situation.waited;
        self.kind == Kind::Segment
            && match (&situation.order, self.mode) {
                (Order::Stop(_) | Order::EndNow { .. }, _) => false,
                (Order::EndWhenAbsent, _) => !self.gaps.reported,
                (Order::Wait | Order::Unsettled, ServerMode::Warm { .. }) => {
                    self.gaps.is_due(waited)
                }
                (Order::Wait | Order::Unsettled, ServerMode::Standby { wait_limit, .. }) => {
                    self.gaps.is_due(waited) || waited >= wait_limit
                }
            }
    }

    fn note_gap(&mut self, gap: Option<Gap>, situation: &Situation) {
        self.gaps.note(gap, situation.waited);
        if !matches!(situation.order, Order::Wait | Order::Unsettled) {
            self.gaps.report_loss();
        }
    }

    fn waiting(&mut self, situation: &Situation) -> Duration {
        if situation.found == Found::Fetching {
            let is_waited_for = matches!(situation.order, Order::Wait | Order::Unsettled);
            return if is_waited_for && self.kind == Kind::Segment { POLL } else { FETCHING };
        }
        let problem = match &situation.found {
            // The server follows it by itself.
            Found::Superseded(Superseded { following: Following::Possible, .. })
                if matches!(self.mode, ServerMode::Standby { follows_latest: true, .. }) =>
            {
                None
            }
            found => self.problem(found),
        };
        let now = situation.waited;
        let about = problem.clone().unwrap_or_else(|| match situation.found {
            Found::Arriving | Found::Unfinished => INCOMPLETE.to_owned(),
            _ => "it has not arrived".to_owned(),
        });
        if self.reminder.as_ref().is_none_or(|(earlier, _)| *earlier != about) {
            log::debug!("waiting for {}: {about}", self.name);
            // A standby waits most of the time; only a problem is logged at once.
            let reminder = match problem {
                Some(_) => Reminder::new(now, FIRST_REMINDER),
                None => Reminder::new(now + FIRST_REMINDER, FIRST_REMINDER * 2),
            };
            self.reminder = Some((about.clone(), reminder));
        }
        if self.reminder.as_mut().is_some_and(|(_, reminder)| reminder.is_due(now)) {
            match problem {
                Some(why) => log::warn!("still waiting for {}: {why}", self.name),
                None => log::info!("waiting for {} for {} s: {about}", self.name, now.as_secs()),
            }
        }
        match self.mode {
            ServerMode::Standby { wait_limit, .. } => POLL.min(wait_limit.saturating_sub(now)),
            ServerMode::Warm { .. } => POLL,
        }
    }
}

/// Where to look for a segment that is damaged in the archive.
const INTACT_COPY: &str = "An intact copy may still be in the primary's pg_wal (pg_xlog before 10) or in the DR node's archive";
const INCOMPLETE: &str = "the file in the archive is not complete yet";
