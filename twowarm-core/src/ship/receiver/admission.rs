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
            let message = "this command receives WAL files and nothing else";
            return Err(refusal(RefusalCode::PURPOSE, false, message));
        }
        if hello.node_id == self.node_id {
            let message = format!(
                "{} is sending to itself: either its othernode leads back to it, or local/replication/node_id was copied along with the 2warm tree (then remove that file on one of the two nodes)",
                hello.label
            );
            return Err(refusal(RefusalCode::SELF, false, message));
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
}
