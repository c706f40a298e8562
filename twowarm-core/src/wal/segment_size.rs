use std::fmt;

const MIB: u64 = 1024 * 1024;

/// The size of a WAL segment file, in bytes: a power of two from 1 MB to 1 GB.
///
/// Chosen when the server is compiled (through PostgreSQL 10) or by `initdb --wal-segsize` (from 11 on); the
/// default is 16 MB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentSize(u32);

impl SegmentSize {
    /// 16 MB.
    pub const DEFAULT: SegmentSize = SegmentSize(16 * 1024 * 1024);

    /// A segment size in bytes.
    ///
    /// # Errors
    /// If it is not a power of two from 1 MB to 1 GB.
    pub fn new(bytes: u64) -> Result<SegmentSize, InvalidSegmentSize> {
        match u32::try_from(bytes) {
            Ok(size) if size.is_power_of_two() && (MIB..=1024 * MIB).contains(&bytes) => {
                Ok(SegmentSize(size))
            }
            _ => Err(InvalidSegmentSize(bytes)),
        }
    }

    /// The size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        u64::from(self.0)
    }
}

impl fmt::Display for SegmentSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MB", self.bytes() / MIB)
    }
}

/// The number of bytes is not a valid segment size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid WAL segment size of {0} bytes (must be a power of two from 1 MB to 1 GB)")]
pub struct InvalidSegmentSize(pub u64);
