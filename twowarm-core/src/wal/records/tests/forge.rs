//! Writes segments as a server does, for tests that read or damage them.

use super::*;
use crate::wal::checksum::Checksum;

pub struct Forge {
    pub bytes: Vec<u8>,
    pub name: SegmentName,
    pub base: Lsn,
    /// The offset of the next byte.
    pub at: usize,
    /// The position of the last record.
    pub previous: Lsn,
    /// The bytes covered by a checksum.
    pub covered: Vec<bool>,
    /// The offsets of all records.
    pub starts: Vec<usize>,
    /// The offset of the content in a page with a short header that does not continue a record.
    pub content: usize,
    layout: RecordLayout,
    overwrites: bool,
}

impl Forge {
    /// An empty segment of 1 MB for pages of timeline 5, with timeline 7 in its name.
    pub fn new(major: PgMajor, alignment: usize) -> Forge {
        Forge::of_segments(major, alignment, 1)
    }

    /// The same with several consecutive segments.
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

    /// The segments with their names. The last one has timeline 7 in its name, as after a promotion.
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

    /// Writes the header at the start of a page.
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

    /// Writes the rest of a record from the previous segment, at the start.
    pub fn tail(&mut self, bytes: u32) {
        if bytes > 0 {
            self.stream(&vec![b'x'; bytes as usize], None);
        }
    }

    /// Writes a record with data of this length (0 only for a switch record).
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

    /// Writes bytes across pages, up to the end of the segment.
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

    /// Abandons the last record from this page on, as a server does after a crash.
    pub fn give_up_at_page(&mut self, page: usize, previous: Lsn) {
        self.at = page * PAGE;
        self.previous = previous;
        self.overwrites = true;
        self.bytes[page * PAGE..].fill(0);
    }
}
