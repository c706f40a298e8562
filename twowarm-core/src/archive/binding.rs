use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Archive, ArchiveError};
use crate::durable;
use crate::file_error::FileError;
use crate::identifiers::{MachineId, NodeId};
use crate::wal::TimelineId;

/// The cluster and the sending node to which an archive is bound, as in its `.owner` file; also those of a
/// sender that asks to be accepted.
///
/// Two primaries that ship into one archive, each with its own segment of the same name, would give the
/// standby a mixture of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The cluster's system identifier.
    pub system_identifier: u64,
    /// The sending node's id.
    pub node_id: NodeId,
    /// The sending node's name in messages.
    pub label: String,
    /// The sending node's machine, if that has an id. A copy of the node's files on another machine
    /// differs only in this.
    pub machine: Option<MachineId>,
    /// The newest timeline of which the sender has shipped a file; `None` if that is not known. Of a sender: the
    /// timeline of its file.
    pub timeline: Option<TimelineId>,
    /// In an archive that a promoted node has taken over: the label of the sender before it.
    pub former: Option<String>,
}

/// Whether an archive is bound to a machine too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machines {
    /// The sender stays on its machine; the same node on another machine is a copy of it.
    One,
    /// The sender may run on any machine, as a cluster that fails over on shared disks.
    Any,
}

/// The text is not an archive's `.owner` file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadBinding(String);

impl fmt::Display for Binding {
    /// Prints the file's text. Earlier versions read only up to the label, or up to the machine.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Binding { system_identifier, node_id, label, machine, timeline, former } = self;
        write!(f, "version=1\nsystem_identifier={system_identifier}\nnode_id={node_id}\n")?;
        writeln!(f, "label={}", one_line(label))?;
        machine.as_ref().map_or(Ok(()), |machine| writeln!(f, "machine={machine}"))?;
        timeline.map_or(Ok(()), |timeline| writeln!(f, "timeline={}", timeline.number()))?;
        former.as_ref().map_or(Ok(()), |former| writeln!(f, "former={}", one_line(former)))
    }
}

fn one_line(label: &str) -> String {
    label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl FromStr for Binding {
    type Err = BadBinding;

    fn from_str(text: &str) -> Result<Binding, BadBinding> {
        let mut lines = text.split('\n').peekable();
        let mut value = |key: &str| {
            let line = lines.peek().copied().unwrap_or_default();
            let value = line.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
            if value.is_some() {
                lines.next();
            }
            let line = line.escape_debug();
            value.ok_or_else(|| BadBinding(format!("expected {key}=..., found \"{line}\"")))
        };
        match value("version")? {
            "1" => {}
            other => {
                let other = other.escape_debug();
                return Err(BadBinding(format!("unsupported version {other}")));
            }
        }
        let identifier = value("system_identifier")?;
        Ok(Binding {
            system_identifier: identifier.parse().map_err(|_| {
                let identifier = identifier.escape_debug();
                BadBinding(format!("invalid system identifier \"{identifier}\""))
            })?,
            node_id: value("node_id")?.parse().map_err(|e| BadBinding(format!("{e}")))?,
            label: one_line(value("label")?),
            machine: match value("machine") {
                Ok(machine) => Some(machine.parse().map_err(|e| BadBinding(format!("{e}")))?),
                // Written by an earlier version, or for a machine without an id.
                Err(_) => None,
            },
            timeline: match value("timeline") {
                Ok(number) => {
                    let timeline = number.parse().ok().map(TimelineId::new);
                    let number = number.escape_debug();
                    let invalid = || BadBinding(format!("invalid timeline \"{number}\""));
                    Some(timeline.and_then(Result::ok).ok_or_else(invalid)?)
                }
                Err(_) => None,
            },
            former: value("former").ok().map(one_line),
        })
    }
}

impl Archive {
    fn binding_file(&self) -> PathBuf {
        self.path().join(".owner")
    }

    /// The cluster and sender to which the archive is bound, if it is.
    pub(crate) fn binding(&self) -> Result<Option<Binding>, ArchiveError> {
        let path = self.binding_file();
        match fs::read_to_string(&path) {
            Ok(text) => {
                text.parse().map(Some).map_err(|error| ArchiveError::BadBinding { path, error })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.check_readable()?;
                Ok(None)
            }
            Err(e) => Err(FileError::of("read", &path)(e).into()),
        }
    }

    /// Checks that the archive is bound to this sender or not bound at all.
    ///
    /// # Errors
    /// If it is bound to another, or its binding can't be read.
    pub fn check_sender(&self, sender: &Binding, machines: Machines) -> Result<(), ArchiveError> {
        self.binding()?.map_or(Ok(()), |bound| self.compare(&bound, sender, machines))
    }

    /// Binds the archive to this sender, durably, if it is not bound yet. A binding without a machine gets
    /// the sender's, and every binding the sender's timeline if that is newer.
    ///
    /// # Errors
    /// If it is bound to another, or its binding can't be read or written.
    pub fn bind(&self, sender: &Binding, machines: Machines) -> Result<(), ArchiveError> {
        loop {
            let file = self.binding_file();
            let Some(bound) = self.binding()? else {
                let bound = Binding { former: None, ..sender.clone() };
                let mut incoming = self.begin("owner")?;
                incoming.write(bound.to_string().as_bytes())?;
                if incoming.publish_first(&file)? {
                    return Ok(());
                }
                // Another process was first; compare with its sender.
                continue;
            };
            self.compare(&bound, sender, machines)?;
            let new = Binding {
                machine: bound.machine.clone().or_else(|| sender.machine.clone()),
                timeline: bound.timeline.max(sender.timeline),
                ..bound.clone()
            };
            // Of two senders at the same time, the second must see the machine of the first.
            if new == bound || self.rebind(&bound, &new)? {
                return Ok(());
            }
        }
    }

    /// Replaces a binding durably; false if the archive has another one than `bound` by now.
    pub(super) fn rebind(&self, bound: &Binding, new: &Binding) -> Result<bool, ArchiveError> {
        let file = self.binding_file();
        let Some(_locked) = durable::lock_named(&file)? else { return Ok(false) };
        if self.binding()?.as_ref() != Some(bound) {
            return Ok(false);
        }
        let mut incoming = self.begin("owner")?;
        incoming.write(new.to_string().as_bytes())?;
        incoming.replace(&file)?;
        Ok(true)
    }

    /// Removes the binding, so that the next sender is accepted.
    ///
    /// # Errors
    /// If the `.owner` file can't be removed.
    pub fn unbind(&self) -> Result<(), ArchiveError> {
        Ok(durable::remove(&self.binding_file())?)
    }

    /// Removes the binding, so that the next sender is accepted, unless this one has shipped a file of a later timeline than
    /// this: then it is the node that was promoted. Two nodes that were promoted to the same timeline write the same
    /// names, and the archive must get the WAL of only one.
    #[cfg(feature = "server")]
    pub(crate) fn unbind_earlier(&self, timeline: TimelineId) -> Result<(), ArchiveError> {
        let file = self.binding_file();
        loop {
            let Some(bound) = self.binding()? else { return Ok(()) };
            if bound.timeline.is_some_and(|newest| newest > timeline) {
                return Ok(());
            }
            // A sender that takes the archive over replaces the file under the same lock.
            if let Some(_locked) = durable::lock_named(&file)?
                && self.binding()? == Some(bound)
            {
                return self.unbind();
            }
        }
    }

    fn compare(
        &self,
        bound: &Binding,
        sender: &Binding,
        machines: Machines,
    ) -> Result<(), ArchiveError> {
        let archive = self.path().to_owned();
        if bound.system_identifier != sender.system_identifier {
            return Err(ArchiveError::AnotherCluster {
                archive,
                bound: bound.system_identifier,
                sender: sender.system_identifier,
            });
        }
        let sender_label = sender.label.clone();
        if bound.node_id != sender.node_id {
            if let Some(timeline) = bound.timeline.filter(|&newest| newest > TimelineId::FIRST) {
                let bound = bound.label.clone();
                return Err(ArchiveError::Promoted {
                    archive,
                    bound,
                    timeline,
                    sender: sender_label,
                });
            }
            // The same node, whose id was removed or overwritten.
            let is_same_machine = bound.machine.is_some() && bound.machine == sender.machine;
            if bound.label == sender_label && is_same_machine {
                let bound = bound.node_id.clone();
                return Err(ArchiveError::AnotherId { archive, bound, sender: sender_label });
            }
            let bound = bound.label.clone();
            return Err(ArchiveError::AnotherSender { archive, bound, sender: sender_label });
        }
        match (&bound.machine, &sender.machine) {
            (Some(machine), Some(found)) if machine != found && machines == Machines::One => {
                Err(ArchiveError::AnotherMachine {
                    archive,
                    bound: bound.label.clone(),
                    machine: machine.clone(),
                    sender: sender_label,
                    found: found.clone(),
                })
            }
            _ => Ok(()),
        }
    }
}
