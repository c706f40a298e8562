use std::time::Duration;

use super::{Decision, Found, GiveUp, Order, Policy, Situation};
use crate::wal::{SegmentName, WalFileName};

/// restoreWALFile's policy. Untriggered it never gives up a segment, since a server in warm mode takes
/// every "not there" for the end of the WAL and comes up as a primary.
#[derive(Debug)]
pub struct Careful {
    name: WalFileName,
    kind: Kind,
    restart_for_timeline: bool,
    poll: Duration,
    patience: Duration,
    ending_since: Option<Duration>,
    said: Option<Said>,
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
    /// For a segment. With `restart_for_timeline` the server is stopped when a newer timeline that it
    /// could follow has arrived, since only a start makes it look for one.
    pub fn segment(name: SegmentName, restart_for_timeline: bool) -> Careful {
        Careful::new(WalFileName::Segment(name), Kind::Segment, restart_for_timeline)
    }

    /// For a history or .backup file.
    pub fn optional(name: WalFileName) -> Careful {
        Careful::new(name, Kind::Optional, false)
    }

    fn new(name: WalFileName, kind: Kind, restart_for_timeline: bool) -> Careful {
        let (poll, patience) = (POLL, PATIENCE);
        Careful { name, kind, restart_for_timeline, poll, patience, ending_since: None, said: None }
    }

    /// What is found, when nobody has ordered recovery to end.
    fn untriggered(&self, found: &Found) -> Decision {
        match found {
            Found::Ready => Decision::Restore { even_if_it_ends_early: false },
            Found::NeverExists => Decision::GiveUp(GiveUp::NotThere),
            Found::Absent if self.kind == Kind::Optional => Decision::GiveUp(GiveUp::NotThere),
            Found::Superseded(timeline) if self.restart_for_timeline => Decision::Stop(format!(
                "timeline {timeline} has arrived, which a start makes it follow"
            )),
            _ => Decision::Wait,
        }
    }

    /// What is found, when recovery is to end. Everything sound is still handed over; nothing else
    /// holds the failover up.
    fn triggered(&mut self, situation: &Situation) -> Decision {
        let since = *self.ending_since.get_or_insert(situation.waited);
        match &situation.found {
            // What comes back if it does end early is worth a line in the log.
            Found::Ready => Decision::Restore { even_if_it_ends_early: false },
            Found::EndsEarly(at, why) => {
                log::error!(
                    "recovery ends within {}, at {at}: its WAL stops there ({why})",
                    self.name
                );
                Decision::Restore { even_if_it_ends_early: true }
            }
            Found::Unchecked(why) => {
                log::warn!(
                    "{} is handed over unchecked, since recovery is to end: {why}",
                    self.name
                );
                Decision::Restore { even_if_it_ends_early: true }
            }
            Found::NeverExists => Decision::GiveUp(GiveUp::NotThere),
            Found::Absent | Found::Superseded(_) => Decision::GiveUp(GiveUp::EndWhenAbsent),
            Found::Arriving | Found::Settling => {
                log::error!("{} counts as absent: {NOT_WHOLE}", self.name);
                Decision::GiveUp(GiveUp::EndWhenAbsent)
            }
            // A network file system stumbles now and then, and all that comes after would be lost.
            Found::Unreadable(_) if situation.waited.saturating_sub(since) < READ_PATIENCE => {
                Decision::Wait
            }
            Found::Foreign(why) | Found::Unreadable(why) => {
                log::error!("{} counts as absent, since recovery is to end: {why}", self.name);
                Decision::GiveUp(GiveUp::EndWhenAbsent)
            }
            Found::Corrupt(why) => Decision::SetAside(why.clone()),
            Found::TooLarge { bytes } => Decision::SetAside(too_large(*bytes)),
            // It has arrived, so answering that it has not would lose what was committed.
            Found::NotCopied(_) if situation.waited.saturating_sub(since) < self.patience => {
                Decision::Wait
            }
            Found::NotCopied(why) => Decision::Stop(format!(
                "{} has arrived and can't be copied to the server: {why}; make room and start the server again, its trigger stays in force (a fast trigger leaves {} out)",
                self.name, self.name
            )),
        }
    }
}

impl Policy for Careful {
    fn decide(&mut self, situation: &Situation) -> Decision {
        match &situation.order {
            Order::NobodyWaits(why) => Decision::Stop(why.clone()),
            Order::Wait | Order::Unsettled => self.untriggered(&situation.found),
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

    fn waiting(&mut self, situation: &Situation) -> Duration {
        let trouble = match &situation.found {
            Found::Absent | Found::NeverExists | Found::Ready => None,
            // Files take a while to arrive; only one that stays so is worth a word.
            Found::Arriving | Found::Settling => None,
            Found::Superseded(timeline) => Some(format!(
                "timeline {timeline} left this one here or before; start the server again, so that it follows"
            )),
            Found::EndsEarly(at, why) => Some(format!(
                "its WAL stops in the middle, at {at} ({why}); recovery would end there"
            )),
            Found::TooLarge { bytes } => Some(too_large(*bytes)),
            Found::Corrupt(why)
            | Found::Unchecked(why)
            | Found::Foreign(why)
            | Found::Unreadable(why)
            | Found::NotCopied(why) => Some(why.clone()),
        };
        let now = situation.waited;
        let what = trouble.clone().unwrap_or_else(|| match situation.found {
            Found::Arriving => NOT_WHOLE.to_owned(),
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
                None => log::info!("waiting for {} since {} s: {what}", self.name, now.as_secs()),
            }
            if let Some(said) = &mut self.said {
                said.gap = (said.gap * 2).min(LONGEST_SILENCE);
                said.next = now + said.gap;
            }
        }
        self.poll
    }
}

const NOT_WHOLE: &str = "what stands in the archive is not whole yet";

fn too_large(bytes: u64) -> String {
    format!("what stands in the archive has {bytes} bytes, more than a segment")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::{Lsn, TimelineId};

    fn segment() -> Careful {
        Careful::segment("000000010000000C00000099".parse().unwrap(), false)
    }

    fn history() -> Careful {
        Careful::optional("00000002.history".parse().unwrap())
    }

    fn every_find() -> Vec<Found> {
        let why = || "why".to_owned();
        vec![
            Found::Absent,
            Found::NeverExists,
            Found::Superseded(TimelineId::FIRST),
            Found::Arriving,
            Found::Settling,
            Found::Ready,
            Found::EndsEarly(Lsn(1), why()),
            Found::Unchecked(why()),
            Found::TooLarge { bytes: 1 },
            Found::Corrupt(why()),
            Found::Foreign(why()),
            Found::Unreadable(why()),
            Found::NotCopied(why()),
        ]
    }

    fn decide(policy: &mut Careful, order: &Order, found: &Found, waited: u64) -> Decision {
        let waited = Duration::from_secs(waited);
        let (order, found) = (order.clone(), found.clone());
        policy.decide(&Situation { order, found, waited, failed_copies: 1 })
    }

    #[test]
    fn untriggered_a_segment_is_restored_or_waited_for_however_long() {
        for found in every_find() {
            for order in [Order::Wait, Order::Unsettled] {
                let decision = decide(&mut segment(), &order, &found, 1_000_000);
                let expected = match found {
                    Found::Ready => Decision::Restore { even_if_it_ends_early: false },
                    Found::NeverExists => Decision::GiveUp(GiveUp::NotThere),
                    _ => Decision::Wait,
                };
                assert_eq!(decision, expected, "{found:?}");
            }
        }
    }

    #[test]
    fn a_history_is_answered_at_once_when_it_is_known_to_be_absent_and_only_then() {
        for found in every_find() {
            let decision = decide(&mut history(), &Order::Wait, &found, 0);
            let gave_up = matches!(decision, Decision::GiveUp(_));
            assert_eq!(gave_up, matches!(found, Found::Absent | Found::NeverExists), "{found:?}");
        }
    }

    #[test]
    fn triggered_nothing_waits_except_for_room_and_for_a_stumble_and_both_have_an_end() {
        for found in every_find() {
            let mut policy = segment();
            let first = decide(&mut policy, &Order::EndWhenAbsent, &found, 5);
            let later = decide(&mut policy, &Order::EndWhenAbsent, &found, 36);
            if let Found::Unreadable(_) = found {
                assert_eq!(first, Decision::Wait);
                assert_eq!(later, Decision::GiveUp(GiveUp::EndWhenAbsent));
            } else if let Found::NotCopied(_) = found {
                assert_eq!(first, Decision::Wait);
                assert!(matches!(later, Decision::Stop(_)), "what has arrived is never given up");
            } else {
                assert_ne!(first, Decision::Wait, "{found:?}");
            }
        }
    }

    #[test]
    fn triggered_a_segment_that_ends_early_is_noticed_before_it_is_handed_over() {
        let restore = |even_if_it_ends_early| Decision::Restore { even_if_it_ends_early };
        let smart = Order::EndWhenAbsent;
        assert_eq!(decide(&mut segment(), &smart, &Found::Ready, 0), restore(false));
        for found in [Found::EndsEarly(Lsn(1), "why".into()), Found::Unchecked("why".into())] {
            assert_eq!(decide(&mut segment(), &smart, &found, 0), restore(true));
        }
    }

    #[test]
    fn fast_is_answered_before_the_archive_is_looked_at() {
        let now = |serve_again| Order::EndNow { serve_again };
        assert_eq!(segment().answers_at_once(&now(false)), Some(GiveUp::EndNow));
        assert_eq!(segment().answers_at_once(&now(true)), None);
        assert_eq!(history().answers_at_once(&now(false)), None);
    }

    #[test]
    fn when_nobody_waits_the_server_is_stopped_never_promoted() {
        for found in every_find() {
            let order = Order::NobodyWaits("gone".into());
            let decision = decide(&mut segment(), &order, &found, 0);
            assert_eq!(decision, Decision::Stop("gone".into()));
        }
    }
}
