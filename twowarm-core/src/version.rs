//! The major versions of PostgreSQL and the differences between them, in one place.

use std::fmt;
use std::str::FromStr;

/// A major version of PostgreSQL from 8.2 on, such as 9.6 or 15.
///
/// Code calls its methods ("does it skip the last segment?") instead of comparing version numbers.
///
/// ```
/// use twowarm_core::version::PgMajor;
///
/// let major: PgMajor = "9.6".parse()?;
/// assert_eq!(major, PgMajor::from_version_num(90603));
/// assert_eq!(major.wal_directory(), "pg_xlog");
/// assert!(major < PgMajor::NEWEST);
/// # Ok::<(), twowarm_core::version::NotAMajor>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgMajor(u32);

impl PgMajor {
    /// The supported versions, oldest first.
    pub const ALL: [PgMajor; 20] = [
        PgMajor(802),
        PgMajor(803),
        PgMajor(804),
        PgMajor(900),
        PgMajor(901),
        PgMajor(902),
        PgMajor(903),
        PgMajor(904),
        PgMajor(905),
        PgMajor(906),
        PgMajor(1000),
        PgMajor(1100),
        PgMajor(1200),
        PgMajor(1300),
        PgMajor(1400),
        PgMajor(1500),
        PgMajor(1600),
        PgMajor(1700),
        PgMajor(1800),
        PgMajor(1900),
    ];

    /// The newest supported version.
    pub const NEWEST: PgMajor = PgMajor::ALL[PgMajor::ALL.len() - 1];

    /// The major of a `server_version_num` (150004 is 15, 90603 is 9.6), which servers report from 8.2 on.
    #[must_use]
    pub fn from_version_num(number: u32) -> PgMajor {
        if number >= 100_000 { PgMajor(number / 10_000 * 100) } else { PgMajor(number / 100) }
    }

    /// By the parts of its number: (9, 6), (15, 0).
    pub(crate) const fn of(first: u32, second: u32) -> PgMajor {
        PgMajor(first * 100 + second)
    }

    /// Before 9.3 the last segment of each 4 GB is never used.
    #[must_use]
    pub fn skips_last_segment(self) -> bool {
        self < PgMajor(903)
    }

    /// `pg_wal` from 10 on, `pg_xlog` before.
    #[must_use]
    pub fn wal_directory(self) -> &'static str {
        if self >= PgMajor(1000) { "pg_wal" } else { "pg_xlog" }
    }

    /// The prefix of the version's subdirectory in a tablespace. Before 9.0 there is no such subdirectory:
    /// the tablespace contains the directories of the databases and a file PG_VERSION.
    #[must_use]
    pub fn tablespace_directory(self) -> Option<String> {
        (self >= PgMajor(900)).then(|| format!("PG_{self}_"))
    }

    /// From 12 on recovery is configured by settings and `recovery.signal`, and a server refuses to start if
    /// there is a `recovery.conf`; before 12 it is configured by `recovery.conf`.
    #[must_use]
    pub fn has_recovery_signal(self) -> bool {
        self >= PgMajor(1200)
    }

    /// From 9.1 on a server in standby mode follows a newer timeline without a restart, and `pg_ctl promote`
    /// promotes it. In 9.0 standby mode has neither.
    #[must_use]
    pub fn has_standby_mode_promotion(self) -> bool {
        self >= PgMajor(901)
    }

    /// From 9.3 on the file `promote` remains until the startup process has seen it; before, the postmaster
    /// deletes it when it receives the signal.
    pub(crate) fn keeps_promote_file(self) -> bool {
        self >= PgMajor(903)
    }

    /// From 8.3 on a promotion always begins a new timeline. 8.2 continues the one that it has replayed to its end.
    #[must_use]
    pub fn promotes_to_new_timeline(self) -> bool {
        self >= PgMajor(803)
    }

    /// From 15 on the server calls restore_command twice for a missing segment.
    #[must_use]
    pub fn asks_twice(self) -> bool {
        self >= PgMajor(1500)
    }

    /// From 9.2 on the server keeps restored segments in its WAL directory, under their names, until a restart
    /// point makes them unnecessary.
    pub(crate) fn keeps_restored_segments(self) -> bool {
        self >= PgMajor(902)
    }

    /// Whether the WAL format of the version is known. For a newer version the other methods answer as for
    /// [`NEWEST`](PgMajor::NEWEST).
    pub(crate) fn is_known(self) -> bool {
        PgMajor::ALL.contains(&self)
    }

    /// The magic number of WAL pages (`XLOG_PAGE_MAGIC`), different in every major. `None` for a version that is
    /// not known.
    #[must_use]
    pub fn wal_magic(self) -> Option<u16> {
        let place = PgMajor::ALL.iter().position(|&major| major == self)?;
        Some(WAL_MAGICS[place])
    }

    /// The major with this magic number, as released or in the betas of 19; `None` for earlier betas and versions
    /// that are not known.
    #[must_use]
    pub fn from_wal_magic(magic: u16) -> Option<PgMajor> {
        if BETA_MAGICS_OF_19.contains(&magic) {
            return Some(PgMajor(1900));
        }
        let place = WAL_MAGICS.iter().position(|&known| known == magic)?;
        Some(PgMajor::ALL[place])
    }

    /// Whether this can be the magic number of a version newer than all known ones; it has increased since 8.2.
    pub(crate) fn is_newer_wal_magic(magic: u16) -> bool {
        let newest = WAL_MAGICS[WAL_MAGICS.len() - 1];
        (newest + 1..=NEWER_MAGICS_END).contains(&magic)
    }

    /// The flag of a WAL page that abandons the incomplete record before it
    /// (`XLP_FIRST_IS_OVERWRITE_CONTRECORD`); 19 changed its value.
    pub(crate) fn overwrite_flag(self) -> u16 {
        if self >= PgMajor(1900) { 0x0004 } else { 0x0008 }
    }

    /// All flags that a WAL page can have. Before 19 the mask is the same for all versions, because 0x0008 was
    /// back-patched to minor releases of 10 and later.
    pub(crate) fn page_flags(self) -> u16 {
        if self >= PgMajor(1900) { 0x0007 } else { 0x000F }
    }

    /// From 9.5 on the segment that a promotion leaves unfinished is archived as `.partial`; before, under its
    /// plain name.
    #[must_use]
    pub fn names_unfinished_segments(self) -> bool {
        self >= PgMajor(905)
    }

    /// The format of WAL pages and records.
    pub(crate) fn record_format(self) -> RecordFormat {
        match self {
            _ if self < PgMajor(903) => RecordFormat::Halves,
            _ if self < PgMajor(905) => RecordFormat::Wide,
            _ => RecordFormat::Blocks,
        }
    }

    /// The number of block images that the header of a WAL record can announce: 3 before 9.2, 4 in 9.2 to 9.4.
    /// `None` from 9.5 on, where the header does not announce them.
    pub(crate) fn backup_blocks(self) -> Option<u32> {
        match self.record_format() {
            RecordFormat::Blocks => None,
            _ if self < PgMajor(902) => Some(3),
            _ => Some(4),
        }
    }

    /// From 9.0 on pg_control has the state "shut down in recovery", which changed the numbers of the states
    /// after it.
    pub(crate) fn has_shutdown_in_recovery(self) -> bool {
        self >= PgMajor(900)
    }

    /// From 9.0 on a WAL record marks the end of a base backup; before, the server reads it from the backup history
    /// file.
    #[must_use]
    pub fn has_backup_end_in_wal(self) -> bool {
        self >= PgMajor(900)
    }

    /// The flags in `bimg_info` for a compressed block image: 9.5 to 14 have one flag, later versions one for each
    /// method.
    pub(crate) fn image_compression_flags(self) -> u8 {
        if self >= PgMajor(1500) { 0x1C } else { 0x02 }
    }

    /// Whether the version has this resource manager (`xl_rmid`). From 15 on 128 and above are for extensions.
    pub(crate) fn has_resource_manager(self, id: u8) -> bool {
        let last = match self {
            _ if self < PgMajor(902) => 15,
            _ if self < PgMajor(905) => 16,
            _ if self < PgMajor(906) => 19,
            _ => 21,
        };
        id <= last || (self >= PgMajor(1500) && id >= 128)
    }
}

/// `XLOG_PAGE_MAGIC`, in the order of [`PgMajor::ALL`].
const WAL_MAGICS: [u16; PgMajor::ALL.len()] = [
    0xD05E, 0xD062, 0xD063, 0xD064, 0xD066, 0xD071, 0xD075, 0xD07E, 0xD087, 0xD093, 0xD097, 0xD098,
    0xD101, 0xD106, 0xD10D, 0xD110, 0xD113, 0xD116, 0xD118, 0xD122,
];

/// The magic numbers of 19beta1 and 19beta2, and of 19beta3.
const BETA_MAGICS_OF_19: [u16; 2] = [0xD120, 0xD121];

/// The greatest magic number that is accepted for a newer version.
const NEWER_MAGICS_END: u16 = 0xD2FF;

/// The three formats of WAL pages and records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RecordFormat {
    /// 8.2 to 9.2: positions as two halves, record headers never cross a page, legacy CRC-32.
    Halves,
    /// 9.3 and 9.4: positions of 64 bits, record headers can cross a page, legacy CRC-32.
    Wide,
    /// 9.5 on: records describe the blocks that they modify, CRC-32C.
    Blocks,
}

impl fmt::Display for PgMajor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1000 {
            write!(f, "{}", self.0 / 100)
        } else {
            write!(f, "{}.{}", self.0 / 100, self.0 % 100)
        }
    }
}

/// The text is not a major version of PostgreSQL from 8.2 on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a major version of PostgreSQL from 8.2 on")]
pub struct NotAMajor(pub String);

/// Parses the content of a `PG_VERSION` file: `8.2` to `9.6`, `10` and later, with white space around it.
impl FromStr for PgMajor {
    type Err = NotAMajor;

    fn from_str(text: &str) -> Result<PgMajor, NotAMajor> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            if plain { digits.parse::<u32>().ok() } else { None }
        };
        let major = match text.trim().split_once('.') {
            None => number(text.trim()).filter(|n| (10..1000).contains(n)).map(|n| n * 100),
            Some((first, second)) => number(first)
                .zip(number(second))
                .filter(|&(a, b)| (8..10).contains(&a) && b < 100 && (a, b) >= (8, 2))
                .map(|(a, b)| a * 100 + b),
        };
        major.map(PgMajor).ok_or_else(|| NotAMajor(text.trim().to_owned()))
    }
}

#[cfg(test)]
pub(crate) mod tests;
