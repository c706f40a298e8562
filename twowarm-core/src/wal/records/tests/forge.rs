//! Writes segments as a server would, to be walked over and damaged.

use super::*;
use crate::wal::checksum::Checksum;

pub struct Forge {
    pub bytes: Vec<u8>,
    pub name: SegmentName,
    pub base: Lsn,
    /// Where the next byte goes.
    pub at: usize,
    /// Where the last record began.
    pub previous: Lsn,
    /// Bytes that a checksum here vouches for.
    pub covered: Vec<bool>,
    /// Where records begin.
    pub starts: Vec<usize>,
    /// Where a page's content begins that is not the first and continues nothing.
    pub content: usize,
    layout: RecordLayout,
    overwrites: bool,
}

impl Forge {
    /// An empty segment of 1 MB by timeline 7's name, to hold pages of timeline 5.
    pub fn new(major: PgMajor, alignment: usize) -> Forge {
        Forge::of_segments(major, alignment, 1)
    }

    /// The same with so many segments in a row.
    pub fn of_segments(major: PgMajor, alignment: usize, segments: usize) -> Forge {
        let name = SegmentName {
            timeline: TimelineId::new(7).unwrap(),
            place: SegmentPlace { log_id: 1, segment: 5 },
        };
        let size = SegmentSize::new(MIB as u64).unwrap();
        let base = SegmentLayout::new(major, size).start(name.place).unwrap();
        let layout = RecordLayout { major, alignment };
        let halves = major.record_format() == RecordFormat::Halves;
        Forge {
            bytes: vec![0; segments * MIB],
            name,
            base,
            at: 0,
            previous: Lsn(base.0 - 0x500),
            covered: vec![false; segments * MIB],
            starts: Vec::new(),
            content: if halves { 16 } else { 20_usize.next_multiple_of(alignment) },
            layout,
            overwrites: false,
        }
    }

    pub fn is_full(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub fn room(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The segments with their names: the last one by timeline 7's, as if that had begun there.
    pub fn segments(&self) -> Vec<(SegmentName, Vec<u8>)> {
        let layout = SegmentLayout::new(self.layout.major, SegmentSize::new(MIB as u64).unwrap());
        let own = TimelineId::new(5).unwrap();
        let first = Some(SegmentName { timeline: own, ..self.name });
        let names = std::iter::successors(first, |&name| layout.next(name));
        let mut segments: Vec<_> = names.zip(self.bytes.chunks(MIB).map(<[u8]>::to_vec)).collect();
        segments.last_mut().unwrap().0.timeline = self.name.timeline;
        segments
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    /// At a page's start: its header.
    fn enter(&mut self, missing: u32) {
        let halves = self.content == 16;
        let address = self.base.0 + self.at as u64;
        let first = self.at.is_multiple_of(MIB);
        let overwrites = std::mem::take(&mut self.overwrites);
        let overwrite = self.layout.major.overwrite_flag();
        // Until 18 servers set 4 on their own (`XLP_BKP_REMOVABLE`).
        let own = if overwrite == 4 { 0 } else { 4 };
        let overwrite = if overwrites { overwrite } else { 0 };
        let flags = u16::from(missing > 0) | u16::from(first) << 1 | own | overwrite;
        self.put(&self.layout.major.wal_magic().unwrap().to_le_bytes());
        self.put(&flags.to_le_bytes());
        self.put(&5_u32.to_le_bytes());
        if halves {
            self.put(&((address >> 32) as u32).to_le_bytes());
            self.put(&(address as u32).to_le_bytes());
        } else {
            self.put(&address.to_le_bytes());
            self.put(&missing.to_le_bytes());
            self.at = self.at.next_multiple_of(self.layout.alignment);
        }
        if first {
            self.put(&0x1234_5678_9ABC_DEF0_u64.to_le_bytes());
            self.put(&(MIB as u32).to_le_bytes());
            self.put(&(PAGE as u32).to_le_bytes());
        }
        if halves && missing > 0 {
            self.put(&missing.to_le_bytes());
        }
    }

    /// The rest of a record of the segment before, filled with `x`; at the very start.
    pub fn tail(&mut self, bytes: u32) {
        if bytes > 0 {
            self.stream(&vec![b'x'; bytes as usize], None);
        }
    }

    /// The next record: nothing but `data` of this length (0 only for a switch).
    pub fn record(&mut self, resource_manager: u8, info: u8, data: usize) {
        let format = self.layout.major.record_format();
        if !self.is_full() {
            self.at = self.at.next_multiple_of(self.layout.alignment);
            let room = PAGE - self.at % PAGE;
            if !self.at.is_multiple_of(PAGE)
                && format == RecordFormat::Halves
                && room < self.layout.header_size()
            {
                self.at += room;
            }
        }
        if self.is_full() {
            return;
        }
        if self.at.is_multiple_of(PAGE) {
            self.enter(0);
        }
        let start = Lsn(self.base.0 + self.at as u64);
        let mut body: Vec<u8> = (0..data).map(|i| (i % 251) as u8).collect();
        if format == RecordFormat::Blocks && data > 0 {
            let length = data.saturating_sub(5) as u32;
            body[..5].copy_from_slice(&[&[254][..], &length.to_le_bytes()].concat());
        }
        let mut header = vec![0; self.layout.header_size()];
        let total = ((header.len() + data) as u32).to_le_bytes();
        let content = (data as u32).to_le_bytes();
        let previous = self.previous.0;
        let mut set = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        let (checksum_at, covered) = match format {
            RecordFormat::Halves => {
                set(4, &((previous >> 32) as u32).to_le_bytes());
                set(8, &(previous as u32).to_le_bytes());
                set(16, &total);
                set(20, &content);
                set(24, &[info, resource_manager]);
                (0, 4..self.layout.header_size())
            }
            RecordFormat::Wide => {
                set(0, &total);
                set(8, &content);
                set(12, &[info, resource_manager]);
                set(16, &previous.to_le_bytes());
                (24, 0..24)
            }
            RecordFormat::Blocks => {
                set(0, &total);
                set(8, &previous.to_le_bytes());
                set(16, &[info, resource_manager]);
                (20, 0..20)
            }
        };
        let mut checksum = Checksum::new(self.layout.major);
        checksum.update(&body);
        checksum.update(&header[covered]);
        header[checksum_at..checksum_at + 4].copy_from_slice(&checksum.value().to_le_bytes());
        self.starts.push(self.at);
        self.previous = start;
        let unused = if format == RecordFormat::Wide { 28..header.len() } else { 0..0 };
        self.stream(&[header, body].concat(), Some(unused));
        if !self.is_full() {
            self.at = self.at.next_multiple_of(self.layout.alignment);
        }
    }

    /// Writes over as many pages as it takes, up to the segment's end.
    fn stream(&mut self, bytes: &[u8], unused: Option<std::ops::Range<usize>>) {
        let mut places = Vec::new();
        let mut done = 0;
        while done < bytes.len() && !self.is_full() {
            if self.at.is_multiple_of(PAGE) {
                self.enter((bytes.len() - done) as u32);
            }
            let here = (bytes.len() - done).min(PAGE - self.at % PAGE);
            places.extend((done..done + here).map(|i| (i, self.at + i - done)));
            self.put(&bytes[done..done + here]);
            done += here;
        }
        if let (Some(unused), true) = (unused, done == bytes.len()) {
            for (index, at) in places {
                self.covered[at] = !unused.contains(&index);
            }
        }
    }

    /// Forgets the last record from this page on, as a server does that crashed before it was whole.
    pub fn give_up_at_page(&mut self, page: usize, previous: Lsn) {
        self.at = page * PAGE;
        self.previous = previous;
        self.overwrites = true;
        self.bytes[page * PAGE..].fill(0);
    }
}
