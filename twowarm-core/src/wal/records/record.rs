use super::{StopReason, blocks};
use crate::version::{PgMajor, RecordFormat};
use crate::wal::Lsn;
use crate::wal::checksum::Checksum;

const HEADER_MAX: usize = 32;

/// Record types of resource manager 0 (`RM_XLOG_ID`).
const SWITCH: u8 = 0x40;
const OVERWRITE_CONTRECORD: u8 = 0xD0;

/// What the layout of records depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordLayout {
    pub(super) major: PgMajor,
    pub(super) alignment: usize,
}

impl RecordLayout {
    fn format(self) -> RecordFormat {
        self.major.record_format()
    }

    pub(super) fn header_size(self) -> usize {
        match self.format() {
            RecordFormat::Halves | RecordFormat::Wide => 28_usize.next_multiple_of(self.alignment),
            RecordFormat::Blocks => 24,
        }
    }

    /// The bytes that must remain on a page for a record to begin there. Through 9.2 a header is never split, so
    /// that the end of a page can be unused.
    pub(super) fn least_room(self) -> usize {
        match self.format() {
            RecordFormat::Halves => self.header_size(),
            RecordFormat::Wide | RecordFormat::Blocks => 4,
        }
    }

    /// The offset of the length in the header.
    fn length_at(self) -> usize {
        match self.format() {
            RecordFormat::Halves => 16,
            RecordFormat::Wide | RecordFormat::Blocks => 0,
        }
    }
}

/// What the link to the previous record is checked against.
#[derive(Clone, Copy)]
pub(super) struct Link {
    /// The previous record, if the walk has read it.
    pub(super) previous: Option<Lsn>,
    /// Where the walk began.
    pub(super) begin: Lsn,
}

impl Link {
    fn check(self, record: Lsn, found: Lsn) -> Result<(), StopReason> {
        let good = match self.previous {
            Some(previous) => found == previous,
            // The first record of the log links to 0.
            None => found < self.begin || !found.is_valid(),
        };
        if good { Ok(()) } else { Err(StopReason::BadLink { record, found }) }
    }
}

/// The header of a record (`XLogRecord`).
#[derive(Clone, Copy, Debug)]
struct RecordHeader {
    total: u32,
    /// Through 9.4: the length of the resource manager's data (`xl_len`).
    content: Option<u32>,
    info: u8,
    resource_manager: u8,
    previous: Lsn,
    checksum: u32,
}

impl RecordHeader {
    fn parse(head: &[u8; HEADER_MAX], format: RecordFormat) -> RecordHeader {
        let u32_at = |at: usize| {
            let bytes = head[at..].first_chunk().expect("offsets are within the 32 bytes");
            u32::from_le_bytes(*bytes)
        };
        let wide = |at| Lsn::from_halves(u32_at(at + 4), u32_at(at));
        match format {
            RecordFormat::Halves => RecordHeader {
                total: u32_at(16),
                content: Some(u32_at(20)),
                info: head[24],
                resource_manager: head[25],
                previous: Lsn::from_halves(u32_at(4), u32_at(8)),
                checksum: u32_at(0),
            },
            RecordFormat::Wide => RecordHeader {
                total: u32_at(0),
                content: Some(u32_at(8)),
                info: head[12],
                resource_manager: head[13],
                previous: wide(16),
                checksum: u32_at(24),
            },
            RecordFormat::Blocks => RecordHeader {
                total: u32_at(0),
                content: None,
                info: head[16],
                resource_manager: head[17],
                previous: wide(8),
                checksum: u32_at(20),
            },
        }
    }

    fn is_switch(&self) -> bool {
        self.resource_manager == 0 && self.info & 0xF0 == SWITCH
    }

    fn has_good_length(&self, layout: RecordLayout) -> bool {
        let header = layout.header_size() as u64;
        let total = u64::from(self.total);
        let Some(content) = self.content.map(u64::from) else {
            return total >= header && total <= blocks::RECORD_MAX;
        };
        if (content == 0) != self.is_switch() {
            return false;
        }
        let mask = match layout.major.backup_blocks() {
            Some(3) => 0x0E,
            _ => 0x0F,
        };
        let images = u64::from((self.info & mask).count_ones());
        let least = header + content + images * blocks::IMAGE_HEADER;
        (least..=least + images * blocks::IMAGE_MAX).contains(&total)
    }
}

/// A record that is being read.
#[derive(Clone, Debug)]
pub(super) struct PartialRecord {
    pub(super) at: Lsn,
    /// Kept until the end, because the checksum covers the header last.
    head: [u8; HEADER_MAX],
    header: Option<RecordHeader>,
    total: u32,
    seen: u32,
    checksum: Checksum,
}

impl PartialRecord {
    pub(super) fn new(at: Lsn, layout: RecordLayout) -> PartialRecord {
        let checksum = Checksum::new(layout.major);
        PartialRecord { at, head: [0; HEADER_MAX], header: None, total: 0, seen: 0, checksum }
    }

    pub(super) fn missing(&self) -> u32 {
        self.total - self.seen
    }

    /// The position of the previous record, according to the header.
    pub(super) fn links_to(&self) -> Option<Lsn> {
        self.header.map(|header| header.previous)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing() == 0
    }

    /// Reads the next bytes, the first time at least the four of the length. Returns how many of them belong to
    /// the record.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        layout: RecordLayout,
        link: Link,
    ) -> Result<usize, StopReason> {
        let mut used = 0;
        if self.header.is_none() {
            let held = self.seen as usize;
            used = (layout.header_size() - held).min(bytes.len());
            self.head[held..held + used].copy_from_slice(&bytes[..used]);
            self.seen += used as u32;
            if held == 0 {
                self.total = self.length(layout)?;
            }
            if (self.seen as usize) < layout.header_size() {
                return Ok(used);
            }
            self.header = Some(self.check_header(layout, link)?);
        }
        let body = (self.missing() as usize).min(bytes.len() - used);
        self.checksum.update(&bytes[used..used + body]);
        self.seen += body as u32;
        Ok(used + body)
    }

    fn length(&self, layout: RecordLayout) -> Result<u32, StopReason> {
        let bytes = self.head[layout.length_at()..].first_chunk().expect("within the 32 bytes");
        match u32::from_le_bytes(*bytes) {
            0 => Err(StopReason::NoRecord),
            total if (total as usize) < layout.header_size() => {
                Err(StopReason::BadLength { record: self.at, bytes: total })
            }
            total => Ok(total),
        }
    }

    fn check_header(&self, layout: RecordLayout, link: Link) -> Result<RecordHeader, StopReason> {
        let header = RecordHeader::parse(&self.head, layout.format());
        link.check(self.at, header.previous)?;
        if !layout.major.has_resource_manager(header.resource_manager) {
            let found = header.resource_manager;
            return Err(StopReason::UnknownResourceManager { record: self.at, found });
        }
        if !header.has_good_length(layout) {
            return Err(StopReason::BadLength { record: self.at, bytes: self.total });
        }
        Ok(header)
    }

    /// Checks the checksum of the complete record. Returns whether it is a switch record.
    pub(super) fn verify(
        &self,
        layout: RecordLayout,
        must_overwrite: bool,
    ) -> Result<bool, StopReason> {
        let header = self.header.expect("a complete record has its header");
        let mut checksum = self.checksum;
        checksum.update(match layout.format() {
            RecordFormat::Halves => &self.head[4..layout.header_size()],
            RecordFormat::Wide => &self.head[..24],
            RecordFormat::Blocks => &self.head[..20],
        });
        let expected = checksum.value();
        if header.checksum != expected {
            let found = header.checksum;
            return Err(StopReason::BadChecksum { record: self.at, expected, found });
        }
        let overwrites = header.resource_manager == 0 && header.info & 0xF0 == OVERWRITE_CONTRECORD;
        if must_overwrite && !overwrites {
            return Err(StopReason::NotOverwriting { record: self.at });
        }
        Ok(header.is_switch())
    }

    /// Compares the length with the sum of the parts that these bytes of the record describe.
    pub(super) fn check_length(
        &self,
        bytes: &[u8],
        layout: RecordLayout,
    ) -> Result<(), StopReason> {
        let body = bytes.get(layout.header_size()..);
        let (Some(body), RecordFormat::Blocks) = (body, layout.format()) else { return Ok(()) };
        match blocks::described_length(body, self.total, layout.header_size() as u64, layout.major)
        {
            Some(described) if described != u64::from(self.total) => {
                Err(StopReason::BadLength { record: self.at, bytes: self.total })
            }
            _ => Ok(()),
        }
    }
}
