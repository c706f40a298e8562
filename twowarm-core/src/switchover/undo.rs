use std::path::{Path, PathBuf};

use super::destination::void;
use super::{Destination, FlushError};
use crate::data_directory::{
    Reached, Role, check_owner, control_file, lock_directory, role_of, running_server,
};
use crate::receipt::{Receipt, ReceiptFile, ReceiptId};
use crate::server::let_sessions_in;
use crate::ship::{LocalNode, ShipError};
use crate::timelines::Timelines;

/// Ends a flush so that the old primary can continue: its receipt is void everywhere, and sessions are let in.
#[derive(Debug)]
pub struct UndoFlush {
    /// The old primary.
    pub node: LocalNode,
    /// The node's archive, which need not exist. A later timeline in it shows that another node was promoted.
    pub archive: PathBuf,
    /// The node's `local/replication`, with its copy of the receipt.
    pub local_replication: PathBuf,
    /// The standby, and the DR node if there is one.
    pub destinations: Vec<Destination>,
    /// Whether to continue if a node can't be asked whether it was promoted.
    pub force: bool,
}

/// Which nodes are asked to make a receipt void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    All,
    /// Not the DR node, which was left out of the flush.
    Standby {
        /// Whether it may hold the receipt all the same: there was one before the flush.
        had_receipt: bool,
    },
}

/// How a flush was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undone {
    /// Whether there was a receipt, which is void now.
    pub had_receipt: bool,
    /// Whether a node that could not be asked may still hold it. Then this node's copy is kept, so that the next call makes
    /// it void there.
    pub is_left: bool,
    /// Whether the server is running.
    pub is_running: bool,
}

impl UndoFlush {
    /// Makes the receipt void on the other nodes, removes this node's copy, and lets sessions in. The server is not
    /// started.
    ///
    /// # Errors
    /// If the node is a standby, if another node was promoted, as far as this node or the other one knows, and without
    /// [`force`](UndoFlush::force) if one can't be asked. Then the receipt stays, and a server that is stopped must not be
    /// started. Also if another command is using the data directory.
    pub fn run(&self, not_asked: &mut dyn FnMut(&FlushError)) -> Result<Undone, FlushError> {
        self.ask(Asked::All, not_asked)
    }

    pub(super) fn ask(
        &self,
        asked: Asked,
        not_asked: &mut dyn FnMut(&FlushError),
    ) -> Result<Undone, FlushError> {
        let pgdata = self.node.data_directory.as_path();
        if role_of(pgdata)? == Role::Standby {
            // A rejoin that was killed may have left it so.
            let_sessions_in(pgdata, &self.local_replication)?;
            return Err(FlushError::NothingToUndo(pgdata.to_owned()));
        }
        check_owner(pgdata)?;
        let _lock = lock_directory(pgdata)?;
        let is_running = running_server(pgdata)?.is_some();
        let file = ReceiptFile::of_node(&self.local_replication);
        let receipt = current(file.read()?, pgdata)?;
        if let Some(receipt) = &receipt {
            self.check_not_forked(receipt)?;
        }
        let mut is_left = receipt.is_some() && asked == Asked::Standby { had_receipt: true };
        // A server that is stopped must not be started before the other nodes have answered that they were not promoted.
        if receipt.is_some() || !is_running {
            let any = ReceiptId::random()?;
            let is_asked = |node: &&Destination| asked == Asked::All || node.must_be_complete;
            for destination in self.destinations.iter().filter(is_asked) {
                let Err(error) = void_on(destination, receipt.as_ref(), &any) else { continue };
                let node = destination.node().to_owned();
                let error = match FlushError::of(destination, error) {
                    FlushError::Ship(error) => FlushError::NotVoided { node, error },
                    promoted => promoted,
                };
                if error.is_refused() || !self.force {
                    return Err(error);
                }
                not_asked(&error);
                is_left = receipt.is_some();
            }
        }
        if receipt.is_some() && !is_left {
            file.remove()?;
        }
        let_sessions_in(pgdata, &self.local_replication)?;
        Ok(Undone { had_receipt: receipt.is_some(), is_left, is_running })
    }

    /// Two primaries would continue the same WAL.
    fn check_not_forked(&self, receipt: &Receipt) -> Result<(), FlushError> {
        let timelines = Timelines::new(&self.archive, Some(&self.node.data_directory));
        match timelines.known_descendants(receipt.timeline)?.into_iter().next_back() {
            Some(later) => Err(FlushError::Forked {
                timeline: later.timeline(),
                own: receipt.timeline,
                archive: self.archive.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// Makes the receipt void on a node; without one asks it whether it was promoted, by any id.
fn void_on(
    destination: &Destination,
    receipt: Option<&Receipt>,
    any: &ReceiptId,
) -> Result<(), ShipError> {
    let mut sender = destination.connect()?;
    match receipt {
        Some(receipt) => void(&mut sender, receipt)?,
        None => sender.void_receipt(any)?,
    }
    sender.close();
    Ok(())
}

/// The receipt, unless it is that of an earlier switchover: this node has been promoted since, and its receipt is only
/// evidence on the other nodes, which cannot make it void any more.
pub(super) fn current(
    receipt: Option<Receipt>,
    data_directory: &Path,
) -> Result<Option<Receipt>, FlushError> {
    let control = control_file(data_directory)?;
    let timeline = control.map(|control| Reached::of(&control).timeline);
    Ok(receipt.filter(|receipt| timeline.is_none_or(|timeline| timeline <= receipt.timeline)))
}
