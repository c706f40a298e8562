use std::fmt;
use std::str::FromStr;

/// A position in the write-ahead log, in bytes: `XLogRecPtr` in PostgreSQL.
///
/// Servers before 9.3 store it as two 32-bit halves (xlogid, xrecoff) and never use the last segment of each
/// 4 GB. Here the halves are joined, so positions of every version compare correctly.
///
/// ```
/// use twowarm_core::wal::Lsn;
///
/// let lsn: Lsn = "16/B374D848".parse()?;
/// assert_eq!(lsn.0, 0x16_B374_D848);
/// assert_eq!(lsn.to_string(), "16/B374D848");
/// assert!(lsn > "2/0".parse()?);
/// # Ok::<(), twowarm_core::wal::NotAnLsn>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// `InvalidXLogRecPtr` in PostgreSQL, which means "no position".
    pub const INVALID: Lsn = Lsn(0);

    /// Joins the two halves that servers before 9.3 store.
    #[must_use]
    pub fn from_halves(high: u32, low: u32) -> Lsn {
        Lsn(u64::from(high) << 32 | u64::from(low))
    }

    /// Whether this is a position, not [`INVALID`](Lsn::INVALID).
    pub(crate) fn is_valid(self) -> bool {
        self != Lsn::INVALID
    }
}

/// Prints it as PostgreSQL does: two hexadecimal halves in upper case, not padded.
impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// The text is not a WAL position such as `16/B374D848`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a WAL position (expected two hexadecimal numbers, as in 16/B374D848)")]
pub struct NotAnLsn(pub String);

impl FromStr for Lsn {
    type Err = NotAnLsn;

    fn from_str(text: &str) -> Result<Lsn, NotAnLsn> {
        let half = |digits: &str| {
            let hex = !digits.is_empty()
                && digits.len() <= 8
                && digits.bytes().all(|b| b.is_ascii_hexdigit());
            if hex { u32::from_str_radix(digits, 16).ok() } else { None }
        };
        text.split_once('/')
            .and_then(|(high, low)| Some(Lsn::from_halves(half(high)?, half(low)?)))
            .ok_or_else(|| NotAnLsn(text.to_owned()))
    }
}
