use std::ops::Range;

use super::{Lsn, SegmentSize, TimelineId};
use crate::version::{PgMajor, RecordFormat};

const CONTINUES: u16 = 0x0001;
const LONG: u16 = 0x0002;

/// The header of a WAL page (`XLogPageHeaderData`) of any version from 8.2 on, little-endian. The fields read
/// here have not changed since 9.3, so versions that are not known yet are read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageHeader {
    /// The major version, by the magic number; `None` if it is newer than all known versions.
    pub major: Option<PgMajor>,
    pub(super) magic: u16,
    flags: u16,
    /// The timeline of the first record that starts on the page. Pages that a promotion copies keep the old
    /// timeline.
    pub timeline: TimelineId,
    /// The position of the first byte of the page.
    pub address: Lsn,
    /// The number of bytes that remain, from this page on, of a record that began on an earlier page; 0 unless
    /// [`continues`](PageHeader::continues).
    pub missing: u32,
    /// The additional fields in the first page of a segment.
    pub long: Option<LongPart>,
}

/// The additional fields of a long page header (`XLogLongPageHeaderData`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LongPart {
    /// The system identifier of the cluster.
    pub system_identifier: u64,
    /// The segment size of the cluster.
    pub segment_size: SegmentSize,
    /// The size of a WAL page (`XLOG_BLCKSZ`) in bytes: a power of two from 1 kB to 64 kB.
    pub block_size: u32,
    /// `MAXALIGN` of the server's machine, in bytes: 8, or 4 on 32-bit machines. Detected from 9.3 on; before
    /// 9.3 the header does not tell, and this is 8.
    pub alignment: usize,
}

impl PageHeader {
    /// The size of the longest header, in bytes.
    pub const MAX_BYTES: usize = 40;

    /// Parses the header at the start of a page.
    ///
    /// # Errors
    /// If the bytes are not the header of a WAL page.
    pub fn parse(page: &[u8]) -> Result<PageHeader, BadPageHeader> {
        let field = Fields(page);
        let magic = field.u16(0)?;
        let major = PgMajor::from_wal_magic(magic);
        if major.is_none() && !PgMajor::is_newer_wal_magic(magic) {
            return Err(match PgMajor::from_wal_magic(magic.swap_bytes()) {
                Some(major) => BadPageHeader::BigEndian(major),
                None => BadPageHeader::UnknownMagic(magic),
            });
        }
        let flags = field.u16(2)?;
        if major.is_some_and(|major| flags & !major.page_flags() != 0) {
            return Err(BadPageHeader::UnknownFlags(flags));
        }
        let timeline = TimelineId::new(field.u32(4)?).map_err(|_| BadPageHeader::NoTimeline)?;
        let halves = format_of(major) == RecordFormat::Halves;
        let address = if halves {
            Lsn::from_halves(field.u32(8)?, field.u32(12)?)
        } else {
            Lsn(field.u64(8)?)
        };
        let long = if flags & LONG == 0 {
            None
        } else if halves {
            Some(LongPart::parse(field, 16, 8)?)
        } else {
            // 32-bit machines don't pad the 4 bytes before the identifier.
            let wide = LongPart::parse(field, 24, 8);
            Some(wide.or_else(|e| LongPart::parse(field, 20, 4).map_err(|_| e))?)
        };
        let mut header = PageHeader { major, magic, flags, timeline, address, missing: 0, long };
        if !halves {
            header.missing = field.u32(16)?;
        } else if header.continues() {
            header.missing = field.u32(header.size(8))?;
        }
        Ok(header)
    }

    /// Whether the page begins with the rest of a record from an earlier page.
    #[must_use]
    pub fn continues(&self) -> bool {
        self.flags & CONTINUES != 0
    }

    /// Whether the incomplete record before this page was abandoned after a crash. The page then begins with an
    /// overwrite-contrecord record (15 on, and late minor releases of 10 to 14).
    pub(crate) fn overwrites(&self) -> bool {
        self.flags & self.major.unwrap_or(PgMajor::NEWEST).overwrite_flag() != 0
    }

    /// The size of the header, in bytes.
    fn size(&self, alignment: usize) -> usize {
        let short = match format_of(self.major) {
            RecordFormat::Halves => 16,
            _ => 20_usize.next_multiple_of(alignment),
        };
        if self.long.is_some() { short + 16 } else { short }
    }

    /// The bytes of the header that servers leave zero and do not read: `xlp_rem_len` unless the page continues a
    /// record, and the padding after it.
    pub(super) fn unused(&self, alignment: usize) -> Option<Range<usize>> {
        let used = if self.continues() { 20 } else { 16 };
        let counted = format_of(self.major) != RecordFormat::Halves;
        counted.then(|| used..20_usize.next_multiple_of(alignment))
    }

    /// Where the content of the page begins, in bytes from its start.
    pub(super) fn content(&self, alignment: usize) -> usize {
        let size = self.size(alignment);
        let counted = format_of(self.major) == RecordFormat::Halves && self.continues();
        if counted { size + 4 } else { size }
    }
}

fn format_of(major: Option<PgMajor>) -> RecordFormat {
    major.unwrap_or(PgMajor::NEWEST).record_format()
}

impl LongPart {
    fn parse(field: Fields, at: usize, alignment: usize) -> Result<LongPart, BadPageHeader> {
        let segment_size = u64::from(field.u32(at + 8)?);
        let segment_size = SegmentSize::new(segment_size)
            .map_err(|_| BadPageHeader::BadSegmentSize(segment_size))?;
        let block_size = field.u32(at + 12)?;
        if !block_size.is_power_of_two() || !(1024..=65536).contains(&block_size) {
            return Err(BadPageHeader::BadBlockSize(block_size));
        }
        Ok(LongPart { system_identifier: field.u64(at)?, segment_size, block_size, alignment })
    }
}

/// Why bytes are not the header of a WAL page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPageHeader {
    /// There are fewer bytes than a header has.
    #[error("only {0} bytes, too few for a WAL page header")]
    TooShort(usize),
    /// Zeros, not WAL, or WAL of a development version.
    #[error("not WAL of PostgreSQL 8.2 to 19 (magic number {0:04X})")]
    UnknownMagic(u16),
    /// The page was written on a big-endian machine.
    #[error("WAL of PostgreSQL {0} from a big-endian machine")]
    BigEndian(PgMajor),
    /// The header has unknown flags.
    #[error("invalid info bits {0:04X} in WAL page header")]
    UnknownFlags(u16),
    /// The timeline is 0.
    #[error("invalid timeline 0 in WAL page header")]
    NoTimeline,
    /// The segment size is invalid.
    #[error("invalid WAL segment size of {0} bytes in WAL page header")]
    BadSegmentSize(u64),
    /// The page size is invalid.
    #[error("invalid WAL page size of {0} bytes in WAL page header")]
    BadBlockSize(u32),
}

#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(self, at: usize) -> Result<[u8; N], BadPageHeader> {
        let bytes = self.0.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or(BadPageHeader::TooShort(self.0.len()))
    }

    fn u16(self, at: usize) -> Result<u16, BadPageHeader> {
        self.take(at).map(u16::from_le_bytes)
    }

    fn u32(self, at: usize) -> Result<u32, BadPageHeader> {
        self.take(at).map(u32::from_le_bytes)
    }

    fn u64(self, at: usize) -> Result<u64, BadPageHeader> {
        self.take(at).map(u64::from_le_bytes)
    }
}
