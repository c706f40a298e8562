use std::time::Duration;

mod gap_watch;
#[cfg(test)]
mod tests;

use gap_watch::GapWatch;

use super::{Decision, Following, Found, GiveUp, Order, Policy, Situation, Superseded};
use crate::archive::Gap;
use crate::wal::WalFileName;

/// restoreWALFile's policy. Untriggered it never gives up a segment in warm mode, where the server takes
/// every "not there" for the end of the WAL and comes up as a primary; in standby mode it answers "not
/// yet" after a while, so that the server can look after other things and ask again.
#[derive(Debug)]
pub struct Careful {
    name: WalFileName,
    kind: Kind,
    serving: Serving,
    read_patience: Duration,
    ending_since: Option<Duration>,
    said: Option<Said>,
    gaps: GapWatch,
}

/// How the server takes the answer that a segment is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// As the end of the WAL: a server in archive recovery.
    Warm {
        /// Whether to stop the server when a newer timeline has arrived that it would follow after a
        /// restart, because a supervisor starts it again.
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

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A segment, which will come.
    Segment,
    /// A history or .backup file, which is there or is not.
    Optional,
}

#[derive(Debug)]
struct Said {
    what: String,
    next: Duration,
    gap: Duration,
}

/// How often to look where no events come, as on network file systems.
const POLL: Duration = Duration::from_secs(1);
/// How long a triggered failover waits for room on the server's disk before it stops the server.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a triggered failover tries again to read an archive that can't be read.
const READ_PATIENCE: Duration = Duration::from_secs(2);
/// The first reminder of what is waited for comes after this, later ones at twice the distance each.
const FIRST_REMINDER: Duration = Duration::from_secs(60);
/// And at least so often.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

impl Careful {
    /// For the server that asks for this file.
    pub fn new(name: WalFileName, serving: Serving) -> Careful {
        let kind = match name {
            WalFileName::Segment(_) => Kind::Segment,
            _ => Kind::Optional,
        };
        let read_patience = READ_PATIENCE;
        let gaps = GapWatch::default();
        Careful { name, kind, serving, read_patience, ending_since: None, said: None, gaps }
    }

    /// The archive was found unavailable earlier in this failover: its time was given to it already.
    pub fn without_read_patience(self) -> Careful {
        Careful { read_patience: Duration::ZERO, ..self }
    }

    /// Recovery was told to end before this file already, so that a gap was said then.
    pub fn gap_was_said(mut self) -> Careful {
        self.gaps.was_said();
        self
    }

    /// The decision about what is found when recovery has not been ordered to end.
    fn untriggered(&self, situation: &Situation) -> Decision {
        match &situation.found {
            Found::Ready => return Decision::Restore { as_it_is: false },
            Found::NeverExists => return Decision::GiveUp(GiveUp::NotThere),
            Found::Absent if self.kind == Kind::Optional => {
                return Decision::GiveUp(GiveUp::NotThere);
            }
            _ => {}
        }
        match (self.serving, &situation.found) {
            (Serving::Warm { restart_for_timeline: true }, Found::Superseded(newer))
                if newer.following != Following::BaseCopy =>
            {
                let timeline = newer.timeline;
                Decision::Stop(format!(
                    "timeline {timeline} has arrived; after a restart the server follows it"
                ))
            }
            (Serving::Warm { .. }, _) => Decision::Wait,
            // It looks for timelines when it has its answer.
            (Serving::Standby { follows_latest: true, .. }, Found::Superseded(newer))
                if newer.following == Following::Possible =>
            {
                Decision::GiveUp(GiveUp::NotYet)
            }
            (Serving::Standby { wait_limit, .. }, _) if situation.waited >= wait_limit => {
                Decision::GiveUp(GiveUp::NotYet)
            }
            (Serving::Standby { .. }, _) => Decision::Wait,
        }
    }

    /// The decision about what is found when recovery is to end. Everything that begins as it should is
    /// handed over; nothing else holds the failover up.
    fn triggered(&mut self, situation: &Situation) -> Decision {
        let since = *self.ending_since.get_or_insert(situation.waited);
        let ending_for = situation.waited.saturating_sub(since);
        let name = self.name;
        match &situation.found {
            // If it turns out to be damaged, that is worth a line in the log.
            Found::Ready => Decision::Restore { as_it_is: false },
            Found::Damaged(why) => {
                log::error!(
                    "{name}: {why}; it is handed over as it is, recovery ends there, and a copy is kept as {name}.corrupt. {SOUND_COPY}"
                );
                Decision::Restore { as_it_is: true }
            }
            Found::Unfinished => {
                log::error!(
                    "{name} is incomplete; what is there is handed over, recovery ends there, and a copy is kept as {name}.corrupt. {SOUND_COPY}"
                );
                Decision::Restore { as_it_is: true }
            }
            Found::TooLarge { bytes } => {
                log::error!(
                    "{name} has {bytes} bytes, more than a segment; its first part is handed over"
                );
                Decision::Restore { as_it_is: true }
            }
            Found::Unchecked(why) => {
                log::warn!("{name} is handed over unchecked, because recovery is to end: {why}");
                Decision::Restore { as_it_is: true }
            }
            Found::NeverExists => Decision::GiveUp(GiveUp::NotThere),
            Found::Absent | Found::Superseded(_) => Decision::GiveUp(GiveUp::EndWhenAbsent),
            Found::Arriving | Found::Settling => {
                log::error!("{name} counts as absent: {INCOMPLETE}");
                Decision::GiveUp(GiveUp::EndWhenAbsent)
            }
            // A network file system may fail once and work again, and all that follows would be lost.
            Found::Unreadable(_) if ending_for < self.read_patience => Decision::Wait,
            Found::Unreadable(why) => {
                log::error!("{name} counts as absent, because recovery is to end: {why}");
                Decision::GiveUp(GiveUp::ArchiveUnavailable)
            }
            Found::Foreign(why) => {
                log::error!("{name} counts as absent, because recovery is to end: {why}");
                Decision::GiveUp(GiveUp::EndWhenAbsent)
            }
            Found::NotThatFile(why) => Decision::SetAside(why.clone()),
            // It has arrived, so to answer that it has not would lose what was committed.
            Found::NotCopied(_) if ending_for < PATIENCE => Decision::Wait,
            Found::NotCopied(why) => Decision::Stop(format!(
                "{name} has arrived and can't be copied to the server: {why}; make room and start the server again, its trigger stays in force (a fast trigger leaves {name} out)"
            )),
        }
    }

    /// What is wrong, where more than patience is needed.
    fn trouble(&self, found: &Found) -> Option<String> {
        match found {
            Found::NeverExists | Found::Ready => None,
            Found::Absent => self.gaps.trouble(),
            // Files take a while to arrive; only one that stays so is worth a word.
            Found::Arriving | Found::Unfinished | Found::Settling => None,
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
        format!("{why}. {SOUND_COPY}, or in {}.corrupt if a failover kept one", self.name)
    }

    fn superseded(&self, newer: &Superseded) -> String {
        let timeline = newer.timeline;
        let what_to_do = match newer.following {
            Following::BaseCopy => {
                "this standby has replayed WAL from after the fork: it needs a new base copy (copyToStandby on the new primary)".to_owned()
            }
            Following::Possible if matches!(self.serving, Serving::Standby { .. }) => format!(
                "set recovery_target_timeline = 'latest' and restart the server, so that it follows timeline {timeline}"
            ),
            Following::Possible => {
                format!("restart the server, so that it follows timeline {timeline}")
            }
        };
        format!(
            "timeline {timeline} forked from this timeline at or before this segment; {what_to_do}"
        )
    }
}

impl Policy for Careful {
    fn decide(&mut self, situation: &Situation) -> Decision {
        match &situation.order {
            Order::NobodyWaits(why) => Decision::Stop(why.clone()),
            Order::Wait | Order::Unsettled => {
                let decision = self.untriggered(situation);
                let unsaid = self.said.is_none() || self.gaps.trouble().is_some();
                if decision == Decision::GiveUp(GiveUp::NotYet) && unsaid {
                    // Where there is no wait there is no other moment to say it.
                    self.waiting(situation);
                }
                decision
            }
            Order::EndWhenAbsent | Order::EndNow { serve_again: true } => self.triggered(situation),
            // Histories are answered as ever: the new timeline's number depends on them.
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
            && match (&situation.order, self.serving) {
                (Order::NobodyWaits(_) | Order::EndNow { .. }, _) => false,
                (Order::EndWhenAbsent, _) => self.gaps.is_unsaid(),
                (Order::Wait | Order::Unsettled, Serving::Warm { .. }) => self.gaps.is_due(waited),
                (Order::Wait | Order::Unsettled, Serving::Standby { wait_limit, .. }) => {
                    self.gaps.is_due(waited) || waited >= wait_limit
                }
            }
    }

    fn note_gap(&mut self, gap: Option<Gap>, situation: &Situation) {
        self.gaps.note(gap, situation.waited);
        if !matches!(situation.order, Order::Wait | Order::Unsettled) {
            self.gaps.say_what_is_lost();
        }
    }

    fn waiting(&mut self, situation: &Situation) -> Duration {
        let trouble = match &situation.found {
            // The server is about to follow by itself.
            Found::Superseded(Superseded { following: Following::Possible, .. })
                if matches!(self.serving, Serving::Standby { follows_latest: true, .. }) =>
            {
                None
            }
            found => self.trouble(found),
        };
        let now = situation.waited;
        let what = trouble.clone().unwrap_or_else(|| match situation.found {
            Found::Arriving | Found::Unfinished => INCOMPLETE.to_owned(),
            _ => "it has not arrived".to_owned(),
        });
        let first = FIRST_REMINDER;
        let due = match &self.said {
            Some(said) if said.what == what => now >= said.next,
            // Plain absence is how a standby spends its life; trouble is said at once.
            _ => {
                log::debug!("waiting for {}: {what}", self.name);
                self.said = Some(Said { what: what.clone(), next: now + first, gap: first });
                trouble.is_some()
            }
        };
        if due {
            match trouble {
                Some(why) => log::warn!("still waiting for {}: {why}", self.name),
                None => log::info!("waiting for {} for {} s: {what}", self.name, now.as_secs()),
            }
            if let Some(said) = &mut self.said {
                said.gap = (said.gap * 2).min(LONGEST_SILENCE);
                said.next = now + said.gap;
            }
        }
        match self.serving {
            Serving::Standby { wait_limit, .. } => POLL.min(wait_limit.saturating_sub(now)),
            Serving::Warm { .. } => POLL,
        }
    }
}

/// Where to look for a segment that is damaged in the archive.
const SOUND_COPY: &str = "A sound copy may still be in the primary's pg_wal (pg_xlog before 10) or in the DR node's archive";
const INCOMPLETE: &str = "the file in the archive is not complete yet";
