use std::error::Error;
use std::fs::File;
use std::io::Read;

use nix::fcntl::Flock;

use super::{Receiver, binding, refusal, refusal_of};
use crate::archive::{
    Archive, ArchiveError, Binding, Incoming, NodeCluster, SenderLock, check_mark,
};
use crate::data_directory::{Reached, Role, identity, role_of, running_server};
use crate::receipt::Receipt;
use crate::ship::wire::{Hello, Purpose, Refusal, RefusalCode};
use crate::wal::{SegmentName, WalFileName, check_history};

impl Receiver {
    /// Opens the archive for this sender, if it may send here.
    ///
    /// The archive is checked last: a node that sends to itself often has none, and a missing archive is not
    /// its problem.
    pub(super) fn admit(&self, hello: &Hello) -> Result<Archive, Refusal> {
        if hello.purpose != Purpose::ShipWal {
            let message = match hello.purpose {
                Purpose::FetchWal => {
                    "this key is accepted only for receiveWALFile: authorized_keys restricts it to that command. HINT: set fetch_key of the node in 2warm/local/2warm.toml to a key that is restricted to sendWALFile"
                }
                _ => {
                    "this key is accepted only for receiveWALFile: authorized_keys restricts it to that command. HINT: set copy_key of the node in 2warm/local/2warm.toml to a key without this restriction"
                }
            };
            return Err(refusal(RefusalCode::PURPOSE, false, message));
        }
        if hello.relayed_by.as_ref().unwrap_or(&hello.node_id) == &self.node_id {
            return Err(refusal(RefusalCode::SELF, false, self.same_id(hello)));
        }
        if hello.relayed_by.is_some() && hello.node_id == self.node_id {
            let message = format!(
                "this node, {}, has written the WAL that the standby wants to relay to it: it is the primary, not the DR node. HINT: write the DR node into local/replication/drnode on the standby, or nothing if there is none",
                self.label
            );
            return Err(refusal(RefusalCode::SELF, false, message));
        }
        let cluster = match &self.data_directory {
            Some(directory) => {
                identity(directory).map_err(|e| refusal(RefusalCode::CONFIGURATION, true, e))?
            }
            None => None,
        };
        if let Some(cluster) = cluster {
            let other = if cluster.system_identifier != hello.system_identifier {
                Some(("system identifier", cluster.system_identifier, hello.system_identifier))
            } else {
                let ours = cluster.segment_size.filter(|&size| size != hello.segment_size);
                ours.map(|ours| ("segment size", ours.bytes(), hello.segment_size.bytes()))
            };
            if let Some((what, ours, theirs)) = other {
                let message = format!(
                    "the data directory there contains another cluster ({what} {ours}, the sender's is {theirs}). HINT: make a new base copy with copyToStandby, or correct othernode"
                );
                return Err(refusal(RefusalCode::ANOTHER_CLUSTER, false, message));
            }
        }
        let open = || {
            let archive = Archive::open(&self.archive)?;
            check_mark(&self.archive, &self.local_replication)?;
            match archive.check_sender(&binding(hello), self.machines) {
                // Its history decides when it has arrived.
                Err(
                    ArchiveError::AnotherSender { .. }
                    | ArchiveError::AnotherId { .. }
                    | ArchiveError::Promoted { .. },
                ) if hello.promoted_to.is_some() => {}
                checked => checked?,
            }
            Ok(archive)
        };
        open().map_err(|e: ArchiveError| refusal_of(&e))
    }

    /// Binds the archive to the sender of a file that is to be stored, until the result is dropped. The history of a
    /// node that was promoted moves the binding to that node.
    pub(super) fn bind(
        &self,
        archive: &Archive,
        hello: &Hello,
        name: WalFileName,
        incoming: &mut Incoming,
    ) -> Result<Option<Flock<File>>, Refusal> {
        let failed = |e: ArchiveError| refusal_of(&e);
        let sender = Binding { timeline: Some(name.timeline()), ..binding(hello) };
        let WalFileName::History(timeline) = name else {
            let lock = archive.lock_sender(SenderLock::Store).map_err(failed)?;
            archive.bind(&sender, self.machines).map_err(failed)?;
            return Ok(lock);
        };
        let lock = archive.lock_sender(SenderLock::Change).map_err(failed)?;
        let mut text = Vec::new();
        let file = incoming.reread().map_err(failed)?;
        file.read_to_end(&mut text).map_err(|e| refusal(RefusalCode::ARCHIVE, true, e))?;
        let history = check_history(timeline, &text)
            .map_err(|e| refusal(RefusalCode::UNSOUND, false, format!("{name}: {e}")))?;
        let layout = hello.layout();
        let unknown = |e| refusal(RefusalCode::CONFIGURATION, true, e);
        let directory = self.data_directory.as_deref();
        let cluster = directory.map(identity).transpose().map_err(unknown)?.flatten();
        let node = match (directory, cluster.as_ref().and_then(|found| found.control.as_ref())) {
            (Some(directory), Some(control)) => {
                Some(NodeCluster { control, role: role_of(directory).map_err(unknown)? })
            }
            _ => None,
        };
        archive
            .bind_by_history(&sender, self.machines, &history, layout, directory, node)
            .map_err(failed)?;
        Ok(lock)
    }

    /// Whether this node was promoted to a later timeline than the segment's.
    pub(super) fn is_primary_after(&self, segment: SegmentName) -> Result<bool, Refusal> {
        let unknown = |e| refusal(RefusalCode::CONFIGURATION, true, e);
        let Some(directory) = &self.data_directory else { return Ok(false) };
        let control = identity(directory).map_err(unknown)?.and_then(|found| found.control);
        let is_later =
            control.is_some_and(|control| Reached::of(&control).timeline > segment.timeline);
        Ok(is_later && role_of(directory).map_err(unknown)? == Role::Primary)
    }

    /// Refuses a file that no standby of this node could use, because the node is a primary: one of the timeline that its
    /// own server writes, and one of a later timeline that it cannot follow. The latter is an old primary that flushPrimary
    /// has not stopped, or that was started again afterwards: WAL that it stored would be lost to the nodes that need it.
    pub(super) fn check_role(&self, name: WalFileName, hello: &Hello) -> Result<(), Refusal> {
        let (timeline, sender) = (name.timeline(), &hello.label);
        let unknown = |e| refusal(RefusalCode::CONFIGURATION, true, e);
        let failed = |e: &dyn Error| refusal(RefusalCode::CONFIGURATION, true, e);
        let Some(directory) = &self.data_directory else { return Ok(()) };
        let Some(control) = identity(directory).map_err(unknown)?.and_then(|found| found.control)
        else {
            return Ok(());
        };
        let own = Reached::of(&control).timeline;
        if own > timeline || role_of(directory).map_err(unknown)? != Role::Primary {
            return Ok(());
        }
        if own == timeline {
            // A stopped one may be a copy that is not configured yet.
            if running_server(directory).map_err(|e| failed(&e))?.is_none() {
                return Ok(());
            }
            let message = format!(
                "the server there runs as a primary on timeline {own} too: two primaries write files of the same names, and the other nodes can only follow one of them. HINT: stop the one that is to be given up, and make it a standby of the other: run configStandby --overwrite on it and copyToStandby on the other"
            );
            return Err(refusal(RefusalCode::PAST_FORK, false, message));
        }
        let receipt = Receipt::of_node(&self.local_replication).map_err(|e| failed(&e))?;
        if receipt.is_some_and(|receipt| receipt.difference(&control).is_none()) {
            return Ok(());
        }
        let message = format!(
            "the data directory there is that of a primary on timeline {own}, which cannot follow timeline {timeline}. HINT: make that node a standby: run configStandby --rejoin on it if flushPrimary has stopped it and it was not started again, else configStandby --overwrite on it and copyToStandby on {sender}"
        );
        Err(refusal(RefusalCode::NOT_A_STANDBY, true, message))
    }

    /// The sender has this node's id: it is this node, or the original distrib2warm has copied its id here.
    /// The sender's id must stay, since archives are bound to it.
    fn same_id(&self, hello: &Hello) -> String {
        let file = self.local_replication.join("node_id");
        let (sender, here) = (&hello.label, &self.label);
        let remove = format!(
            "remove \"{}\" on the receiving node ({here}), and keep it on the sender. Nothing else needs to be done",
            file.display()
        );
        if sender == here {
            format!(
                "{sender} is sending to itself. HINT: if othernode refers to the same node, correct it. If two machines have the name {sender}, node_id was copied from one to the other with the 2warm tree: {remove}"
            )
        } else {
            format!(
                "{sender} has the same node_id as the receiving node, {here}: it was copied with the 2warm tree. HINT: if {here} is the right node, {remove}; if not, correct othernode"
            )
        }
    }
}
