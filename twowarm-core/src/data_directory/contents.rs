use std::fs;
use std::path::{Path, PathBuf};

use super::{CopyMarker, Identity, IdentityError, has_orphans, identity, running_server};
use crate::file_error::FileError;
use crate::wal::ClusterState;

/// The beginning of the names of all files that twowarm creates in a data directory.
pub const STATE_PREFIX: &str = ".twowarm";

/// The configuration files in a data directory. If a node has its own, they are in its `2warm/local`.
pub const CONFIGURATION: [&str; 3] = ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"];

/// The files that make a server a standby, by version.
const RECOVERY_FILES: [&str; 3] = ["standby.signal", "recovery.signal", "recovery.conf"];

/// The data directory of a cluster has at least one of these.
const CLUSTER_FILES: [&str; 3] = ["PG_VERSION", "base", "global"];

/// What a data directory may contain before its first base copy.
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

/// What an earlier server may have left in a directory that is to become a standby's.
const LEFT_OVER: [&str; 6] =
    ["trigger", "promote", "postmaster.pid", "postmaster.opts", "recovery.done", "logfile"];

/// What a data directory contains, as far as it decides whether the directory may be changed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DirectoryContents {
    path: PathBuf,
    /// The process id of the server that is running there.
    pub running: Option<i32>,
    /// What pg_control says.
    pub control: Option<Identity>,
    /// The file that makes it a standby.
    pub recovery: Option<&'static str>,
    /// The marker of an unfinished base copy.
    pub unfinished: Option<CopyMarker>,
    /// Whether it contains a trigger file, or the file by which pg_ctl promotes.
    pub triggered: bool,
    has_orphans: bool,
    has_cluster_files: bool,
    /// All names that are not those of [`BEFORE_A_COPY`] or ours.
    other_names: Vec<String>,
}

/// Why a directory may not be made a standby's, or may not be overwritten by a base copy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotATarget {
    /// A server is running.
    #[error("a server is running in \"{}\" (process {pid}). HINT: stop it if this is the node that is to become the standby", path.display())]
    Running {
        /// The directory.
        path: PathBuf,
        /// The postmaster's process id.
        pid: i32,
    },
    /// The postmaster was killed, and its other processes have not ended yet.
    #[error("processes of a server that was killed are still running in \"{}\", and may write to it. HINT: wait until they have ended, or terminate them", .0.display())]
    Orphans(PathBuf),
    /// A cluster that was not a standby.
    #[error(
        "\"{}\" looks like a primary's data directory (cluster {system_identifier}, and no standby.signal, recovery.signal or recovery.conf). HINT: if this node is to become the standby, run configStandby --overwrite on it and make a base copy",
        path.display()
    )]
    Primary {
        /// The directory.
        path: PathBuf,
        /// Its cluster.
        system_identifier: u64,
    },
    /// An incomplete cluster.
    #[error(
        "\"{}\" contains parts of a cluster ({found}) but no pg_control. HINT: empty it if they are not needed",
        path.display()
    )]
    Remains {
        /// The directory.
        path: PathBuf,
        /// Some names, for a message.
        found: String,
    },
    /// Files that don't belong to PostgreSQL.
    #[error(
        "\"{}\" is not a data directory: it contains {found}. HINT: correct PGDATA, or empty the directory",
        path.display()
    )]
    NotADataDirectory {
        /// The directory.
        path: PathBuf,
        /// Some names, for a message.
        found: String,
    },
    /// It has no recovery settings.
    #[error("\"{}\" is not prepared for a base copy. HINT: run configStandby there", .0.display())]
    NotPrepared(PathBuf),
    /// A standby of another cluster.
    #[error("\"{}\" contains a standby of another cluster (system identifier {theirs}, not {ours}). HINT: if it is not needed, empty the directory and run configStandby there", path.display())]
    AnotherCluster {
        /// The directory.
        path: PathBuf,
        /// The system identifier of its cluster.
        theirs: u64,
        /// That of the cluster to copy.
        ours: u64,
    },
    /// Files that a base copy would delete although no cluster was there before.
    #[error("\"{}\" contains files that are not part of a standby and would be deleted ({found}). HINT: move them away", path.display())]
    OtherFiles {
        /// The directory.
        path: PathBuf,
        /// Some names, for a message.
        found: String,
    },
    /// It would promote itself.
    #[error("\"{}\" contains a trigger file. HINT: run configStandby there", .0.display())]
    Triggered(PathBuf),
}

impl DirectoryContents {
    /// Reads a directory, which must exist.
    ///
    /// # Errors
    /// If it, or a file that tells its cluster or its server, can't be read.
    pub fn read(path: &Path) -> Result<DirectoryContents, IdentityError> {
        let names = names(path)?;
        let has = |name: &str| names.iter().any(|n| n == name);
        let known = |name: &str| BEFORE_A_COPY.contains(&name) || name.starts_with(STATE_PREFIX);
        Ok(DirectoryContents {
            path: path.to_owned(),
            running: running_server(path)?.map(|server| server.pid),
            has_orphans: has_orphans(path)?,
            control: identity(path)?,
            recovery: RECOVERY_FILES.into_iter().find(|name| has(name)),
            unfinished: CopyMarker::read(path)?,
            triggered: has("trigger") || has("promote"),
            has_cluster_files: CLUSTER_FILES.into_iter().any(has),
            other_names: names.iter().filter(|name| !known(name)).cloned().collect(),
        })
    }

    /// The cluster that it contains, completely or as an unfinished copy.
    #[must_use]
    pub fn system_identifier(&self) -> Option<u64> {
        let unfinished = self.unfinished.as_ref().map(|marker| marker.system_identifier);
        self.control.as_ref().map(|control| control.system_identifier).or(unfinished)
    }

    /// Whether it may be prepared for a base copy. A directory with neither a cluster nor the files that
    /// precede one may be a home directory, if PGDATA is wrong. `own_archive` is the name of the archive in it.
    ///
    /// # Errors
    /// If it may not, and why.
    pub fn may_be_prepared(&self, own_archive: Option<&str>) -> Result<(), NotATarget> {
        self.may_become_standby()?;
        let expected = |name: &String| {
            LEFT_OVER.contains(&name.as_str())
                || own_archive == Some(name.as_str())
                || name.ends_with(".log")
        };
        let unexpected = || self.other_names.iter().filter(|name| !expected(name)).cloned();
        let is_prepared = self.recovery.is_some() || self.unfinished.is_some();
        if is_prepared || self.has_cluster_files || unexpected().next().is_none() {
            return Ok(());
        }
        let found = list(&unexpected().collect::<Vec<_>>());
        Err(NotATarget::NotADataDirectory { path: self.path.clone(), found })
    }

    /// Whether its server was a standby when it last ran, by pg_control.
    #[must_use]
    pub fn ran_as_standby(&self) -> bool {
        let control = self.control.as_ref().and_then(|cluster| cluster.control.as_ref());
        control.is_some_and(|control| is_standby(control.state))
    }

    /// Whether no server runs in it, and nothing of one that was killed.
    pub(crate) fn has_no_server(&self) -> Result<(), NotATarget> {
        let path = self.path.clone();
        match self.running {
            Some(pid) => Err(NotATarget::Running { path, pid }),
            None if self.has_orphans => Err(NotATarget::Orphans(path)),
            None => Ok(()),
        }
    }

    /// Whether it contains nothing that a standby must not replace.
    fn may_become_standby(&self) -> Result<(), NotATarget> {
        self.has_no_server()?;
        let path = self.path.clone();
        // A file, or the state of the last shutdown, identifies a standby. The marker does not if there is a
        // pg_control: the copy was complete by then, and may have been promoted since.
        if self.recovery.is_some() || (self.unfinished.is_some() && self.control.is_none()) {
            return Ok(());
        }
        match &self.control {
            Some(Identity { control: Some(control), .. }) if is_standby(control.state) => Ok(()),
            Some(control) => {
                let system_identifier = control.system_identifier;
                Err(NotATarget::Primary { path, system_identifier })
            }
            None if self.has_cluster_files => {
                Err(NotATarget::Remains { path, found: list(&self.other_names) })
            }
            None => Ok(()),
        }
    }

    /// Whether a base copy of this cluster may overwrite it. `own_archive` is the name of the archive in it.
    ///
    /// # Errors
    /// If it may not, and why.
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
                // What an earlier server left is neither copied nor deleted.
                let is_kept = |name: &str| LEFT_OVER.contains(&name) || Some(name) == own_archive;
                let deleted = self.other_names.iter().filter(|name| !is_kept(name));
                let deleted: Vec<String> = deleted.cloned().collect();
                if deleted.is_empty() {
                    Ok(())
                } else {
                    Err(NotATarget::OtherFiles { path, found: list(&deleted) })
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

/// The first names, for a message of one line.
fn list(names: &[String]) -> String {
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
    fn an_empty_directory_must_be_prepared_for_a_copy() {
        let (_dir, empty) = with(&[]);
        empty.may_become_standby().unwrap();
        assert!(matches!(empty.may_be_overwritten(1, None), Err(NotATarget::NotPrepared(_))));
        for signal in ["standby.signal", "recovery.signal"] {
            let (_dir, prepared) = with(&[signal, "postgresql.auto.conf", "pg_wal"]);
            prepared.may_be_overwritten(1, None).unwrap();
        }
    }

    #[test]
    fn a_home_directory_is_refused_and_leftovers_of_an_earlier_server_are_accepted() {
        let (_dir, home) = with(&[".ssh", "2warm"]);
        let error = home.may_be_prepared(None).unwrap_err().to_string();
        assert!(error.contains("2warm") && error.contains("PGDATA"), "{error}");
        let (_dir, left) = with(&["trigger", "pg_wal", "shipped", "startup.log", "logfile"]);
        left.may_be_prepared(Some("shipped")).unwrap();
        assert!(left.may_be_prepared(None).is_err());
    }

    #[test]
    fn other_files_are_named() {
        let (_dir, remains) = with(&["PG_VERSION", "thesis.tex"]);
        let error = remains.may_become_standby().unwrap_err().to_string();
        assert!(error.contains("PG_VERSION, thesis.tex"), "{error}");
        let (_dir, other) = with(&["recovery.signal", "thesis.tex", "wal-here"]);
        let error = other.may_be_overwritten(1, Some("wal-here")).unwrap_err().to_string();
        assert!(error.contains("(thesis.tex)"), "{error}");
        let (_dir, left) = with(&["recovery.signal", "postmaster.opts", "recovery.done"]);
        left.may_be_overwritten(1, None).unwrap();
    }

    #[test]
    fn an_unfinished_copy_may_only_be_continued_by_the_same_cluster() {
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
