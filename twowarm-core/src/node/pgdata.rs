#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::{Caller, Environment, Install, InstallError, Invocation};
use crate::data_directory::REMEMBERED;
use crate::durable;
use crate::file_error::FileError;

/// What sets the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PgdataSource {
    /// PGDATA in this `environment.sh`.
    EnvironmentFile(PathBuf),
    /// PGDATA in the environment.
    Environment,
    /// The working directory contains a cluster.
    WorkingDirectory,
    /// This file, in which configStandby and restoreWALFile save the last data directory.
    Remembered(PathBuf),
    /// The default, `$PGROOT/data`.
    Pgroot,
}

impl PgdataSource {
    /// Whether the data directory is assumed, which a message should mention.
    #[must_use]
    pub fn is_assumed(&self) -> bool {
        matches!(self, PgdataSource::Remembered(_) | PgdataSource::Pgroot)
    }
}

impl fmt::Display for PgdataSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PgdataSource::EnvironmentFile(path) => write!(f, "{}", path.display()),
            PgdataSource::Environment => f.write_str("the environment"),
            PgdataSource::WorkingDirectory => f.write_str("the working directory"),
            PgdataSource::Remembered(path) => {
                write!(f, "{}, which contains the last data directory of this node", path.display())
            }
            PgdataSource::Pgroot => f.write_str("default: $PGROOT/data"),
        }
    }
}

/// What determines the data directory.
pub(super) struct Sources<'a> {
    pub invocation: &'a Invocation,
    pub caller: Caller,
    pub environment: &'a Environment,
    pub pgroot: &'a Path,
    pub local: &'a Path,
}

/// The data directory and what sets it, if anything does.
pub(super) type Found = Option<(PathBuf, PgdataSource)>;

impl Sources<'_> {
    /// The working directory of a server is its data directory. Otherwise, in this order: PGDATA, the working
    /// directory if it contains a cluster, the last data directory of this node, `$PGROOT/data`.
    pub(super) fn find(&self) -> Result<Found, InstallError> {
        let here = &self.invocation.working_directory;
        let is_server = self.caller == Caller::Server;
        match (self.written(), holds_cluster(here)) {
            (Some((named, named_by)), true) if is_server => {
                self.of_server(named, named_by).map(Some)
            }
            (Some((named, named_by)), _) => self.by_name(named, named_by).map(Some),
            (None, true) => Ok(Some((here.clone(), PgdataSource::WorkingDirectory))),
            (None, false) if is_server => Ok(None),
            (None, false) => self.assumed(),
        }
    }

    /// PGDATA from `environment.sh` or the environment.
    fn written(&self) -> Found {
        let file = || PgdataSource::EnvironmentFile(self.local.join("environment.sh"));
        let from_file = self.environment.get("PGDATA").map(|path| (path.into(), file()));
        let process = self.invocation.variable("PGDATA");
        from_file.or_else(|| Some((process?.into(), PgdataSource::Environment)))
    }

    /// After `pg_ctl -D data` a server has PGDATA=data in its environment and `data` as its working directory.
    fn of_server(
        &self,
        named: PathBuf,
        named_by: PgdataSource,
    ) -> Result<(PathBuf, PgdataSource), InstallError> {
        let here = &self.invocation.working_directory;
        let is_own = named_by == PgdataSource::Environment || here.ends_with(without_dot(&named));
        if named.is_relative() && is_own {
            return Ok((here.clone(), PgdataSource::WorkingDirectory));
        }
        let place = self.pgroot.join(&named);
        if is_same(&place, here) {
            return Ok((place, named_by));
        }
        Err(InstallError::AnotherCluster { named_by, named: place, found: here.clone() })
    }

    /// A relative path is resolved against the working directory, one in `environment.sh` also against PGROOT.
    fn by_name(
        &self,
        named: PathBuf,
        named_by: PgdataSource,
    ) -> Result<(PathBuf, PgdataSource), InstallError> {
        if named.is_absolute() {
            return Ok((named, named_by));
        }
        let here = &self.invocation.working_directory;
        let mut places = vec![here.join(&named)];
        if named_by != PgdataSource::Environment {
            places.insert(0, self.pgroot.join(&named));
        }
        if here.ends_with(without_dot(&named)) {
            places.push(here.clone());
        }
        let mut found: Vec<&PathBuf> = Vec::new();
        for place in places.iter().filter(|place| place.is_dir()) {
            if !found.iter().any(|other| is_same(other, place)) {
                found.push(place);
            }
        }
        match found[..] {
            [a, b, ..] => {
                let found = [a.clone(), b.clone()];
                Err(InstallError::AmbiguousPgdata { named_by, named, found })
            }
            [one] => Ok((one.clone(), named_by)),
            [] => Ok((places.swap_remove(0), named_by)),
        }
    }

    /// 2warm's scripts were called on another node with its path in the command; here nothing tells it.
    fn assumed(&self) -> Result<Found, InstallError> {
        let file = saved_in(self.local);
        match fs::read(&file) {
            Ok(text) => {
                let path = PathBuf::from(OsString::from_vec(text.trim_ascii_end().to_vec()));
                if path.is_absolute() {
                    return Ok(Some((path, PgdataSource::Remembered(file))));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(FileError::of("read", &file)(e).into()),
        }
        let usual = self.pgroot.join("data");
        let is_used = holds_cluster(&usual) || usual.join("archive").is_dir();
        // An ignored line may set another PGDATA.
        let is_clear = self.environment.ignored_lines().is_none();
        Ok((is_used && is_clear).then_some((usual, PgdataSource::Pgroot)))
    }
}

impl Install {
    /// Saves the data directory in `local/replication/data_directory` for commands for which nothing sets
    /// PGDATA, as receiveWALFile under sshd. The file is written only if its content changes.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn remember_data_directory(&self) -> Result<(), FileError> {
        let Some(pgdata) = self.pgdata.as_ref().filter(|pgdata| pgdata.is_absolute()) else {
            return Ok(());
        };
        let path = pgdata.as_os_str().as_bytes();
        let file = saved_in(&self.local());
        let is_known = fs::read(&file).is_ok_and(|text| text.trim_ascii_end() == path);
        if is_known || path.contains(&b'\n') {
            return Ok(());
        }
        durable::write(&file, &[path, b"\n"].concat())
    }
}

fn saved_in(local: &Path) -> PathBuf {
    local.join("replication").join(REMEMBERED)
}

fn holds_cluster(directory: &Path) -> bool {
    directory.join("PG_VERSION").is_file() && directory.join("global").is_dir()
}

fn is_same(a: &Path, b: &Path) -> bool {
    let real = fs::canonicalize(a).ok();
    real.is_some() && real == fs::canonicalize(b).ok()
}

fn without_dot(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}
