use super::Supplier;
use crate::archive::{Archive, ArchiveError, check_mark};
use crate::data_directory::identity;
use crate::ship::receiver::{refusal, refusal_of};
use crate::ship::wire::{Hello, Purpose, Refusal, RefusalCode};

impl Supplier {
    /// Opens the archive for this node, if it may fetch here.
    pub(super) fn admit(&self, hello: &Hello) -> Result<Archive, Refusal> {
        if hello.purpose != Purpose::FetchWal {
            let message = "this key is accepted only for sendWALFile: authorized_keys restricts it to that command. HINT: set fetch_key of the node in 2warm/local/2warm.toml to this key, and key and copy_key to others";
            return Err(refusal(RefusalCode::PURPOSE, false, message));
        }
        if hello.node_id == self.node_id {
            let message = format!(
                "{} has the same node_id as this node, {}. HINT: correct restore_from or drnode if they name the node itself; otherwise remove 2warm/local/replication/node_id on the node to which it was copied",
                hello.label, self.label
            );
            return Err(refusal(RefusalCode::SELF, false, message));
        }
        if let Some(directory) = &self.data_directory {
            let cluster = identity(directory);
            let cluster = cluster.map_err(|e| refusal(RefusalCode::CONFIGURATION, true, e))?;
            self.check_cluster(hello, cluster.map(|cluster| cluster.system_identifier))?;
        }
        let archive = self.open().map_err(|e| refusal_of(&e))?;
        let bound = archive.binding().map_err(|e| refusal_of(&e))?;
        self.check_cluster(hello, bound.map(|bound| bound.system_identifier))?;
        Ok(archive)
    }

    fn open(&self) -> Result<Archive, ArchiveError> {
        let archive = Archive::open(&self.archive)?;
        check_mark(&self.archive, &self.local_replication)?;
        Ok(archive)
    }

    fn check_cluster(&self, hello: &Hello, here: Option<u64>) -> Result<(), Refusal> {
        match here {
            Some(here) if here != hello.system_identifier => {
                let message = format!(
                    "{} belongs to another cluster (system identifier {here}, that of {} is {}). HINT: correct restore_from or drnode",
                    self.label, hello.label, hello.system_identifier
                );
                Err(refusal(RefusalCode::ANOTHER_CLUSTER, false, message))
            }
            _ => Ok(()),
        }
    }
}
