use std::fs;
use std::path::{Path, PathBuf};

use super::{CopyMarker, Identity, IdentityError, identity, running_server};
use crate::file_error::FileError;
use crate::wal::ClusterState;

/// What the names of all our own files in a data directory begin with.
pub const STATE_PREFIX: &str = ".twowarm";

/// The configuration files at the top of a data directory. A node has its own if they are in its
/// `2warm/local`.
pub const CONFIGURATION: [&str; 3] = ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"];

/// What makes a server a standby, by version.
const RECOVERY_FILES: [&str; 3] = ["standby.signal", "recovery.signal", "recovery.conf"];

/// Of these no data directory of a cluster is without all.
const CLUSTER_FILES: [&str; 3] = ["PG_VERSION", "base", "global"];

/// What may stand in a data directory before its first base copy.
const BEFORE_A_COPY: [&str; 13] = [
    "archive",
    "pg_wal",
    "pg_xlog",
    "postgresql.conf",
    "postgresql.auto.conf",
    "pg_hba.conf",
    "pg_ident.conf",
    "standby.signal",
    "recovery.signal",
    "recovery.conf",
    "lost+found",
    "log",
    "pg_log",
];

/// What an earlier life may have left in a directory that is to become a standby's.
const LEFT_OVER: [&str; 6] =
    ["trigger", "promote", "postmaster.pid", "postmaster.opts", "recovery.done", "logfile"];

/// What stands in a data directory, as far as it decides what may be done to it.
#[derive(Debug, Clone)]
pub struct DirectoryContents {
    path: PathBuf,
    /// The process id of the server that runs there.
    pub running: Option<i32>,
    /// What its pg_control tells.
    pub control: Option<Identity>,
    /// The file that makes it a standby.
    pub recovery: Option<&'static str>,
    /// What an unfinished base copy left to be known.
    pub unfinished: Option<CopyMarker>,
    /// Whether a trigger stands there.
    pub triggered: bool,
    cluster: bool,
    strangers: Vec<String>,
}

/// Why a directory may not be made a standby, or be overwritten by a base copy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum NotATarget {
    #[error("a server runs in {} (process {pid}): is this the standby's node? If it is to become the standby, stop it", path.display())]
    Running { path: PathBuf, pid: i32 },
    #[error(
        "{} holds what looks like a primary (cluster {system_identifier}, and no standby.signal, recovery.signal or recovery.conf): is this the standby's node? If it is to become the standby, empty the directory",
        path.display()
    )]
    Primary { path: PathBuf, system_identifier: u64 },
    #[error(
        "{} holds parts of a cluster ({found}) without pg_control: if they are not needed, empty the directory",
        path.display()
    )]
    Remains { path: PathBuf, found: String },
    #[error(
        "{} is no data directory, it holds {found}: correct PGDATA, or empty the directory",
        path.display()
    )]
    NoDataDirectory { path: PathBuf, found: String },
    #[error("{} has not been prepared: run configStandby there", .0.display())]
    NotPrepared(PathBuf),
    #[error("{} holds a standby of another cluster ({theirs}, not {ours}): if it is not needed, empty the directory and run configStandby there", path.display())]
    AnotherCluster { path: PathBuf, theirs: u64, ours: u64 },
    #[error("{} holds what is no part of a standby and would be deleted ({found}): move it away", path.display())]
    Strangers { path: PathBuf, found: String },
    #[error("a trigger stands in {}: run configStandby there", .0.display())]
    Triggered(PathBuf),
}

impl DirectoryContents {
    /// Looks at a directory, which must exist.
    pub fn read(path: &Path) -> Result<DirectoryContents, IdentityError> {
        let names = names(path)?;
        let has = |name: &str| names.iter().any(|n| n == name);
        let known = |name: &str| BEFORE_A_COPY.contains(&name) || name.starts_with(STATE_PREFIX);
        Ok(DirectoryContents {
            path: path.to_owned(),
            running: running_server(path)?.map(|server| server.pid),
            control: identity(path)?,
            recovery: RECOVERY_FILES.into_iter().find(|name| has(name)),
            unfinished: CopyMarker::read(path)?,
            triggered: has("trigger") || has("promote"),
            cluster: CLUSTER_FILES.into_iter().any(has),
            strangers: names.iter().filter(|name| !known(name)).cloned().collect(),
        })
    }

    /// The cluster that it holds, or an unfinished copy of it.
    pub fn system_identifier(&self) -> Option<u64> {
        let unfinished = self.unfinished.as_ref().map(|marker| marker.system_identifier);
        self.control.as_ref().map(|control| control.system_identifier).or(unfinished)
    }

    /// Whether configStandby may prepare it. A directory that holds neither a cluster nor what comes
    /// before one is somebody's home, or PGDATA names the wrong one; `own_archive` is its archive's name
    /// where that lies in it.
    pub fn may_be_prepared(&self, own_archive: Option<&str>) -> Result<(), NotATarget> {
        self.may_become_standby()?;
        let expected = |name: &String| {
            LEFT_OVER.contains(&name.as_str())
                || own_archive == Some(name.as_str())
                || name.ends_with(".log")
        };
        let strange = || self.strangers.iter().filter(|name| !expected(name)).cloned();
        let prepared = self.recovery.is_some() || self.unfinished.is_some();
        if prepared || self.cluster || strange().next().is_none() {
            return Ok(());
        }
        let found = listed(&strange().collect::<Vec<_>>());
        Err(NotATarget::NoDataDirectory { path: self.path.clone(), found })
    }

    /// Whether it holds nothing that a standby must not replace.
    fn may_become_standby(&self) -> Result<(), NotATarget> {
        let path = self.path.clone();
        if let Some(pid) = self.running {
            return Err(NotATarget::Running { path, pid });
        }
        // A standby says so itself, be it by a file or by the state of its last stop. A marker beside a
        // pg_control says nothing: between the two a copy was whole, and may have been promoted since.
        if self.recovery.is_some() || (self.unfinished.is_some() && self.control.is_none()) {
            return Ok(());
        }
        match &self.control {
            Some(Identity { control: Some(control), .. }) if is_standby(control.state) => Ok(()),
            Some(control) => {
                let system_identifier = control.system_identifier;
                Err(NotATarget::Primary { path, system_identifier })
            }
            None if self.cluster => {
                Err(NotATarget::Remains { path, found: listed(&self.strangers) })
            }
            None => Ok(()),
        }
    }

    /// Whether a base copy of this cluster may overwrite it; `own_archive` is its archive's name where
    /// that lies in it.
    pub fn may_be_overwritten(
        &self,
        system_identifier: u64,
        own_archive: Option<&str>,
    ) -> Result<(), NotATarget> {
        self.may_become_standby()?;
        let path = self.path.clone();
        if self.recovery.is_none() {
            return Err(NotATarget::NotPrepared(path));
        }
        if self.triggered {
            return Err(NotATarget::Triggered(path));
        }
        match self.system_identifier() {
            Some(theirs) if theirs != system_identifier => {
                Err(NotATarget::AnotherCluster { path, theirs, ours: system_identifier })
            }
            Some(_) => Ok(()),
            None => {
                // What an earlier life left is neither copied nor deleted.
                let stays = |n: &str| LEFT_OVER.contains(&n) || Some(n) == own_archive;
                let strange = self.strangers.iter().filter(|n| !stays(n));
                let strange: Vec<String> = strange.cloned().collect();
                if strange.is_empty() {
                    Ok(())
                } else {
                    Err(NotATarget::Strangers { path, found: listed(&strange) })
                }
            }
        }
    }
}

fn is_standby(state: ClusterState) -> bool {
    matches!(state, ClusterState::InArchiveRecovery | ClusterState::ShutDownInRecovery)
}

fn names(directory: &Path) -> Result<Vec<String>, FileError> {
    let entries =
        fs::read_dir(directory).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(FileError::of("list", directory))?;
    let mut names: Vec<String> =
        entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Some names, for a message of one line.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_directory::COPY_MARKER;

    fn with(files: &[&str]) -> (tempfile::TempDir, DirectoryContents) {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|name| fs::write(dir.path().join(name), "").unwrap());
        let found = DirectoryContents::read(dir.path()).unwrap();
        (dir, found)
    }

    #[test]
    fn an_empty_directory_may_become_a_standby_but_must_be_prepared_for_a_copy() {
        let (_dir, empty) = with(&[]);
        empty.may_become_standby().unwrap();
        assert!(matches!(empty.may_be_overwritten(1, None), Err(NotATarget::NotPrepared(_))));
        for signal in ["standby.signal", "recovery.signal"] {
            let (_dir, prepared) = with(&[signal, "postgresql.auto.conf", "pg_wal"]);
            prepared.may_be_overwritten(1, None).unwrap();
        }
    }

    #[test]
    fn somebodys_home_is_not_made_a_standby_and_what_an_earlier_life_left_is_no_hindrance() {
        let (_dir, home) = with(&[".ssh", "2warm"]);
        let error = home.may_be_prepared(None).unwrap_err().to_string();
        assert!(error.contains("2warm") && error.contains("PGDATA"), "{error}");
        let (_dir, left) = with(&["trigger", "pg_wal", "shipped", "startup.log", "logfile"]);
        left.may_be_prepared(Some("shipped")).unwrap();
        assert!(left.may_be_prepared(None).is_err());
    }

    #[test]
    fn remains_and_strangers_are_named() {
        let (_dir, remains) = with(&["PG_VERSION", "thesis.tex"]);
        let error = remains.may_become_standby().unwrap_err().to_string();
        assert!(error.contains("PG_VERSION, thesis.tex"), "{error}");
        let (_dir, strange) = with(&["recovery.signal", "thesis.tex", "wal-here"]);
        let error = strange.may_be_overwritten(1, Some("wal-here")).unwrap_err().to_string();
        assert!(error.contains("(thesis.tex)"), "{error}");
        let (_dir, left) = with(&["recovery.signal", "postmaster.opts", "recovery.done"]);
        left.may_be_overwritten(1, None).unwrap();
    }

    #[test]
    fn an_unfinished_copy_may_be_continued_only_by_its_own_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("recovery.signal", "");
        write(COPY_MARKER, "77\n");
        write("base", "");
        let found = DirectoryContents::read(dir.path()).unwrap();
        found.may_be_overwritten(77, None).unwrap();
        let other = found.may_be_overwritten(78, None);
        assert!(matches!(other, Err(NotATarget::AnotherCluster { theirs: 77, ours: 78, .. })));
        write("trigger", "");
        let found = DirectoryContents::read(dir.path()).unwrap();
        assert!(matches!(found.may_be_overwritten(77, None), Err(NotATarget::Triggered(_))));
    }
}
