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
    pub const ALL: [PgMajor; 19] = [
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
    ];

    /// From `server_version_num` (150004 is 15, 90603 is 9.6), as servers report it from 8.2 on.
    pub fn from_version_num(number: u32) -> PgMajor {
        if number >= 100_000 { PgMajor(number / 10_000 * 100) } else { PgMajor(number / 100) }
    }

    /// Before 9.3 the last segment of each 4 GB is never used.
    pub fn skips_last_segment(self) -> bool {
        self < PgMajor(903)
    }

    /// `pg_wal` from 10 on, `pg_xlog` before.
    pub fn wal_directory(self) -> &'static str {
        if self >= PgMajor(1000) { "pg_wal" } else { "pg_xlog" }
    }

    /// From 12 on recovery is configured by settings and `recovery.signal`; a `recovery.conf` stops
    /// the server. Before, `recovery.conf` holds all of it.
    pub fn has_recovery_signal(self) -> bool {
        self >= PgMajor(1200)
    }

    /// From 15 on the server asks restore_command twice for a segment that is missing.
    pub fn asks_twice(self) -> bool {
        self >= PgMajor(1500)
    }
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
