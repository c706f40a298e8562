//! Files that this node's archive lacks are fetched from other nodes' archives into it: from the DR node, to which
//! the primary ships while this node is down.
//!
//! Fetching never decides how a request ends. It adds files to the archive, and makes a request wait for that where
//! an answer is needed: once for each place in a failover, and for a moment if a history file is requested.

mod memory;
mod question;
mod schedule;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{Found, Order, StandbyRestore};
use crate::archive::{OtherArchive, Wanted};
use crate::child_task::end_this_process;
use crate::wal::{SegmentLayout, TimelineId, WalFileName};
use memory::{Facts, Failing, FetchMemory};
use question::{Answer, Question, name_of};
use schedule::Schedule;

/// How many of the following segments are fetched with a segment.
const FOLLOWING: u32 = 8;
/// How long the request of a history file waits for other archives while recovery is not to end.
const HISTORY_WAIT: Duration = Duration::from_secs(3);
/// A node that fails is asked again after these times, doubled each time, in milliseconds: as archiveWALFile tries a
/// standby that is down.
const FIRST_RETRY: u64 = 1_000;
const LONGEST_RETRY: u64 = 60_000;
/// A failure that lasts is logged this often, in milliseconds.
const BETWEEN_LOGS: u64 = 3_600_000;
/// Only one process fetches at a time while recovery is not to end. In the data directory.
const LOCK: &str = ".twowarm_fetching.lock";

/// The other archives, as one request asks them.
#[derive(Debug)]
pub(super) struct Fetching<'a> {
    places: &'a [Arc<dyn OtherArchive>],
    name: WalFileName,
    archive: &'a Path,
    data_directory: &'a Path,
    time_limit: Duration,
    /// Read when it is needed: most requests are for files that are here.
    memory: OnceCell<FetchMemory>,
    /// The places that are still to be asked while recovery is not to end.
    round: VecDeque<usize>,
    question: Option<Question>,
    /// A place whose copy is damaged, in a failover.
    damaged: Option<usize>,
    begun: Instant,
    /// A thread was left behind in a question.
    abandoned: bool,
    lock: Option<Flock<File>>,
    /// When another process was found to be fetching in a failover.
    other_since: Option<Instant>,
    /// When the archive was last changed before it was searched for a gap, and whether there was one.
    searched: Option<(SystemTime, bool)>,
}

impl<'a> Fetching<'a> {
    /// None if there are no other archives.
    pub(super) fn of(restore: &'a StandbyRestore) -> Option<Fetching<'a>> {
        if restore.other_archives.is_empty() {
            return None;
        }
        Some(Fetching {
            places: &restore.other_archives,
            name: restore.request.name,
            archive: &restore.archive,
            data_directory: &restore.data_directory,
            time_limit: restore.time_limit,
            memory: OnceCell::new(),
            round: VecDeque::new(),
            question: None,
            damaged: None,
            begun: Instant::now(),
            abandoned: false,
            lock: None,
            other_since: None,
            searched: None,
        })
    }

    /// Asks the other archives for the file, which this node's archive lacks, if it is time to. `has_gap` searches
    /// this node's archive for later segments. The result is [`Found::Fetching`] or [`Found::Absent`].
    pub(super) fn look(
        &mut self,
        order: &Order,
        layout: Option<SegmentLayout>,
        has_gap: &mut dyn FnMut() -> bool,
    ) -> Found {
        let ending = match order {
            Order::EndWhenAbsent | Order::EndNow { serve_again: true } => true,
            Order::Wait => false,
            // In a moment it is known whether recovery is to end.
            Order::Unsettled if self.begun.elapsed() < HISTORY_WAIT => return Found::Fetching,
            _ => return Found::Absent,
        };
        if !ending && self.facts().is_in_failover() {
            // A trigger was withdrawn.
            self.update(Facts::end_failover);
        }
        let is_short = !ending && !self.is_segment();
        loop {
            if let Some(question) = &mut self.question {
                let late = is_short && question.age() >= HISTORY_WAIT;
                let Some(answer) = question.answer(Duration::ZERO, self.time_limit) else {
                    return if late { Found::Absent } else { Found::Fetching };
                };
                let fetched = matches!(answer, Answer::Fetched { .. });
                self.note(&answer, ending, layout);
                if fetched {
                    // It is here now.
                    return Found::Fetching;
                }
            }
            if ending && self.waits_for_another() {
                return Found::Fetching;
            }
            if let Some(place) = self.next_place(ending, has_gap) {
                self.ask(place, ending, self.wanted(layout));
            } else if let Some(place) = self.damaged.take() {
                let wanted = Wanted { name: self.name, following: 0, even_damaged: true };
                self.ask(place, ending, vec![wanted]);
            } else {
                self.lock = None;
                return Found::Absent;
            }
        }
    }

    fn facts(&self) -> &Facts {
        self.memory.get_or_init(|| FetchMemory::of(self.data_directory)).facts()
    }

    fn update(&mut self, change: impl FnOnce(&mut Facts)) {
        self.facts();
        self.memory.get_mut().expect("it was just read").update(change);
    }

    fn is_segment(&self) -> bool {
        matches!(self.name, WalFileName::Segment(_))
    }

    /// The place to ask now, if there is one.
    fn next_place(&mut self, ending: bool, has_gap: &mut dyn FnMut() -> bool) -> Option<usize> {
        if ending {
            self.round.clear();
            let facts = self.facts();
            return self.places.iter().position(|place| {
                let node = name_of(&**place);
                let answered =
                    |(of, name): &(String, WalFileName)| *of == node && *name == self.name;
                !facts.unavailable.contains(&node) && !facts.answered.iter().any(answered)
            });
        }
        if self.round.is_empty() {
            self.begin_round(has_gap);
        }
        self.round.pop_front()
    }

    fn begin_round(&mut self, has_gap: &mut dyn FnMut() -> bool) {
        let now = now();
        let gap = self.is_segment() && self.has_gap(has_gap);
        let is_segment = self.is_segment();
        let facts = self.facts();
        let known = if is_segment { facts.segment } else { facts.other };
        let known = known.filter(|schedule| schedule.name == self.name);
        let schedule = known.unwrap_or_else(|| Schedule::new(self.name, now));
        let rests = |node: &str| {
            let failing = facts.failing.iter().find(|failing| failing.node == node);
            failing.is_some_and(|failing| now < failing.next && now + LONGEST_RETRY >= failing.next)
        };
        let awake = |&place: &usize| !rests(&name_of(&*self.places[place]));
        let awake: VecDeque<usize> = (0..self.places.len()).filter(awake).collect();
        // A question that nobody can be asked stays due.
        let due = schedule.is_due(now, gap) && !awake.is_empty() && !self.another_fetches();
        let schedule = if due { schedule.asked(now, gap) } else { schedule };
        if known != Some(schedule) {
            self.update(|facts| {
                *(if is_segment { &mut facts.segment } else { &mut facts.other }) = Some(schedule);
            });
        }
        if due {
            self.round = awake;
        }
    }

    /// The archive is listed only after it has changed.
    fn has_gap(&mut self, search: &mut dyn FnMut() -> bool) -> bool {
        let Ok(changed) = fs::metadata(self.archive).and_then(|found| found.modified()) else {
            return false;
        };
        match self.searched {
            Some((at, gap)) if at == changed => gap,
            _ => {
                let gap = search();
                self.searched = Some((changed, gap));
                gap
            }
        }
    }

    /// In a failover: whether another process still fetches, as the last call may do, and perhaps this file. It gives
    /// up by itself after the time limit.
    fn waits_for_another(&mut self) -> bool {
        const SPARE: Duration = Duration::from_secs(2);
        if !self.another_fetches() {
            let waited = self.other_since.take().is_some();
            if waited {
                // It may have fetched the file, or found that a place does not answer.
                self.update(|_| {});
            }
            return waited;
        }
        self.other_since.get_or_insert_with(Instant::now).elapsed() < self.time_limit + SPARE
    }

    /// Whether another process holds the lock. If not, this one does from now on.
    fn another_fetches(&mut self) -> bool {
        if self.lock.is_some() {
            return false;
        }
        let path = self.data_directory.join(LOCK);
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        // Without a lock a file may be fetched twice, which does no harm.
        let Ok(file) = opened else { return false };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                self.lock = Some(lock);
                false
            }
            Err((_, error)) => error == Errno::EWOULDBLOCK,
        }
    }

    fn ask(&mut self, place: usize, ending: bool, wanted: Vec<Wanted>) {
        let archive = Arc::clone(&self.places[place]);
        let node = name_of(&*archive);
        match Question::ask(place, archive, wanted) {
            Ok(question) => self.question = Some(question),
            Err(e) => {
                let why = format!("could not start a thread: {e}");
                self.note_failure(&node, &why, ending);
            }
        }
    }

    /// The file; for a segment those after it that are missing too, and the history of the next timeline, which may
    /// have arrived there only.
    fn wanted(&self, layout: Option<SegmentLayout>) -> Vec<Wanted> {
        let has = |name: WalFileName| self.archive.join(name.to_string()).exists();
        let WalFileName::Segment(segment) = self.name else {
            return vec![Wanted { name: self.name, following: 0, even_damaged: false }];
        };
        let after = |name| layout.and_then(|layout| layout.next(name));
        let later = std::iter::successors(after(segment), |name| after(*name));
        let missing = later.take_while(|name| !has(WalFileName::Segment(*name)));
        let following = missing.take(FOLLOWING as usize).count() as u32;
        let history = self.next_history().filter(|name| !has(*name));
        let history = history.map(|name| Wanted { name, following: 0, even_damaged: false });
        std::iter::once(Wanted { name: self.name, following, even_damaged: false })
            .chain(history)
            .collect()
    }

    /// The history of the timeline after the segment's.
    fn next_history(&self) -> Option<WalFileName> {
        let next = self.name.segment()?.timeline.number().checked_add(1)?;
        TimelineId::new(next).ok().map(WalFileName::History)
    }

    /// Records the answer to the question, which has ended.
    fn note(&mut self, answer: &Answer, ending: bool, layout: Option<SegmentLayout>) {
        let Some(Question { place, node, .. }) = self.question.take() else { return };
        let (name, now) = (self.name, now());
        let mut next = None;
        match answer {
            Answer::Failed(why) => {
                self.abandoned = true;
                return self.note_failure(&node, why, ending);
            }
            Answer::Unfit { why, damaged } => {
                self.note_failure(&node, why, false);
                self.damaged = self.damaged.or((ending && *damaged).then_some(place));
            }
            Answer::Absent => log::debug!("{node} does not have {name}"),
            Answer::Fetched { last, more } => {
                self.round.clear();
                let last = last.segment().filter(|_| *more && self.is_segment());
                next = last.and_then(|last| layout?.next(last)).map(WalFileName::Segment);
            }
        }
        let history = self.next_history();
        self.update(|facts| {
            if !matches!(answer, Answer::Unfit { .. }) {
                let before = facts.failing.len();
                facts.failing.retain(|failing| failing.node != node);
                if facts.failing.len() < before {
                    log::info!("{node} can be asked for WAL files again");
                }
            }
            if ending && !matches!(answer, Answer::Fetched { .. }) {
                facts.answered.push((node, name));
            }
            if let Some(next) = next {
                facts.segment = Some(Schedule::at_once(next, now));
            }
            if let Some(history) = history {
                // It was asked for too.
                let known = facts.other.filter(|schedule| schedule.name == history);
                let known = known.unwrap_or_else(|| Schedule::new(history, now));
                facts.other = Some(known.asked(now, false));
            }
        });
    }

    fn note_failure(&mut self, node: &str, why: &str, unavailable: bool) {
        let (name, now) = (self.name, now());
        self.update(|facts| {
            let known = facts.failing.iter().position(|failing| failing.node == node);
            let known = known.map(|at| facts.failing.remove(at));
            let is_old = |known: &Failing| known.why == why && now < known.logged + BETWEEN_LOGS;
            let quiet = known.as_ref().is_some_and(is_old);
            if unavailable {
                log::warn!(
                    "could not fetch {name} from {node}, whose archive is treated as empty for the rest of this failover: {why}"
                );
                facts.unavailable.push(node.to_owned());
            } else {
                let level = if quiet { log::Level::Debug } else { log::Level::Warn };
                log::log!(level, "could not fetch {name} from {node}: {why}");
            }
            let interval = known.as_ref().map_or(FIRST_RETRY, |known| known.interval);
            facts.failing.push(Failing {
                node: node.to_owned(),
                next: now + interval,
                interval: (interval * 2).min(LONGEST_RETRY),
                logged: known.filter(|_| quiet).map_or(now, |known| known.logged),
                why: why.to_owned(),
            });
            // Whether it has the file is not known: it is asked as soon as it is tried again.
            for schedule in [&mut facts.segment, &mut facts.other].into_iter().flatten() {
                if schedule.name == name {
                    schedule.next = schedule.next.min(now + interval);
                }
            }
        });
    }

    /// Whether a thread may still fetch.
    pub(super) fn is_busy(&self) -> bool {
        self.abandoned || self.question.is_some()
    }

    /// Lets a question that has begun come to its end after the request was answered, so that the following
    /// segments arrive. `order` is the order in force, which may end it earlier. No thread of this process is left
    /// afterwards.
    pub(super) fn finish(
        mut self,
        layout: Option<SegmentLayout>,
        order: &mut dyn FnMut() -> Order,
    ) {
        const TICK: Duration = Duration::from_millis(500);
        while let Some(question) = &mut self.question {
            let answer = question.answer(TICK, self.time_limit);
            let ending = match order() {
                Order::Stop(_) | Order::EndNow { serve_again: false } => break,
                Order::Wait | Order::Unsettled => false,
                _ => true,
            };
            if let Some(answer) = answer {
                // What became of the file that was asked for first is known already.
                let failed = matches!(answer, Answer::Failed(_));
                self.note(&answer, ending && failed, layout);
            }
        }
        if self.is_busy() {
            end_this_process();
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
