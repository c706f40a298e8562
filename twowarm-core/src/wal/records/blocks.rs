//! The length of a record, from the descriptions of its parts.

use crate::version::PgMajor;

/// Through 9.4: the size of the header of a block image (`BkpBlock`), in bytes.
pub(super) const IMAGE_HEADER: u64 = 20;

/// The largest data block (`BLCKSZ`), in bytes.
pub(super) const IMAGE_MAX: u64 = 32 * 1024;

/// From 9.5 on: the largest record that a server can read, in bytes (`MaxAllocSize`; from 16 on the limit is
/// lower).
pub(super) const RECORD_MAX: u64 = 0x3FFF_FFFF;

const DATA_SHORT: u8 = 255;
const DATA_LONG: u8 = 254;
const ORIGIN: u8 = 253;
const TOPLEVEL_XID: u8 = 252;
const LAST_BLOCK: u8 = 32;

const HAS_IMAGE: u8 = 0x10;
const SAME_RELATION: u8 = 0x80;
const HAS_HOLE: u8 = 0x01;

/// From 9.5 on: the size of header, descriptions and described parts, in bytes. `None` if the bytes end before
/// the descriptions do; 0 if a description is invalid.
pub(super) fn described_length(
    body: &[u8],
    total: u32,
    header: u64,
    major: PgMajor,
) -> Option<u64> {
    let mut fields = Fields { rest: body, taken: 0 };
    let mut data = 0;
    loop {
        let so_far = header + fields.taken + data;
        if so_far >= u64::from(total) {
            return Some(so_far);
        }
        match fields.u8()? {
            DATA_SHORT => {
                data += u64::from(fields.u8()?);
                return Some(header + fields.taken + data);
            }
            DATA_LONG => {
                data += u64::from(fields.u32()?);
                return Some(header + fields.taken + data);
            }
            ORIGIN => fields.skip(2)?,
            TOPLEVEL_XID => fields.skip(4)?,
            0..=LAST_BLOCK => {
                let flags = fields.u8()?;
                data += u64::from(fields.u16()?);
                if flags & HAS_IMAGE != 0 {
                    data += u64::from(fields.u16()?);
                    fields.skip(2)?;
                    let image = fields.u8()?;
                    let compressed = image & major.image_compression_flags() != 0;
                    if compressed && image & HAS_HOLE != 0 {
                        fields.skip(2)?;
                    }
                }
                if flags & SAME_RELATION == 0 {
                    fields.skip(12)?;
                }
                fields.skip(4)?;
            }
            _ => return Some(0),
        }
    }
}

struct Fields<'a> {
    rest: &'a [u8],
    taken: u64,
}

impl<'a> Fields<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        self.taken += bytes as u64;
        Some(field)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.take(bytes).map(|_| ())
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|field| field[0])
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(*self.take(2)?.first_chunk()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }
}
