//! What the process that ships ahead remembers; no I/O, and the time comes in as a value.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::message::{Answer, Request};
use crate::ship::shipper::Acknowledged;
use crate::ship::wire::Welcome;
use crate::ship::{LinkError, ShipError, WalFile};
use crate::wal::WalFileName;

/// How long the process waits for the next call, in order to serve it over the same connection.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// How often the server's backlog is listed while there is nothing to ship.
const LISTING_INTERVAL: Duration = Duration::from_millis(100);

/// The files of the backlog: to be shipped, on their way, and shipped but not asked for. All are forgotten when
/// the process ends; then they are shipped again.
#[derive(Debug)]
pub(super) struct Memory {
    /// How many files may be shipped that no call has asked for.
    limit: usize,
    /// To be shipped, in this order; those that calls wait for come first.
    waiting: VecDeque<WalFile>,
    /// On their way, with the number of their connection.
    in_flight: Vec<(usize, WalFile)>,
    /// Durable in the other node's archive.
    acknowledged: HashMap<WalFileName, Acknowledged>,
    /// Files whose calls have their answer. The server may not have noted that yet, so that they are still part of
    /// its backlog.
    answered: HashSet<WalFileName>,
    /// The names that calls wait for.
    wanted: Vec<WalFileName>,
    welcome: Option<Welcome>,
    connections: usize,
    /// Nothing more is shipped that no call waits for.
    closed: bool,
    /// Why the other node could not be reached.
    unreachable: Option<String>,
    /// A call was sent away: the files that remain will not be asked for soon.
    over: bool,
    last_listing: Option<Instant>,
    last_event: Instant,
}

impl Memory {
    pub(super) fn new(limit: usize, now: Instant) -> Memory {
        Memory {
            limit,
            waiting: VecDeque::new(),
            in_flight: Vec::new(),
            acknowledged: HashMap::new(),
            answered: HashSet::new(),
            wanted: Vec::new(),
            welcome: None,
            connections: 0,
            closed: false,
            unreachable: None,
            over: false,
            last_listing: None,
            last_event: now,
        }
    }

    /// A call asks for its file. `None`: it must wait for [`result`](Memory::result).
    pub(super) fn ask(&mut self, request: &Request, now: Instant) -> Option<Answer> {
        let name = request.file.name;
        self.last_event = now;
        if let Some(answer) = self.remembered(request) {
            return Some(answer);
        }
        if !self.is_in_flight(name) {
            if self.closed {
                self.over = true;
                return Some(Answer::ShipIt);
            }
            self.waiting.retain(|file| file.name != name);
            self.waiting.push_front(request.file.clone());
        }
        self.wanted.push(name);
        None
    }

    /// The answer to a call that waits, once there is one.
    pub(super) fn result(&mut self, request: &Request, now: Instant) -> Option<Answer> {
        let name = request.file.name;
        let answer = self.remembered(request).or_else(|| {
            let pending = self.is_in_flight(name) || self.waiting.iter().any(|f| f.name == name);
            let unreachable = || self.unreachable.clone().map(Answer::Unreachable);
            (!pending).then(|| unreachable().unwrap_or(Answer::ShipIt))
        });
        if answer.is_some() {
            self.give_up(request, now);
        }
        answer
    }

    /// A call does not wait any longer.
    pub(super) fn give_up(&mut self, request: &Request, now: Instant) {
        let at = self.wanted.iter().position(|name| *name == request.file.name);
        at.map(|at| self.wanted.swap_remove(at));
        self.last_event = now;
    }

    /// What is remembered of the call's file, which is then forgotten. Another content than the one that was
    /// acknowledged proves nothing, and the other node has to decide.
    fn remembered(&mut self, request: &Request) -> Option<Answer> {
        let known = self.acknowledged.get(&request.file.name)?;
        if known.content.needs_checksum_of(&request.content) {
            return Some(Answer::NeedsChecksum);
        }
        let known = self.acknowledged.remove(&request.file.name)?;
        self.answered.insert(request.file.name);
        let welcome = self.welcome.clone().filter(|_| known.content == request.content);
        Some(welcome.map_or(Answer::ShipIt, |welcome| Answer::Stored {
            stored: known.stored,
            has_defect: known.defect.is_some(),
            welcome,
        }))
    }

    fn is_in_flight(&self, name: WalFileName) -> bool {
        self.in_flight.iter().any(|(_, file)| file.name == name)
    }

    /// Takes the next file to be sent over this connection.
    pub(super) fn take(&mut self, connection: usize) -> Option<WalFile> {
        let is_wanted = self.wanted.contains(&self.waiting.front()?.name);
        let unasked = self.acknowledged.len() + self.in_flight.len();
        if !is_wanted && (self.closed || unasked >= self.limit) {
            return None;
        }
        let file = self.waiting.pop_front()?;
        self.in_flight.push((connection, file.clone()));
        Some(file)
    }

    /// Whether a call waits for a file that is on its way over this connection.
    pub(super) fn is_awaited(&self, connection: usize) -> bool {
        let is_wanted = |file: &WalFile| self.wanted.contains(&file.name);
        self.in_flight.iter().any(|(sent_over, file)| *sent_over == connection && is_wanted(file))
    }

    /// How many files are to be shipped.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the server's backlog should be listed now.
    pub(super) fn needs_listing(&self, now: Instant) -> bool {
        let is_due = |last: Instant| now.saturating_duration_since(last) >= LISTING_INTERVAL;
        !self.closed && self.waiting.is_empty() && self.last_listing.is_none_or(is_due)
    }

    /// The server's backlog at this time.
    pub(super) fn listed(&mut self, mut backlog: Vec<WalFile>, now: Instant) {
        self.last_listing = Some(now);
        let listed: HashSet<WalFileName> = backlog.iter().map(|file| file.name).collect();
        // The server has noted the others. If such a name returns, it is another file.
        self.answered.retain(|name| listed.contains(name));
        backlog.retain(|file| {
            let is_known = |set: &HashSet<WalFileName>| set.contains(&file.name);
            let is_waiting = || self.waiting.iter().any(|waiting| waiting.name == file.name);
            !is_known(&self.answered)
                && !self.acknowledged.contains_key(&file.name)
                && !self.is_in_flight(file.name)
                && !is_waiting()
        });
        self.waiting.extend(backlog);
    }

    pub(super) fn connected(&mut self, welcome: &Welcome) {
        self.welcome = Some(welcome.clone());
    }

    pub(super) fn acknowledged(&mut self, file: Acknowledged, now: Instant) {
        self.last_event = now;
        self.in_flight.retain(|(_, sent)| sent.name != file.file.name);
        self.acknowledged.insert(file.file.name, file);
    }

    /// Whether a call waits, and for this long no file was acknowledged and no call came.
    pub(super) fn has_hung_for(&self, limit: Duration, now: Instant) -> bool {
        !self.wanted.is_empty() && now.saturating_duration_since(self.last_event) >= limit
    }

    pub(super) fn connection_begins(&mut self) {
        self.connections += 1;
    }

    pub(super) fn has_connections(&self) -> bool {
        self.connections > 0
    }

    /// A connection has ended. Its files are sent over another one, if there is one and the files are not the
    /// reason.
    pub(super) fn connection_ended(&mut self, connection: usize, result: Result<(), ShipError>) {
        self.connections -= 1;
        let (lost, kept) = self.in_flight.drain(..).partition(|(over, _)| *over == connection);
        self.in_flight = kept;
        let Err(error) = result else { return };
        let lost: Vec<(usize, WalFile)> = lost;
        let failed = match error {
            ShipError::Link(LinkError::Refused { .. }) => None,
            ShipError::Link(error) => Some(error),
            _ => None,
        };
        if self.connections > 0 && failed.is_some() {
            for (_, file) in lost.into_iter().rev() {
                self.waiting.push_front(file);
            }
            return;
        }
        self.close();
        self.waiting.clear();
        // After other failures the call tries itself, and reports what it finds.
        let timed_out = |error: &LinkError| {
            use crate::retry::Retryable;
            matches!(error, LinkError::Connect(_) | LinkError::Stalled { .. })
                && error.is_retryable()
        };
        self.unreachable = failed.filter(timed_out).map(|error| error.to_string());
    }

    /// Ships nothing more that no call waits for.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiting.retain(|file| self.wanted.contains(&file.name));
    }

    /// Ends the process as soon as no call waits.
    pub(super) fn end(&mut self) {
        self.close();
        self.over = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed && self.waiting.is_empty()
    }

    /// Whether the process has nothing to do any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let is_idle = || {
            let nothing_left = self.closed && self.acknowledged.is_empty();
            let waited = now.saturating_duration_since(self.last_event);
            self.in_flight.is_empty() && (nothing_left || waited >= LINGER)
        };
        self.wanted.is_empty() && (self.over || is_idle())
    }
}
