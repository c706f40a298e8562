//! Files as a server of an unknown, newer version would write them.

/// The content of `PG_VERSION` in such a cluster.
pub const NEWER_MAJOR: &str = "20";

const MAGIC: u16 = 0xD140;
const CONTROL_VERSION: u32 = 2001;
/// The offset of its checksum, which no known version uses.
const CHECKSUM_AT: usize = 320;

/// The pg_control of the same cluster in an unknown format.
#[must_use]
pub fn newer_control(known: &[u8]) -> Vec<u8> {
    let mut bytes = known.to_vec();
    bytes[8..12].copy_from_slice(&CONTROL_VERSION.to_le_bytes());
    bytes[16..CHECKSUM_AT].fill(0x5A);
    let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
    bytes[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The same segment with the magic number of that version on each page and records in an unknown format.
#[must_use]
pub fn newer_segment(known: &[u8]) -> Vec<u8> {
    let mut bytes = known.to_vec();
    for page in bytes.chunks_mut(8192) {
        page[..2].copy_from_slice(&MAGIC.to_le_bytes());
        page[40..].iter_mut().for_each(|byte| *byte ^= 0x5A);
    }
    bytes
}
