//! The values that a switchover of this node takes: flushing its primary, and rejoining.

use std::time::Duration;

use super::copy_values::wal_time_limit;
use super::{Install, InstallError, Verify};
use crate::identifiers::NodeName;
use crate::rsync::Remote;
use crate::ship::{FarCommand, Shipper};
use crate::standby::Rejoin;
use crate::switchover::{
    Destination, FarPromotion, FlushPrimary, SaveLogs, StartServer, Switchover, UndoFlush,
};

/// How long sessions may take to end.
const WAIT: Duration = Duration::from_secs(30);

impl Install {
    /// What makes this node, an old primary, a standby of the new one.
    ///
    /// # Errors
    /// If no data directory or archive is known.
    pub fn rejoin(&self) -> Result<Rejoin, InstallError> {
        Ok(Rejoin {
            data_directory: self.require_pgdata()?.to_owned(),
            archive: self.require_archive()?.to_owned(),
            local_replication: self.local_replication(),
            recovery: self.recovery_source(),
            remove: vec![self.trigger_file()?, self.archiving_active_file()],
            program: self.server_program(),
            login: self.login(),
            others: self.archives_of(self.other_node.iter().chain(&self.dr_node)),
        })
    }

    /// What stops this node's primary for a switchover, with the default time for sessions to end.
    ///
    /// # Errors
    /// If the other node or the data directory is not known, the node's id can't be read or created, or the PGROOT of
    /// another node is invalid.
    pub fn flush_primary(&self) -> Result<FlushPrimary, InstallError> {
        let standby = self.require_other_node()?;
        let save_logs = self.settings.server.save_logs.clone();
        Ok(FlushPrimary {
            node: self.local_node()?,
            local_replication: self.local_replication(),
            login: self.login(),
            archiving_active: self.archiving_active_file(),
            destinations: self.destinations()?,
            wait: WAIT,
            force: false,
            without_dr: false,
            archive_limit: wal_time_limit(self.settings.time_limit),
            stop_limit: self.settings.server.stop_limit,
            save_logs: save_logs
                .map(|directory| SaveLogs { remote: Remote::new(self.reach(standby)), directory }),
        })
    }

    /// What ends a flush of this node's primary, so that it can continue.
    ///
    /// # Errors
    /// As [`flush_primary`](Install::flush_primary).
    pub fn undo_flush(&self) -> Result<UndoFlush, InstallError> {
        Ok(UndoFlush {
            node: self.local_node()?,
            archive: self.require_archive()?.to_owned(),
            local_replication: self.local_replication(),
            destinations: self.destinations()?,
            force: false,
        })
    }

    /// What makes the other node the primary, and this node its standby.
    ///
    /// # Errors
    /// As [`flush_primary`](Install::flush_primary), or if the archive of this node is not known.
    pub fn switchover(&self) -> Result<Switchover, InstallError> {
        let standby = self.require_other_node()?;
        Ok(Switchover {
            flush: self.flush_primary()?,
            promotion: FarPromotion::new(&self.reach(standby))?,
            undo: self.undo_flush()?,
            rejoin: self.rejoin()?,
            start: self.start_server(),
        })
    }

    /// What starts the server of this node.
    #[must_use]
    pub fn start_server(&self) -> StartServer {
        StartServer { command: self.settings.server.start_command.clone() }
    }

    /// The standby, and the DR node.
    fn destinations(&self) -> Result<Vec<Destination>, InstallError> {
        let standby = self.require_other_node()?;
        let dr_node = self.dr_node.as_ref();
        let destination = |(node, must_be_complete): (&NodeName, bool)| {
            let transport = self.carrier(node, FarCommand::ReceiveWalFile)?;
            let shipper = Shipper {
                ship_damaged: self.settings.archive.ship_damaged,
                verify_records: self.settings.archive.verify == Verify::Records,
                send: self.send_options(node),
                ..Shipper::new(self.local_node()?, transport)
            };
            Ok(Destination { shipper, must_be_complete })
        };
        std::iter::once((standby, true))
            .chain(dr_node.map(|node| (node, false)))
            .map(destination)
            .collect()
    }
}
