use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Environment, InstallError, PgdataSource, Settings};
use crate::durable;
use crate::file_error::{FileError, if_exists};
use crate::identifiers::{NodeId, NodeName};

/// The 2warm installation of a node: its directories and the content of its files.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Install {
    /// The directory that holds `2warm`.
    pub pgroot: PathBuf,
    /// The data directory, if it is known.
    pub pgdata: Option<PathBuf>,
    /// What sets the data directory.
    pub pgdata_named_by: Option<PgdataSource>,
    /// The archive directory, in which shipped WAL files arrive.
    pub archive: Option<PathBuf>,
    /// The other node of the pair of primary and standby.
    pub other_node: Option<NodeName>,
    /// The disaster-recovery node.
    pub dr_node: Option<NodeName>,
    /// If a DR node is configured that is the other node: what names the two. There is no DR node then.
    pub same_nodes: Option<[PathBuf; 2]>,
    /// `local/environment.sh`.
    pub environment: Environment,
    /// `local/2warm.toml`.
    pub settings: Settings,
}

impl Install {
    /// `2warm/global`, the same on every node.
    #[must_use]
    pub fn global(&self) -> PathBuf {
        self.pgroot.join("2warm/global")
    }

    /// `2warm/local`, different on every node.
    #[must_use]
    pub fn local(&self) -> PathBuf {
        self.pgroot.join("2warm/local")
    }

    /// `2warm/local/replication`.
    #[must_use]
    pub fn local_replication(&self) -> PathBuf {
        self.local().join("replication")
    }

    /// The file `archiving_active`. This node ships its WAL while it exists.
    #[must_use]
    pub fn archiving_active_file(&self) -> PathBuf {
        self.local_replication().join("archiving_active")
    }

    /// Whether this node ships its WAL.
    ///
    /// # Errors
    /// If it can't be determined: the answer is no only if the directory is readable and does not contain the
    /// file. A segment that is not shipped because a disk is not mounted would be lost.
    pub fn archiving_active(&self) -> Result<bool, InstallError> {
        let (file, directory) = (self.archiving_active_file(), self.local_replication());
        match fs::symlink_metadata(&file) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                fs::read_dir(&directory).map_err(FileError::of("read", &directory))?;
                Ok(false)
            }
            Err(e) => Err(FileError::of("look for", &file)(e).into()),
        }
    }

    /// PGDATA.
    ///
    /// # Errors
    /// If it is not known or not a directory.
    pub fn require_pgdata(&self) -> Result<&Path, InstallError> {
        let (Some(pgdata), Some(named_by)) = (&self.pgdata, &self.pgdata_named_by) else {
            return Err(self.no_pgdata());
        };
        match fs::metadata(pgdata) {
            Ok(found) if found.is_dir() => Ok(pgdata),
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(FileError::of("read", pgdata)(e).into())
            }
            _ => Err(InstallError::PgdataNotADirectory {
                path: pgdata.clone(),
                named_by: named_by.clone(),
            }),
        }
    }

    fn no_pgdata(&self) -> InstallError {
        InstallError::NoPgdata {
            file: self.local().join("environment.sh"),
            ignored: self.environment.ignored_lines(),
        }
    }

    /// The path of the archive directory, which may not exist.
    ///
    /// # Errors
    /// If neither an archive directory nor a data directory is set.
    pub fn require_archive(&self) -> Result<&Path, InstallError> {
        self.archive.as_deref().ok_or_else(|| self.no_pgdata())
    }

    /// The other node.
    ///
    /// # Errors
    /// If none is configured.
    pub fn require_other_node(&self) -> Result<&NodeName, InstallError> {
        let missing = || InstallError::NoOtherNode(self.local_replication().join("othernode"));
        self.other_node.as_ref().ok_or_else(missing)
    }

    /// The DR node.
    ///
    /// # Errors
    /// If none is configured.
    pub fn require_dr_node(&self) -> Result<&NodeName, InstallError> {
        let missing = || InstallError::NoDrNode(self.local_replication().join("drnode"));
        self.dr_node.as_ref().ok_or_else(missing)
    }

    /// The trigger file that ends recovery on this node.
    ///
    /// # Errors
    /// If the data directory is not known.
    pub fn trigger_file(&self) -> Result<PathBuf, InstallError> {
        Ok(self.pgdata.as_ref().ok_or_else(|| self.no_pgdata())?.join("trigger"))
    }

    /// A variable from `environment.sh`, else from the environment.
    #[cfg(feature = "server")]
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let outer = || std::env::var(name).ok().filter(|value| !value.is_empty());
        self.environment.get(name).map(str::to_owned).or_else(outer)
    }

    /// The random id by which an archive recognizes this node as the sender; created when it is first used.
    ///
    /// It is stored in `local/replication/node_id`, which distrib2warm never copies: a receiver with the same id
    /// concludes that the node sends to itself.
    ///
    /// # Errors
    /// If the file is invalid, or can't be read or created.
    pub fn node_id(&self) -> Result<NodeId, InstallError> {
        let file = self.local_replication().join("node_id");
        loop {
            match fs::read(&file) {
                Ok(bytes) if !bytes.trim_ascii().is_empty() => {
                    return String::from_utf8_lossy(&bytes)
                        .trim()
                        .parse()
                        .map_err(|error| InstallError::NodeId { path: file, error });
                }
                Ok(_) => durable::write(&file, NodeId::random()?.as_str().as_bytes())?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    match durable::create(&file, NodeId::random()?.as_str().as_bytes()) {
                        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e.into()),
                        // Another process may have created it first: read it.
                        _ => {}
                    }
                }
                Err(e) => return Err(FileError::of("read", &file)(e).into()),
            }
        }
    }

    /// The same, if it was created already.
    ///
    /// # Errors
    /// If the file is invalid or can't be read.
    pub fn existing_node_id(&self) -> Result<Option<NodeId>, InstallError> {
        let path = self.local_replication().join("node_id");
        let text = if_exists(fs::read_to_string(&path)).map_err(FileError::of("read", &path))?;
        match text.as_deref().map(str::trim) {
            None | Some("") => Ok(None),
            Some(id) => id.parse().map(Some).map_err(|error| InstallError::NodeId { path, error }),
        }
    }

    /// What `configSetup` prints: `NAME=value` lines.
    #[must_use]
    pub fn describe(&self) -> String {
        let path =
            |p: &Option<PathBuf>| p.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
        let node = |n: &Option<NodeName>| n.as_ref().map(NodeName::to_string).unwrap_or_default();
        format!(
            "PGROOT={}\nPGDATA={}\nGLOBAL={}/\nLOCAL={}/\nARCHIVE={}\nOTHERNODE={}\nDRNODE={}\n",
            self.pgroot.display(),
            path(&self.pgdata),
            self.global().display(),
            self.local().display(),
            path(&self.archive),
            node(&self.other_node),
            node(&self.dr_node),
        )
    }
}
