use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Archive, ArchiveError};
use crate::durable;
use crate::file_error::FileError;

/// Whose files an archive holds: one cluster's, sent by one node.
///
/// Two primaries that ship into one archive, each with its own segment of the same name, would give
/// the standby a mixture of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The cluster.
    pub system_identifier: u64,
    /// The sending node's [`node_id`](crate::install::Install::node_id).
    pub node_id: String,
    /// What that node calls itself, for messages.
    pub label: String,
}

/// The text is no owner file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadOwner(String);

impl fmt::Display for Owner {
    /// Prints the file's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Owner { system_identifier, node_id, label } = self;
        let label: String = label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(f, "version=1\nsystem_identifier={system_identifier}\nnode_id={node_id}\n")?;
        writeln!(f, "label={label}")
    }
}

impl FromStr for Owner {
    type Err = BadOwner;

    fn from_str(text: &str) -> Result<Owner, BadOwner> {
        let mut lines = text.lines();
        let mut value = |key: &str| {
            let line = lines.next().unwrap_or_default();
            let value = line.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
            value.map(str::to_owned).ok_or_else(|| BadOwner(format!("\"{line}\" is not its {key}")))
        };
        match value("version")?.as_str() {
            "1" => {}
            other => return Err(BadOwner(format!("its version is {other}, not 1"))),
        }
        let identifier = value("system_identifier")?;
        Ok(Owner {
            system_identifier: identifier
                .parse()
                .map_err(|_| BadOwner(format!("\"{identifier}\" is no system identifier")))?,
            node_id: value("node_id")?,
            label: value("label")?,
        })
    }
}

impl Archive {
    fn owner_file(&self) -> PathBuf {
        self.path().join(".owner")
    }

    /// Whose archive it is, if anybody's yet.
    pub fn owner(&self) -> Result<Option<Owner>, ArchiveError> {
        let path = self.owner_file();
        match fs::read_to_string(&path) {
            Ok(text) => {
                text.parse().map(Some).map_err(|error| ArchiveError::BadOwner { path, error })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.check_readable()?;
                Ok(None)
            }
            Err(e) => Err(FileError::of("read", &path)(e).into()),
        }
    }

    /// Refuses a sender whose archive this is not. Nobody's archive refuses nobody.
    pub fn admit(&self, sender: &Owner) -> Result<(), ArchiveError> {
        self.owner()?.map_or(Ok(()), |owner| self.compare(&owner, sender))
    }

    /// Makes it this sender's archive if it is nobody's; refuses if it is another's.
    pub fn bind(&self, sender: &Owner) -> Result<(), ArchiveError> {
        loop {
            if let Some(owner) = self.owner()? {
                return self.compare(&owner, sender);
            }
            let mut file = self.begin("owner")?;
            file.write(sender.to_string().as_bytes())?;
            if file.publish_first(&self.owner_file())? {
                return Ok(());
            }
            // Somebody else was first: see who.
        }
    }

    /// Makes it nobody's, so that a new sender may come.
    pub fn release(&self) -> Result<(), ArchiveError> {
        Ok(durable::remove(&self.owner_file())?)
    }

    fn compare(&self, owner: &Owner, sender: &Owner) -> Result<(), ArchiveError> {
        let archive = self.path().to_owned();
        if owner.system_identifier != sender.system_identifier {
            return Err(ArchiveError::AnotherCluster {
                archive,
                owner: owner.system_identifier,
                sender: sender.system_identifier,
            });
        }
        if owner.node_id != sender.node_id {
            return Err(ArchiveError::AnotherSender {
                archive,
                owner: owner.label.clone(),
                sender: sender.label.clone(),
            });
        }
        Ok(())
    }
}
