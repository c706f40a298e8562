//! The values that fetching takes, on the standby and on the node from which it fetches.

use std::error::Error;
use std::sync::Arc;

use super::{Install, InstallError};
use crate::archive::{FetchStep, OtherArchive, ScratchFile, Wanted};
use crate::identifiers::NodeName;
use crate::ship::ssh::SshTransport;
use crate::ship::{FarCommand, Fetcher, Supplier};

impl Install {
    /// The archives of the nodes in `restore_from`, by default that of the DR node. The files of the tree that are
    /// needed to reach a node are read when it is asked.
    #[must_use]
    pub fn other_archives(&self) -> Vec<Arc<dyn OtherArchive>> {
        let nodes = match &self.settings.restore.restore_from {
            Some(nodes) => nodes.as_slice(),
            None => self.dr_node.as_slice(),
        };
        self.archives_of(nodes.iter())
    }

    /// This node as the sender of the WAL files that other nodes fetch.
    ///
    /// # Errors
    /// If no archive is known, the data directory is assumed and missing, or the node's id can't be read or created.
    pub fn supplier(&self) -> Result<Supplier, InstallError> {
        Ok(Supplier {
            archive: self.served_archive()?,
            local_replication: self.local_replication(),
            data_directory: self.pgdata.clone(),
            label: self.label(),
            node_id: self.node_id()?,
        })
    }

    pub(super) fn archives_of<'a>(
        &self,
        nodes: impl Iterator<Item = &'a NodeName>,
    ) -> Vec<Arc<dyn OtherArchive>> {
        let archive = |node: &NodeName| -> Arc<dyn OtherArchive> {
            Arc::new(ArchiveOfNode { install: self.clone(), node: node.clone() })
        };
        nodes.map(archive).collect()
    }
}

#[derive(Debug)]
struct ArchiveOfNode {
    install: Install,
    node: NodeName,
}

impl ArchiveOfNode {
    fn fetcher(&self) -> Result<Fetcher<SshTransport>, Box<dyn Error + Send + Sync>> {
        Ok(Fetcher {
            node: self.install.local_node()?,
            transport: SshTransport::new(&self.install.reach(&self.node), FarCommand::SendWalFile)?,
            archive: self.install.require_archive()?.to_owned(),
            local_replication: self.install.local_replication(),
        })
    }
}

impl OtherArchive for ArchiveOfNode {
    fn node(&self) -> String {
        self.node.to_string()
    }

    fn fetch(
        &self,
        wanted: &[Wanted],
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(self.fetcher()?.fetch(wanted, progress)?)
    }

    fn fetch_to_scratch(
        &self,
        wanted: Wanted,
        scratch: ScratchFile,
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(self.fetcher()?.fetch_to_scratch(wanted, scratch, progress)?)
    }
}
