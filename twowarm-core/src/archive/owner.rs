use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Archive, ArchiveError};
use crate::durable;
use crate::file_error::FileError;
use crate::identifiers::{MachineId, NodeId};

/// Whose files an archive holds: one cluster's, sent by one node.
///
/// Two primaries that ship into one archive, each with its own segment of the same name, would give
/// the standby a mixture of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The cluster.
    pub system_identifier: u64,
    /// The sending node's [`node_id`](crate::node::Install::node_id).
    pub node_id: NodeId,
    /// What that node calls itself, for messages.
    pub label: String,
    /// The machine that it runs on, where that has an id. A copy of the node's files, on another machine,
    /// has all the rest.
    pub machine: Option<MachineId>,
}

/// Whether the owner of an archive stays on its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machines {
    /// It does: the same node on another machine is a copy of it.
    One,
    /// It is a cluster that fails over on shared disks, and may come from any machine.
    Any,
}

/// The text is no owner file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadOwner(String);

impl fmt::Display for Owner {
    /// Prints the file's text. The machine comes last: earlier versions read no further than the label.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Owner { system_identifier, node_id, label, machine } = self;
        write!(f, "version=1\nsystem_identifier={system_identifier}\nnode_id={node_id}\n")?;
        writeln!(f, "label={}", one_line(label))?;
        machine.as_ref().map_or(Ok(()), |machine| writeln!(f, "machine={machine}"))
    }
}

fn one_line(label: &str) -> String {
    label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl FromStr for Owner {
    type Err = BadOwner;

    fn from_str(text: &str) -> Result<Owner, BadOwner> {
        let mut lines = text.split('\n');
        let mut value = |key: &str| {
            let line = lines.next().unwrap_or_default();
            let value = line.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
            value.ok_or_else(|| BadOwner(format!("\"{}\" is not its {key}", line.escape_debug())))
        };
        match value("version")? {
            "1" => {}
            other => {
                let other = other.escape_debug();
                return Err(BadOwner(format!("its version is {other}, not 1")));
            }
        }
        let identifier = value("system_identifier")?;
        Ok(Owner {
            system_identifier: identifier.parse().map_err(|_| {
                let identifier = identifier.escape_debug();
                BadOwner(format!("\"{identifier}\" is not a system identifier"))
            })?,
            node_id: value("node_id")?.parse().map_err(|e| BadOwner(format!("{e}")))?,
            label: one_line(value("label")?),
            machine: match value("machine") {
                Ok(machine) => Some(machine.parse().map_err(|e| BadOwner(format!("{e}")))?),
                // Written by an earlier version, or for a machine that has no id.
                Err(_) => None,
            },
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
    pub fn admit(&self, sender: &Owner, machines: Machines) -> Result<(), ArchiveError> {
        self.owner()?.map_or(Ok(()), |owner| self.compare(&owner, sender, machines))
    }

    /// Makes it this sender's archive if it is nobody's; refuses if it is another's. An owner whose
    /// machine is not known yet gets the sender's.
    pub fn bind(&self, sender: &Owner, machines: Machines) -> Result<(), ArchiveError> {
        loop {
            let file = self.owner_file();
            let Some(owner) = self.owner()? else {
                let mut aside = self.begin("owner")?;
                aside.write(sender.to_string().as_bytes())?;
                if aside.publish_first(&file)? {
                    return Ok(());
                }
                // Somebody else was first: see who.
                continue;
            };
            self.compare(&owner, sender, machines)?;
            if owner.machine.is_some() || sender.machine.is_none() {
                return Ok(());
            }
            // Of two senders that come at once the second must see the first one's machine.
            let Some(_locked) = durable::lock_named(&file)? else { continue };
            if self.owner()?.as_ref() == Some(&owner) {
                let owner = Owner { machine: sender.machine.clone(), ..owner };
                let mut aside = self.begin("owner")?;
                aside.write(owner.to_string().as_bytes())?;
                return aside.replace(&file);
            }
        }
    }

    /// Makes it nobody's, so that a new sender may come.
    pub fn release(&self) -> Result<(), ArchiveError> {
        Ok(durable::remove(&self.owner_file())?)
    }

    fn compare(
        &self,
        owner: &Owner,
        sender: &Owner,
        machines: Machines,
    ) -> Result<(), ArchiveError> {
        let archive = self.path().to_owned();
        if owner.system_identifier != sender.system_identifier {
            return Err(ArchiveError::AnotherCluster {
                archive,
                owner: owner.system_identifier,
                sender: sender.system_identifier,
            });
        }
        let (owner_label, sender_label) = (owner.label.clone(), sender.label.clone());
        if owner.node_id != sender.node_id {
            // The same node, whose id was removed or overwritten.
            let is_same_machine = owner.machine.is_some() && owner.machine == sender.machine;
            if owner_label == sender_label && is_same_machine {
                let (owner, sender) = (owner.node_id.clone(), sender_label);
                return Err(ArchiveError::AnotherId { archive, owner, sender });
            }
            let (owner, sender) = (owner_label, sender_label);
            return Err(ArchiveError::AnotherSender { archive, owner, sender });
        }
        match (&owner.machine, &sender.machine) {
            (Some(bound), Some(found)) if bound != found && machines == Machines::One => {
                Err(ArchiveError::AnotherMachine {
                    archive,
                    owner: owner_label,
                    bound: bound.clone(),
                    sender: sender_label,
                    found: found.clone(),
                })
            }
            _ => Ok(()),
        }
    }
}
