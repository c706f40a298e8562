//! What is relayed next. Names are tried, so that the cost does not depend on the size of the archive; it is listed only
//! now and then, for files whose names can't be known.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::line::Line;
use super::note::{Listed, Note, modified, now};
use super::{Relay, RelayError};
use crate::archive::{Archive, Binding, check_mark};
use crate::data_directory::{Reached, Role, identity, role_of};
use crate::file_error::FileError;
use crate::prune::{BLOCK, SMALL};
use crate::receipt::Receipt;
use crate::ship::WalFile;
use crate::wal::{SegmentName, TimelineId, WalFileName};

/// How many names after a missing segment are tried.
const AHEAD: usize = 32;
/// How many timelines after the newest known one are looked for.
const LATER: u32 = 32;
/// The time after which a large archive that has changed is listed, in seconds.
const LIST_AFTER: u64 = 600;
/// How many segments are acknowledged before that is recorded.
const RECORD_EVERY: usize = 16;

/// A relay's view of the archive, and how far the other node has got it.
#[derive(Debug)]
pub(super) struct Work<'a, T> {
    relay: &'a Relay<T>,
    archive: Archive,
    /// The sender that the archive belongs to; `None` on a node that was promoted, which sends as itself.
    pub(super) origin: Option<Binding>,
    line: Line,
    pub(super) note: Note,
    /// The next segment to be sent.
    position: SegmentName,
    /// History, `.partial` and backup history files, and segments of older timelines, to be sent before it.
    before: VecDeque<WalFile>,
    /// The first later segment that a listing has found, more than [`AHEAD`] names away.
    beyond: Option<SegmentName>,
    /// The first segment that the other node needs, by its record when it was read or written last.
    recorded: SegmentName,
    /// Segments that were sent and not yet acknowledged, oldest first.
    in_flight: VecDeque<SegmentName>,
    unrecorded: usize,
    note_changed: bool,
}

/// The next file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NextFile {
    /// It is to be sent.
    File(WalFile),
    /// The next segment is missing and this later one is here.
    AfterGap(WalFile),
    /// There is none.
    Nothing,
}

impl<'a, T> Work<'a, T> {
    /// Looks what there is. `None` if this node has nothing to relay: it is a primary that was no standby before, or its
    /// archive is empty.
    pub(super) fn look(relay: &'a Relay<T>) -> Result<Option<Work<'a, T>>, RelayError> {
        let directory = &relay.shipper.node.data_directory;
        let role = role_of(directory)?;
        let archive = match Archive::open(&relay.archive) {
            Err(_) if role == Role::Primary => return Ok(None),
            opened => opened?,
        };
        let known = archive.consumer(&relay.to)?;
        if known.is_none() && role == Role::Primary {
            return Ok(None);
        }
        check_mark(&relay.archive, &relay.local_replication)?;
        let Some(owner) = archive.binding()? else { return Ok(None) };
        let Some(cluster) = identity(directory)? else { return Ok(None) };
        let Some(layout) = cluster.layout() else { return Ok(None) };
        let floor = match known.map(|consumer| consumer.floor) {
            Some(Ok(floor)) => floor,
            // What it has received is not known.
            Some(Err(_)) | None => {
                let oldest = archive.segments()?.into_iter().min_by_key(|segment| segment.place);
                let Some(oldest) = oldest else { return Ok(None) };
                archive.advance_consumer(&relay.to, oldest)?;
                oldest
            }
        };
        let line = match role {
            Role::Standby => Line::of_archive(&relay.archive, floor.timeline, layout)?,
            Role::Primary => {
                let own = cluster.control.as_ref().map(|control| Reached::of(control).timeline);
                let Some(own) = own else { return Ok(None) };
                match Line::of_primary(directory, own, floor.timeline, layout)? {
                    Some(line) => line,
                    None => return Ok(None),
                }
            }
        };
        let mut work = Work {
            relay,
            archive,
            origin: (role == Role::Standby).then_some(owner),
            position: line.resume(floor),
            recorded: floor,
            line,
            note: Note::read(relay.note_file()),
            before: VecDeque::new(),
            beyond: None,
            in_flight: VecDeque::new(),
            unrecorded: 0,
            note_changed: false,
        };
        work.look_for_others()?;
        Ok(Some(work))
    }

    /// Whether files have arrived other than the next segments, or the sender or the timeline has changed.
    pub(super) fn is_outdated(&mut self) -> bool {
        let Ok(Some(again)) = Work::look(self.relay) else { return true };
        if (&again.origin, &again.line) != (&self.origin, &self.line)
            || !again.before.is_empty()
            || again.receipt_is_due()
            || again.recorded.place < self.recorded.place
        {
            return true;
        }
        // It does not list the archive again each time.
        if again.note_changed {
            self.note.listed = again.note.listed;
            self.note_changed = true;
        }
        false
    }

    pub(super) fn path(&self, name: WalFileName) -> PathBuf {
        self.archive.path_of(name)
    }

    fn file(&self, name: WalFileName) -> WalFile {
        WalFile { name, path: self.path(name) }
    }

    /// The names under which the next files arrive.
    pub(super) fn awaited(&self) -> Vec<PathBuf> {
        let next = self.position;
        let later = TimelineId::new(self.line.newest().number() + 1).ok();
        let names = [WalFileName::Segment(next), WalFileName::Partial(next)];
        let names = names.into_iter().chain(later.map(WalFileName::History));
        names
            .map(|name| self.path(name))
            .chain([self.relay.archive.join(".receipt"), self.relay.archive.join(".owner")])
            .collect()
    }

    /// History files and, after a listing, all other files that were not relayed yet.
    fn look_for_others(&mut self) -> Result<(), RelayError> {
        let mut names: Vec<WalFileName> = Vec::new();
        if self.origin.is_none() {
            // This node was promoted: its own history is in its WAL directory.
            if self.next_here().is_some() {
                self.before.extend(self.own_history());
            }
            return Ok(());
        }
        let newest = self.line.newest().number();
        let later = (1..=newest.saturating_add(LATER)).filter_map(|n| TimelineId::new(n).ok());
        names.extend(later.map(WalFileName::History));
        names.push(WalFileName::Partial(self.position));
        names.retain(|&name| {
            let path = self.path(name);
            path.exists() && !self.note.has(name, &path)
        });
        if let Some(listed) = self.listing_is_due() {
            let mut others = self.archive.names()?;
            others.retain(|name| match *name {
                WalFileName::Segment(segment) => {
                    let is_later = segment.place > self.position.place
                        && self.line.segment(segment.place) == segment
                        && self.beyond.is_none_or(|beyond| segment.place < beyond.place);
                    self.beyond = if is_later { Some(segment) } else { self.beyond };
                    false
                }
                _ => true,
            });
            self.note.sent.retain(|name, _| others.contains(name));
            names.extend(others.into_iter().filter(|&name| !self.note.has(name, &self.path(name))));
            self.note.listed = Some(listed);
            self.note_changed = true;
        }
        names.sort_unstable();
        names.dedup();
        // Of an abandoned timeline, past the fork, the other node would refuse them.
        names.retain(|name| match name {
            WalFileName::Partial(segment) => {
                let counts = self.line.left_at(segment.place).contains(segment);
                counts || self.line.segment(segment.place) == *segment
            }
            _ => true,
        });
        // The newest history comes first: after several promotions only it shows that the sender of this archive may send.
        names.sort_by_key(|name| match name {
            WalFileName::History(timeline) => (false, Reverse(timeline.number())),
            _ => (true, Reverse(0)),
        });
        self.before = names.into_iter().map(|name| self.file(name)).collect();
        Ok(())
    }

    fn own_history(&self) -> Option<WalFile> {
        let name = WalFileName::History(self.line.newest());
        let directory = &self.relay.shipper.node.data_directory;
        let paths = ["pg_wal", "pg_xlog"].map(|wal| directory.join(wal).join(name.to_string()));
        let path = paths.into_iter().find(|path| path.exists())?;
        (!self.note.has(name, &path)).then_some(WalFile { name, path })
    }

    fn listing_is_due(&self) -> Option<Listed> {
        let metadata = fs::metadata(&self.relay.archive).ok()?;
        let segment = self.line.number(self.position);
        let due = Listed { modified: modified(&self.relay.archive)?, at: now(), segment };
        let Some(last) = self.note.listed else { return Some(due) };
        if self.note.stuck.is_some_and(|(missing, _)| missing == self.position) {
            return Some(due);
        }
        if last.modified == due.modified {
            return None;
        }
        let share = metadata.size() / BLOCK;
        let is_due = metadata.size() <= SMALL
            || segment.saturating_sub(last.segment) >= share
            || due.at.saturating_sub(last.at) >= LIST_AFTER;
        is_due.then_some(due)
    }

    /// The next file, which counts as sent now.
    pub(super) fn next(&mut self) -> NextFile {
        if let Some(file) = self.before.pop_front() {
            return NextFile::File(file);
        }
        let segment = self.position;
        let left = self.line.left_at(segment.place).into_iter();
        let left = left.flat_map(|left| [WalFileName::Segment(left), WalFileName::Partial(left)]);
        let left: Vec<WalFile> = left.map(|name| self.file(name)).collect();
        let unsent = |file: &WalFile| file.path.exists() && !self.note.has(file.name, &file.path);
        if let Some(file) = left.into_iter().find(unsent) {
            return NextFile::File(file);
        }
        match self.next_here() {
            Some(found) if found == segment => {
                self.position = self.line.after(segment);
                self.in_flight.push_back(segment);
                NextFile::File(self.file(WalFileName::Segment(segment)))
            }
            Some(found) => NextFile::AfterGap(self.file(WalFileName::Segment(found))),
            None => NextFile::Nothing,
        }
    }

    /// The first segment that is here from the position on, among the names that are tried.
    fn next_here(&self) -> Option<SegmentName> {
        let is_here = |segment: &SegmentName| self.path(WalFileName::Segment(*segment)).exists();
        let names = std::iter::successors(Some(self.position), |&name| Some(self.line.after(name)));
        let beyond = self.beyond.filter(|beyond| beyond.place > self.position.place);
        names.take(AHEAD).chain(beyond).find(is_here)
    }

    /// A file was acknowledged.
    pub(super) fn acknowledged(&mut self, file: &WalFile) -> Result<(), RelayError> {
        match file.name {
            WalFileName::Segment(segment) => {
                self.in_flight.retain(|sent| *sent != segment);
                self.unrecorded += 1;
                if self.line.segment(segment.place) != segment {
                    self.remember(file);
                }
            }
            _ => self.remember(file),
        }
        if self.unrecorded >= RECORD_EVERY { self.record() } else { Ok(()) }
    }

    fn remember(&mut self, file: &WalFile) {
        self.note.add(file.name, &file.path);
        self.note_changed = true;
    }

    /// The first segment that the other node has not acknowledged.
    pub(super) fn first_unsent(&self) -> SegmentName {
        self.in_flight.front().copied().unwrap_or(self.position)
    }

    /// Records durably what was acknowledged. Not over a record that a new base copy has moved back: that node may have
    /// lost what it had acknowledged.
    pub(super) fn record(&mut self) -> Result<(), RelayError> {
        if self.note_changed {
            self.note.write()?;
            self.note_changed = false;
        }
        self.unrecorded = 0;
        let known = self.archive.consumer(&self.relay.to)?.and_then(|known| known.floor.ok());
        if known.is_some_and(|known| known.place < self.recorded.place) {
            return Ok(());
        }
        let first = self.first_unsent();
        self.archive.advance_consumer(&self.relay.to, first)?;
        self.recorded = first;
        Ok(())
    }

    pub(super) fn position(&self) -> SegmentName {
        self.position
    }

    /// The other node has everything before this segment, which is its first missing one of its timeline.
    pub(super) fn skip_to(&mut self, missing: SegmentName) {
        if let Some(first) = self.in_flight.front() {
            self.position = *first;
        }
        self.in_flight.clear();
        while self.position.place < missing.place && self.position.timeline == missing.timeline {
            let next = self.line.after(self.position);
            if next == self.position {
                break;
            }
            self.position = next;
        }
    }

    /// How long the other node and this one have lacked the next segment, in seconds.
    pub(super) fn stuck_for(&mut self) -> u64 {
        let since = match self.note.stuck {
            Some((segment, since)) if segment == self.position => since,
            _ => {
                self.note.stuck = Some((self.position, now()));
                self.note_changed = true;
                now()
            }
        };
        now().saturating_sub(since)
    }

    /// The receipt in the archive.
    pub(super) fn receipt(&self) -> Result<Option<Receipt>, RelayError> {
        Ok(Receipt::in_archive(&self.relay.archive)?)
    }

    fn receipt_is_due(&self) -> bool {
        let receipt = self.receipt().ok().flatten();
        match receipt {
            _ if self.origin.is_none() => false,
            Some(receipt) => {
                !self.note.has_receipt(&receipt.id)
                    && self.path(WalFileName::Partial(receipt.segment)).exists()
            }
            None => self.note.receipt.is_some(),
        }
    }
}

impl<T> Relay<T> {
    fn note_file(&self) -> PathBuf {
        self.local_replication.join("relay").join(self.to.to_string())
    }

    /// The file by which only one process relays at a time.
    pub(super) fn lock_file(&self) -> Result<PathBuf, FileError> {
        let directory: &Path = &self.local_replication.join("relay");
        fs::create_dir_all(directory).map_err(FileError::of("create", directory))?;
        Ok(directory.join(format!(".{}.lock", self.to)))
    }
}
