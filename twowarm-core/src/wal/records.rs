//! One pass over a segment's pages that tells where its WAL ends.

use super::{BadPageHeader, Lsn, PageHeader, SegmentHeader, SegmentName, TimelineId};
use crate::version::PgMajor;

mod blocks;
mod record;
mod stop_reason;
#[cfg(test)]
pub(crate) mod tests;

use record::{Link, PartialRecord, RecordLayout};
pub use stop_reason::StopReason;

/// Checks a segment's records while its pages go by, one after the other: page headers, record
/// headers, the links between records, checksums. It keeps a few hundred bytes, however long a record.
///
/// Of a version newer than all that are known it counts pages and takes the segment for whole: nothing is
/// known of its [records](SegmentHeader::unknown_records).
///
/// What it can't check: the checksum of a record that began in the segment before, or that ends in a
/// segment after this one. For these a walk that begins [at a record](SegmentWalk::from_record) of the one
/// segment can go on [into the next](SegmentWalk::into_next). Before 9.3 it takes WAL to be from a 64-bit machine.
///
/// A server in warm mode that meets the first unsound record opens as a primary, so the walk goes
/// by the server's rules.
#[derive(Clone, Debug)]
pub struct SegmentWalk {
    layout: RecordLayout,
    name: TimelineId,
    block_size: usize,
    start: Lsn,
    /// Where the walk began: the segment's start, or a record.
    begin: Lsn,
    /// The offset of that record in its page, until it is reached.
    skip_to: Option<usize>,
    /// The page before the next one has not been seen.
    blind: bool,
    /// Where the first record links to, of those that began in this segment.
    links_to: Option<Lsn>,
    pages: u64,
    /// Pages pushed, this one not counted while it is walked.
    page: u64,
    /// The timeline of the last page.
    timeline: TimelineId,
    /// All before is sound.
    sound_to: Lsn,
    /// Where the last record began that began in this segment.
    previous: Option<Lsn>,
    must_overwrite: bool,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// A record begins next.
    Between,
    /// Within a record that an earlier segment began.
    Tail { missing: u32 },
    /// Within a record.
    Record(PartialRecord),
    /// Within what can't be read: records of a version not known.
    Unknown,
    /// Nothing more to check.
    Ended(WalEnd),
}

/// Where a segment's WAL ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalEnd {
    /// It goes on in the next segment.
    ReachesEnd,
    /// The server switched to the next segment. What follows in this one is no WAL, whatever it
    /// looks like, and may be taken for zeros.
    Switched {
        /// The first byte after the switch record.
        at: Lsn,
    },
    /// It stops in the middle: never finished, cut off or damaged.
    Stops {
        /// All records before this position are sound.
        at: Lsn,
        /// What is wrong there.
        why: StopReason,
    },
}

impl WalEnd {
    /// Whether replay goes on in the next segment.
    pub fn is_whole(&self) -> bool {
        !matches!(self, WalEnd::Stops { .. })
    }
}

impl SegmentWalk {
    /// Begins with the segment of this name, whose first page has been
    /// [checked](super::check_segment_header).
    pub fn new(header: &SegmentHeader, name: SegmentName) -> SegmentWalk {
        let block_size = u64::from(header.block_size());
        SegmentWalk {
            layout: RecordLayout {
                major: header.major().unwrap_or(PgMajor::NEWEST),
                alignment: header.alignment,
            },
            name: name.timeline,
            block_size: header.block_size() as usize,
            start: header.start,
            begin: header.start,
            skip_to: None,
            blind: true,
            links_to: None,
            pages: header.layout().size().bytes() / block_size,
            page: 0,
            timeline: header.first_timeline(),
            sound_to: header.start,
            previous: None,
            must_overwrite: false,
            state: if header.major().is_some() { State::Between } else { State::Unknown },
        }
    }

    /// Begins with the record at this position, and so with the page that holds it; none if the segment
    /// does not hold it.
    pub fn from_record(header: &SegmentHeader, name: SegmentName, at: Lsn) -> Option<SegmentWalk> {
        let block_size = u64::from(header.block_size());
        let offset = at.0.checked_sub(header.start.0)?;
        let walk = SegmentWalk::new(header, name);
        let page = Some(offset / block_size).filter(|&page| page < walk.pages)?;
        let skip_to = Some((offset % block_size) as usize);
        Some(SegmentWalk { page, begin: at, skip_to, ..walk })
    }

    /// Goes on with the segment after this one; none unless all pages of this one have been pushed and
    /// its WAL is whole.
    pub fn into_next(self, header: &SegmentHeader, name: SegmentName) -> Option<SegmentWalk> {
        let state = match self.state {
            State::Ended(WalEnd::Switched { .. }) => State::Between,
            State::Ended(WalEnd::Stops { .. } | WalEnd::ReachesEnd) => return None,
            _ if self.page < self.pages => return None,
            state => state,
        };
        let fresh = SegmentWalk::new(header, name);
        let (timeline, must_overwrite) = (self.timeline, self.must_overwrite);
        let (sound_to, previous, begin) = (self.sound_to, self.previous, self.begin);
        let blind = false;
        Some(SegmentWalk {
            timeline,
            must_overwrite,
            sound_to,
            previous,
            begin,
            blind,
            state,
            ..fresh
        })
    }

    /// The next page to push, counted from the segment's first.
    pub fn next_page(&self) -> u64 {
        self.page
    }

    /// Up to here all records are sound.
    pub fn sound_to(&self) -> Lsn {
        self.sound_to
    }

    /// Where the last record of the segments before begins, as the first record says that begins in this
    /// one; none before that one was seen whole.
    pub fn links_to(&self) -> Option<Lsn> {
        self.links_to
    }

    /// Takes the next page, from the first on; one [block](SegmentHeader::block_size) each.
    pub fn push(&mut self, page: &[u8]) {
        if self.ended().is_some() {
            return;
        }
        match self.walk(page) {
            Ok(()) => {
                self.page += 1;
                self.blind = false;
            }
            Err(why) => self.state = State::Ended(WalEnd::Stops { at: self.sound_to, why }),
        }
    }

    /// Where the WAL ends, once that is known; further pages make no difference then.
    pub fn ended(&self) -> Option<&WalEnd> {
        match &self.state {
            State::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// Where the WAL ends, after the last page. Pages that are missing are where it stops.
    pub fn finish(self) -> WalEnd {
        match self.state {
            State::Ended(end) => end,
            _ if self.page < self.pages => WalEnd::Stops {
                at: self.sound_to,
                why: StopReason::PagesMissing { pages: self.page, expected: self.pages },
            },
            _ => WalEnd::ReachesEnd,
        }
    }

    fn walk(&mut self, page: &[u8]) -> Result<(), StopReason> {
        self.check_place(page)?;
        if let State::Unknown = self.state {
            return Ok(());
        }
        let mut at = self.enter(page)?;
        if let Some(offset) = self.skip_to.take() {
            at = offset.clamp(at, page.len());
            self.state = State::Between;
        }
        loop {
            match &mut self.state {
                State::Ended(_) | State::Unknown => return Ok(()),
                State::Between => {
                    if page.len() - at < self.layout.least_room() {
                        return Ok(());
                    }
                    self.state = State::Record(PartialRecord::new(self.position(at), self.layout));
                    continue;
                }
                State::Tail { missing } => {
                    let here = (*missing as usize).min(page.len() - at);
                    *missing -= here as u32;
                    at += here;
                    if *missing > 0 {
                        return Ok(());
                    }
                }
                State::Record(record) => {
                    let link = Link { previous: self.previous, begin: self.begin };
                    at += record.read(&page[at..], self.layout, link)?;
                    if !record.is_complete() {
                        return self.check_unfinished(page);
                    }
                }
            }
            // Records begin aligned; so do pages end.
            at = at.next_multiple_of(self.layout.alignment);
            self.complete(self.position(at))?;
        }
    }

    fn check_place(&self, page: &[u8]) -> Result<(), StopReason> {
        if page.len() != self.block_size {
            return Err(StopReason::PageLength { bytes: page.len(), block_size: self.block_size });
        }
        if self.page == self.pages { Err(StopReason::PastSegment) } else { Ok(()) }
    }

    /// Checks the page's header, and that it goes on where the page before stopped. Returns where its
    /// content begins.
    fn enter(&mut self, page: &[u8]) -> Result<usize, StopReason> {
        let header = PageHeader::parse(page)?;
        let address = self.position(0);
        match header.major {
            Some(major) if major == self.layout.major => {}
            Some(found) => return Err(StopReason::OtherMajor { page: address, found }),
            None => return Err(BadPageHeader::UnknownMagic(header.magic).into()),
        }
        if header.address != address {
            return Err(StopReason::OtherPosition { page: address, found: header.address });
        }
        if header.long.is_some() != (self.page == 0) {
            return Err(StopReason::MisplacedHeader { page: address });
        }
        if !(self.timeline..=self.name).contains(&header.timeline) {
            return Err(StopReason::OtherTimeline { page: address, found: header.timeline });
        }
        self.timeline = header.timeline;
        self.must_overwrite = header.overwrites();
        let missing = if header.continues() { header.missing } else { 0 };
        let expected = match &self.state {
            _ if header.overwrites() => 0,
            State::Between if self.blind => missing,
            State::Tail { missing } => *missing,
            State::Record(record) => record.missing(),
            State::Between | State::Ended(_) | State::Unknown => 0,
        };
        if missing != expected || header.continues() != (missing > 0) {
            return Err(StopReason::BadContinuation { page: address, expected, found: missing });
        }
        if missing == 0 {
            self.state = State::Between;
        } else if self.blind {
            self.state = State::Tail { missing };
        }
        Ok(header.content(self.layout.alignment))
    }

    /// The record or tail has come to its end, and the next record begins at this position.
    fn complete(&mut self, next: Lsn) -> Result<(), StopReason> {
        let state = std::mem::replace(&mut self.state, State::Between);
        if let State::Record(record) = state {
            let switches = record.verify(self.layout, std::mem::take(&mut self.must_overwrite))?;
            self.previous = Some(record.at);
            self.links_to = self.links_to.or(record.links_to());
            if switches {
                self.state = State::Ended(WalEnd::Switched { at: next });
            }
        }
        self.sound_to = next;
        Ok(())
    }

    /// Of a record that leaves the segment the checksum will not be seen, but what it says of its own
    /// length may be here.
    fn check_unfinished(&self, page: &[u8]) -> Result<(), StopReason> {
        let (State::Record(record), true) = (&self.state, self.page + 1 == self.pages) else {
            return Ok(());
        };
        let Some(at) = record.at.0.checked_sub(self.position(0).0) else { return Ok(()) };
        record.check_length(&page[at as usize..], self.layout)
    }

    fn position(&self, at: usize) -> Lsn {
        Lsn(self.start.0 + self.page * self.block_size as u64 + at as u64)
    }
}
