//! PostgreSQL's major versions, and in one place what differs between them.

use std::fmt;
use std::str::FromStr;

/// A major version of PostgreSQL, 8.2 or later: `9.6` and `15` are majors.
///
/// Code asks it questions ("does it skip the last segment?") and never compares numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgMajor(u32);

impl PgMajor {
    /// The majors that this project serves, oldest first.
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

    /// The newest of them.
    pub const NEWEST: PgMajor = PgMajor::ALL[PgMajor::ALL.len() - 1];

    /// From `server_version_num` (150004 is 15, 90603 is 9.6), as servers report it from 8.2 on.
    pub fn from_version_num(number: u32) -> PgMajor {
        if number >= 100_000 { PgMajor(number / 10_000 * 100) } else { PgMajor(number / 100) }
    }

    /// By the parts of its name: (9, 6), (15, 0).
    pub(crate) const fn of(first: u32, second: u32) -> PgMajor {
        PgMajor(first * 100 + second)
    }

    /// Before 9.3 the last segment of each 4 GB is never used.
    pub fn skips_last_segment(self) -> bool {
        self < PgMajor(903)
    }

    /// `pg_wal` from 10 on, `pg_xlog` before.
    pub fn wal_directory(self) -> &'static str {
        if self >= PgMajor(1000) { "pg_wal" } else { "pg_xlog" }
    }

    /// What the name of this version's own directory in a tablespace begins with. Before 9.0 there is none:
    /// the tablespace's directory holds those of the databases, and a file PG_VERSION.
    pub fn tablespace_directory(self) -> Option<String> {
        (self >= PgMajor(900)).then(|| format!("PG_{self}_"))
    }

    /// From 12 on recovery is configured by settings and `recovery.signal`; a `recovery.conf` stops
    /// the server. Before, `recovery.conf` holds all of it.
    pub fn has_recovery_signal(self) -> bool {
        self >= PgMajor(1200)
    }

    /// From 9.1 on a server in standby mode goes over to a newer timeline while it runs, and `pg_ctl
    /// promote` opens it. 9.0 has the mode without either.
    pub fn has_standby_mode_promotion(self) -> bool {
        self >= PgMajor(901)
    }

    /// From 9.3 on the file `promote` stays until the process that replays has seen it; before, the
    /// postmaster deletes it when it gets the signal.
    pub fn keeps_promote_file(self) -> bool {
        self >= PgMajor(903)
    }

    /// From 15 on the server asks restore_command twice for a segment that is missing.
    pub fn asks_twice(self) -> bool {
        self >= PgMajor(1500)
    }

    /// From 9.2 on the server keeps each segment that it restores under its name in its own WAL
    /// directory, until a restart point makes it superfluous.
    pub fn keeps_restored_segments(self) -> bool {
        self >= PgMajor(902)
    }

    /// Whether this project knows how the version writes WAL. Of a newer one it knows only what has
    /// never changed, and takes all else to be as in the newest that it knows.
    pub fn is_known(self) -> bool {
        PgMajor::ALL.contains(&self)
    }

    /// The number that begins each WAL page (`XLOG_PAGE_MAGIC`): no two majors share one. None for a
    /// major that this project does not know.
    pub fn wal_magic(self) -> Option<u16> {
        let place = PgMajor::ALL.iter().position(|&major| major == self)?;
        Some(WAL_MAGICS[place])
    }

    /// The major whose WAL pages begin with this number, as released or in the betas of 19; none for
    /// earlier betas and versions not known yet.
    pub fn from_wal_magic(magic: u16) -> Option<PgMajor> {
        if BETA_MAGICS_OF_19.contains(&magic) {
            return Some(PgMajor(1900));
        }
        let place = WAL_MAGICS.iter().position(|&known| known == magic)?;
        Some(PgMajor::ALL[place])
    }

    /// Whether a version newer than all that are known may begin its WAL pages with this number: it has
    /// been counted up since 8.2.
    pub fn is_newer_wal_magic(magic: u16) -> bool {
        let newest = WAL_MAGICS[WAL_MAGICS.len() - 1];
        (newest + 1..=NEWER_MAGICS_END).contains(&magic)
    }

    /// The flag of a WAL page that gives up the half record before it
    /// (`XLP_FIRST_IS_OVERWRITE_CONTRECORD`); 19 moved it.
    pub(crate) fn overwrite_flag(self) -> u16 {
        if self >= PgMajor(1900) { 0x0004 } else { 0x0008 }
    }

    /// All flags that a WAL page can have. Before 19, which of them a server sets depends on the minor
    /// too (0x0008 was back-patched to 10), so the mask is the same for all.
    pub(crate) fn page_flags(self) -> u16 {
        if self >= PgMajor(1900) { 0x0007 } else { 0x000F }
    }

    /// From 9.5 on the segment that a promotion leaves unfinished is archived as `.partial`; before, by
    /// its plain name.
    pub fn names_unfinished_segments(self) -> bool {
        self >= PgMajor(905)
    }

    /// How WAL pages and records are laid out.
    pub fn record_format(self) -> RecordFormat {
        match self {
            _ if self < PgMajor(903) => RecordFormat::Halves,
            _ if self < PgMajor(905) => RecordFormat::Wide,
            _ => RecordFormat::Blocks,
        }
    }

    /// How many blocks a WAL record can carry along as images, where its header counts them: 3 before
    /// 9.2, 4 in 9.2 to 9.4. From 9.5 on the header does not say.
    pub fn backup_blocks(self) -> Option<u32> {
        match self.record_format() {
            RecordFormat::Blocks => None,
            _ if self < PgMajor(902) => Some(3),
            _ => Some(4),
        }
    }

    /// From 9.0 on pg_control knows the state "shut down in recovery", which moves up the numbers of the
    /// states after it.
    pub fn has_shutdown_in_recovery(self) -> bool {
        self >= PgMajor(900)
    }

    /// From 9.0 on a record says where a base backup ends. Before, the server reads that from the
    /// `.backup` file.
    pub fn has_backup_end_in_wal(self) -> bool {
        self >= PgMajor(900)
    }

    /// The flags of a block's image in a WAL record (`bimg_info`) that tell it is compressed: 9.5 to 14
    /// have one, later ones have one per method.
    pub(crate) fn image_compression_flags(self) -> u8 {
        if self >= PgMajor(1500) { 0x1C } else { 0x02 }
    }

    /// Whether a WAL record of this resource manager (`xl_rmid`) can be from this version. From 15 on
    /// extensions have the numbers from 128.
    pub fn has_resource_manager(self, id: u8) -> bool {
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

/// Of 19beta1 and 2, and of 19beta3.
const BETA_MAGICS_OF_19: [u16; 2] = [0xD120, 0xD121];

/// No magic number is taken for a newer version's above this one.
const NEWER_MAGICS_END: u16 = 0xD2FF;

/// The three ways in which PostgreSQL has laid out WAL pages and records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordFormat {
    /// 8.2 to 9.2: positions are two halves, a record's header never crosses a page, legacy CRC-32.
    Halves,
    /// 9.3 and 9.4: positions are 64 bits wide, headers cross pages, legacy CRC-32.
    Wide,
    /// 9.5 on: records describe the blocks they touch, CRC-32C.
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

/// The text names no major version of PostgreSQL from 8.2 on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no PostgreSQL major version from 8.2 on")]
pub struct NotAMajor(pub String);

/// Reads what a `PG_VERSION` file holds: `8.2` to `9.6`, `10` and later; white space around it is
/// left out.
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
mod tests;
