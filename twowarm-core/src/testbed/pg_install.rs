use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tool::{self, is_program};
use super::{BedError, finish};
use crate::version::PgMajor;

/// Where Debian installs servers, in one directory for each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The binaries of one PostgreSQL version. Only `postgres`, `initdb` and `pg_ctl` are needed.
#[derive(Clone, Debug)]
pub struct PgInstall {
    bindir: PathBuf,
}

impl PgInstall {
    /// The binaries in this directory.
    fn new(bindir: impl Into<PathBuf>) -> Result<PgInstall, BedError> {
        let bindir = bindir.into();
        match ["postgres", "initdb", "pg_ctl"].iter().find(|name| !is_program(&bindir.join(name))) {
            None => Ok(PgInstall { bindir }),
            Some(name) => {
                let dir = bindir.display();
                Err(BedError(format!("there is no {name} in {dir}: install postgresql")))
            }
        }
    }

    /// The binaries in `$TWOWARM_PG_BINDIR`, else those of the newest version from Debian packages, else those in PATH.
    pub fn find() -> Result<PgInstall, BedError> {
        if let Some(bindir) = env::var_os("TWOWARM_PG_BINDIR") {
            return PgInstall::new(bindir);
        }
        let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
        let newest = versions
            .filter_map(|entry| {
                let major: PgMajor = entry.file_name().to_str()?.parse().ok()?;
                Some((major, PgInstall::new(entry.path().join("bin")).ok()?))
            })
            .max_by_key(|(major, _)| *major);
        if let Some((_, install)) = newest {
            return Ok(install);
        }
        let postgres = tool::find("postgres", "postgresql")?;
        let real = postgres.canonicalize().map_err(BedError::io("find", &postgres))?;
        PgInstall::new(real.parent().unwrap_or(Path::new("/")))
    }

    /// The directory of the binaries.
    pub(super) fn bindir(&self) -> &Path {
        &self.bindir
    }

    /// The full path of one of the binaries.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bindir.join(name)
    }

    /// The major version, from `postgres --version`.
    pub fn major(&self) -> Result<PgMajor, BedError> {
        let said = finish(Command::new(self.program("postgres")).arg("--version"))?;
        let unclear = || BedError(format!("postgres --version said {:?}", said.trim()));
        let version = said.split_whitespace().nth(2).ok_or_else(unclear)?;
        let digits = |part: &&str| part.chars().all(|c| c.is_ascii_digit()) && !part.is_empty();
        let mut parts = version.split(|c: char| !c.is_ascii_digit()).filter(digits);
        let first = parts.next().ok_or_else(unclear)?;
        first
            .parse()
            .or_else(|_| format!("{first}.{}", parts.next().unwrap_or_default()).parse())
            .map_err(|_| unclear())
    }
}
