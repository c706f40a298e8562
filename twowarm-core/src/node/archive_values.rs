//! The values that archiving, relaying and receiving take, from a node's 2warm tree.

use std::path::PathBuf;
use std::time::Duration;

use super::{Install, InstallError, PgdataSource, Verify, WhenStandbyDown};
use crate::archive::Machines;
use crate::data_directory::Postmaster;
use crate::identifiers::NodeName;
use crate::reach::Reach;
use crate::ship::carrier::NodeTransport;
use crate::ship::{
    ArchiveCall, FarCommand, LocalNode, LookAhead, Receiver, Relay, SendOptions, Shipper,
    ShipperRoute, ShutdownBudget,
};

/// The time limit of an attempt to reach a node that was down at the last one, while the other node can get the file.
const BRIEF: Duration = Duration::from_secs(5);

/// The time in which such an attempt must be on disk there.
const BRIEF_STORING: Duration = Duration::from_secs(15);

impl Install {
    /// A call of archive_command on this node.
    ///
    /// # Errors
    /// If the other node or the data directory is not known, the node's id can't be read or created, or the PGROOT of
    /// another node is invalid.
    pub fn archive_call(&self) -> Result<ArchiveCall<ShipperRoute<NodeTransport>>, InstallError> {
        let standby = self.require_other_node()?;
        let node = self.local_node()?;
        let relay = self.relay_node();
        let budget = |file: &str| {
            let unanswered = self.local_replication().join(file);
            ShutdownBudget::new(Postmaster::of(&node.data_directory), unanswered)
        };
        let to_standby = || match relay {
            Some(_) => budget("unanswered_shutdown").first_of_two(),
            None => budget("unanswered_shutdown"),
        };
        let to_relay = || budget("unanswered_shutdown_relay");
        Ok(ArchiveCall {
            standby: self.route(standby, None, &node, &to_standby)?,
            relay: relay
                .map(|relay| self.route(relay, Some(standby), &node, &to_relay))
                .transpose()?,
            memory: self.unreachable_nodes_file(),
            data_directory: node.data_directory.clone(),
        })
    }

    pub(super) fn unreachable_nodes_file(&self) -> PathBuf {
        self.local_replication().join("unreachable_nodes")
    }

    /// What passes on the WAL of this node's archive to the DR node; `None` if there is no DR node.
    ///
    /// # Errors
    /// If no archive or data directory is known, the node's id can't be read or created, or the PGROOT of the DR node is
    /// invalid.
    pub fn relay_to_dr(&self) -> Result<Option<Relay<NodeTransport>>, InstallError> {
        let Some(to) = &self.dr_node else { return Ok(None) };
        Ok(Some(Relay {
            archive: self.require_archive()?.to_owned(),
            local_replication: self.local_replication(),
            to: to.clone(),
            shipper: self.shipper(to, &self.reach(to), self.local_node()?)?,
        }))
    }

    /// This node as the receiver of WAL files.
    ///
    /// # Errors
    /// If no archive is known, the data directory is assumed and missing, or the node's id can't be read or created.
    pub fn receiver(&self) -> Result<Receiver, InstallError> {
        Ok(Receiver {
            archive: self.served_archive()?,
            local_replication: self.local_replication(),
            data_directory: self.pgdata.clone(),
            label: self.label(),
            node_id: self.node_id()?,
            machines: self.machines(),
            retain: self.settings.archive.retain(),
        })
    }

    /// The archive that this node adds files to or sends files from, for other nodes.
    pub(super) fn served_archive(&self) -> Result<PathBuf, InstallError> {
        let archive = self.require_archive()?.to_owned();
        if self.pgdata_named_by.as_ref().is_some_and(PgdataSource::is_assumed) {
            // Its error names the source of a directory that is missing.
            self.require_pgdata()?;
        }
        Ok(archive)
    }

    /// Whether a sender may come from another machine than before.
    pub(super) fn machines(&self) -> Machines {
        if self.settings.archive.any_machine { Machines::Any } else { Machines::One }
    }

    fn shipper(
        &self,
        to: &NodeName,
        reach: &Reach,
        node: LocalNode,
    ) -> Result<Shipper<NodeTransport>, InstallError> {
        let transport = self.carrier_by(reach, FarCommand::ReceiveWalFile)?;
        Ok(Shipper {
            ship_damaged: self.settings.archive.ship_damaged,
            verify_records: self.settings.archive.verify == Verify::Records,
            send: self.send_options(to),
            ..Shipper::new(node, transport)
        })
    }

    /// The node that gets the WAL while the standby is down.
    fn relay_node(&self) -> Option<&NodeName> {
        let hold = self.settings.archive.when_standby_down == Some(WhenStandbyDown::Hold);
        self.dr_node.as_ref().filter(|_| !hold)
    }

    fn route(
        &self,
        to: &NodeName,
        relay_for: Option<&NodeName>,
        node: &LocalNode,
        budget: &dyn Fn() -> ShutdownBudget,
    ) -> Result<ShipperRoute<NodeTransport>, InstallError> {
        let usual = self.reach(to);
        let brief = Reach { time_limit: usual.time_limit.min(BRIEF), ..usual.clone() };
        let shipper = |reach: &Reach| {
            Ok::<_, InstallError>(Shipper {
                shutdown: Some(budget()),
                relay_for: relay_for.cloned(),
                ..self.shipper(to, reach, node.clone())?
            })
        };
        let look_ahead = LookAhead {
            directory: self.local_replication(),
            files: self.settings.archive.look_ahead,
            limit: self.settings.archive.look_ahead_limit,
            channels: self.section(to).and_then(|own| own.channels),
        };
        let mut brief = shipper(&brief)?;
        if brief.send.storing_limit == SendOptions::STORING_LIMIT {
            brief.send.storing_limit = BRIEF_STORING;
        }
        Ok(ShipperRoute { usual: shipper(&usual)?, brief, look_ahead })
    }
}
