//! Checks the records of a segment in one pass and finds the end of its WAL.

use super::{BadPageHeader, Lsn, PageHeader, SegmentHeader, SegmentName, TimelineId};
use crate::version::PgMajor;

mod blocks;
mod record;
mod stop_reason;
#[cfg(test)]
pub(crate) mod tests;

use record::{Link, PartialRecord, RecordLayout};
pub use stop_reason::StopReason;

/// Checks the records of a segment page by page: page headers, record headers, the links between records, and
/// checksums. It needs only a few hundred bytes of memory, even for long records.
///
/// For a version newer than all known ones it only counts pages and reports the segment as complete, because its
/// [records are not known](SegmentHeader::unknown_records).
///
/// The checksum of a record that begins in the previous segment or ends in a later one is not checked. To check
/// such a record, begin a walk [at the record](SegmentWalk::from_record) and continue it
/// [in the next segment](SegmentWalk::into_next). Before 9.3 the WAL is assumed to be from a 64-bit machine.
///
/// The walk applies the server's own rules, because a server in warm mode ends recovery at the first invalid
/// record.
#[derive(Clone, Debug)]
pub struct SegmentWalk {
    layout: RecordLayout,
    name: TimelineId,
    block_size: usize,
    start: Lsn,
    /// Where the walk began: at the start of the segment, or at a record.
    begin: Lsn,
    /// The offset of that record in its page, until the page is read.
    skip_to: Option<usize>,
    /// The page before the next one was not read.
    blind: bool,
    /// The previous record of the first record that begins in this segment.
    links_to: Option<Lsn>,
    pages: u64,
    /// The number of pages read so far.
    page: u64,
    /// The timeline of the last page read.
    timeline: TimelineId,
    /// All records before this position are valid.
    sound_to: Lsn,
    /// The position of the last record that begins in this segment.
    previous: Option<Lsn>,
    must_overwrite: bool,
    /// The position of the first record that begins in this segment.
    first: Option<Lsn>,
    /// The position of a byte that should be zero, outside of records.
    nonzero_padding: Option<Lsn>,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// A record begins here.
    Between,
    /// Within a record from an earlier segment.
    Tail { missing: u32 },
    /// Within a record.
    Record(PartialRecord),
    /// Within the records of an unknown version, which can't be read.
    Unknown,
    /// The end of the WAL is known.
    Ended(WalEnd),
}

/// Where the WAL of a segment ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalEnd {
    /// It continues in the next segment.
    ReachesEnd,
    /// It ends with a switch record. The rest of the segment is not WAL, even if it looks like WAL, and can be
    /// replaced by zeros.
    Switched {
        /// The position after the switch record.
        at: Lsn,
    },
    /// It ends in the middle: the segment is unfinished, truncated or damaged.
    Stops {
        /// The end of the WAL: all records before this position are valid.
        at: Lsn,
        /// Why no further record can be read.
        why: StopReason,
    },
}

impl WalEnd {
    /// Whether replay continues in the next segment.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !matches!(self, WalEnd::Stops { .. })
    }
}

impl SegmentWalk {
    /// Begins at the start of the segment, whose first page must have been
    /// [checked](super::check_segment_header).
    #[must_use]
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
            first: None,
            nonzero_padding: None,
            state: if header.major().is_some() { State::Between } else { State::Unknown },
        }
    }

    /// Begins at the record at this position: the first page to push is the one that contains it. `None` if the
    /// position is not in the segment.
    #[must_use]
    pub fn from_record(header: &SegmentHeader, name: SegmentName, at: Lsn) -> Option<SegmentWalk> {
        let block_size = u64::from(header.block_size());
        let offset = at.0.checked_sub(header.start.0)?;
        let walk = SegmentWalk::new(header, name);
        let page = Some(offset / block_size).filter(|&page| page < walk.pages)?;
        let skip_to = Some((offset % block_size) as usize);
        Some(SegmentWalk { page, begin: at, skip_to, ..walk })
    }

    /// Continues in the next segment. `None` unless all pages of this segment were pushed and its WAL is
    /// complete.
    #[must_use]
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

    /// The number of the next page to push, from 0 for the first page of the segment.
    #[must_use]
    pub fn next_page(&self) -> u64 {
        self.page
    }

    /// All records before this position are valid.
    #[must_use]
    pub fn sound_to(&self) -> Lsn {
        self.sound_to
    }

    /// The position of the last record before this segment, according to the first record that begins in it;
    /// `None` until that record was read completely.
    #[must_use]
    pub fn links_to(&self) -> Option<Lsn> {
        self.links_to
    }

    /// The position of the first record that begins in this segment, if there is one.
    #[must_use]
    pub fn first_record(&self) -> Option<Lsn> {
        self.first
    }

    /// The position of a byte of this segment, between records or in a page header, that is not zero. Servers write
    /// zeros there and never read them, so that the WAL is valid, but the file has been changed.
    #[must_use]
    pub fn nonzero_padding(&self) -> Option<Lsn> {
        self.nonzero_padding
    }

    /// The timeline of the last page that was read; before that, of the first page.
    pub(crate) fn timeline(&self) -> TimelineId {
        self.timeline
    }

    /// The position of the last complete record that the walk has read.
    pub(crate) fn last_record(&self) -> Option<Lsn> {
        self.previous
    }

    /// Whether it is within a record whose beginning it has not read.
    pub(crate) fn is_in_unread_record(&self) -> bool {
        matches!(self.state, State::Tail { .. })
    }

    /// Checks the next page of [`block_size`](SegmentHeader::block_size) bytes.
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

    /// The end of the WAL, if it was found; further pages are ignored then.
    #[must_use]
    pub fn ended(&self) -> Option<&WalEnd> {
        match &self.state {
            State::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// The end of the WAL, after the last page. If pages are missing, the WAL ends there.
    #[must_use]
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
            let switches = match &mut self.state {
                State::Ended(_) | State::Unknown => return Ok(()),
                State::Between => {
                    if page.len() - at < self.layout.least_room() {
                        self.note_padding(page, at, page.len());
                        return Ok(());
                    }
                    let mut record = PartialRecord::new(self.position(at), self.layout);
                    self.first.get_or_insert(record.at);
                    let link = Link { previous: self.previous, begin: self.begin };
                    at += record.read(&page[at..], self.layout, link)?;
                    if !record.is_complete() {
                        self.state = State::Record(record);
                        return self.check_unfinished(page);
                    }
                    self.complete(&record)?
                }
                State::Tail { missing } => {
                    let here = (*missing as usize).min(page.len() - at);
                    *missing -= here as u32;
                    at += here;
                    if *missing > 0 {
                        return Ok(());
                    }
                    self.state = State::Between;
                    false
                }
                State::Record(record) => {
                    let link = Link { previous: self.previous, begin: self.begin };
                    at += record.read(&page[at..], self.layout, link)?;
                    if !record.is_complete() {
                        return self.check_unfinished(page);
                    }
                    let record = record.clone();
                    self.state = State::Between;
                    self.complete(&record)?
                }
            };
            // Records and the ends of pages are aligned.
            let end = at;
            at = at.next_multiple_of(self.layout.alignment);
            self.note_padding(page, end, at);
            self.sound_to = self.position(at);
            if switches {
                self.state = State::Ended(WalEnd::Switched { at: self.sound_to });
            }
        }
    }

    fn check_place(&self, page: &[u8]) -> Result<(), StopReason> {
        if page.len() != self.block_size {
            return Err(StopReason::PageLength { bytes: page.len(), block_size: self.block_size });
        }
        if self.page == self.pages { Err(StopReason::PastSegment) } else { Ok(()) }
    }

    /// Checks the header of the page, and that it continues the previous page. Returns the offset of its content.
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
        if let Some(unused) = header.unused(self.layout.alignment) {
            self.note_padding(page, unused.start, unused.end);
        }
        Ok(header.content(self.layout.alignment))
    }

    /// Checks a record that was read completely. Returns whether it is a switch record.
    fn complete(&mut self, record: &PartialRecord) -> Result<bool, StopReason> {
        let switches = record.verify(self.layout, std::mem::take(&mut self.must_overwrite))?;
        self.previous = Some(record.at);
        self.links_to = self.links_to.or(record.links_to());
        Ok(switches)
    }

    fn note_padding(&mut self, page: &[u8], from: usize, to: usize) {
        if let Some(nonzero) = page[from..to].iter().position(|&byte| byte != 0) {
            self.nonzero_padding.get_or_insert(self.position(from + nonzero));
        }
    }

    /// The checksum of a record that ends in a later segment can't be checked here, but its length can.
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
