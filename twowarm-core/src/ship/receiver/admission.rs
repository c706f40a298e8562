use super::{Receiver, owner, refusal, refusal_of};
use crate::archive::{Archive, ArchiveError, check_mark};
use crate::ship::wire::{Hello, Purpose, Refusal, RefusalCode};

impl Receiver {
    /// Opens the archive to this sender, if it may send here.
    ///
    /// The archive comes last: a node that sends to itself often has none, and needs to hear why that
    /// is not what is wrong.
    pub(super) fn admit(&self, hello: &Hello) -> Result<Archive, Refusal> {
        if hello.purpose != Purpose::ShipWal {
            let message = "the key is pinned to receiveWALFile, which receives WAL files and nothing else. Set copy_key of the node in 2warm/local/2warm.toml to a key that is not";
            return Err(refusal(RefusalCode::PURPOSE, false, message));
        }
        if hello.node_id == self.node_id {
            return Err(refusal(RefusalCode::SELF, false, self.same_id(hello)));
        }
        if let Some(cluster) = self.cluster {
            let other = if cluster.system_identifier != hello.system_identifier {
                Some(("system identifier", cluster.system_identifier, hello.system_identifier))
            } else {
                let ours = cluster.segment_size.filter(|&size| size != hello.segment_size);
                ours.map(|ours| ("segment size", ours.bytes(), hello.segment_size.bytes()))
            };
            if let Some((what, ours, theirs)) = other {
                let message = format!(
                    "the data directory there holds another cluster ({what} {ours}, the sender's {theirs}): make a new base copy with copyToStandby, or correct othernode"
                );
                return Err(refusal(RefusalCode::ANOTHER_CLUSTER, false, message));
            }
        }
        let open = || {
            let archive = Archive::open(&self.archive)?;
            check_mark(&self.archive, &self.local_replication)?;
            archive.admit(&owner(hello), self.machines)?;
            Ok(archive)
        };
        open().map_err(|e: ArchiveError| refusal_of(&e))
    }
    /// The sender has our id: it is us, or the original distrib2warm has brought its id here. The id by
    /// which archives know the sender must stay, so it is ours that goes.
    fn same_id(&self, hello: &Hello) -> String {
        let file = self.local_replication.join("node_id");
        let (sender, here) = (&hello.label, &self.label);
        let remove = format!(
            "remove {} on the node that receives ({here}), and leave it on the sender. Nothing else is to be done",
            file.display()
        );
        if sender == here {
            format!(
                "{sender} is sending to itself: correct othernode if it leads back here. If {sender} is two machines, node_id was copied from one to the other with the 2warm tree: {remove}"
            )
        } else {
            format!(
                "{sender} has the same node_id as the node that receives, {here}: it was copied with the 2warm tree. If {here} is the node to receive, {remove}; if not, correct othernode"
            )
        }
    }
}
