//! The receipt of an earlier flush, of which this node has a copy.

use super::destination::{Connected, Nodes};
use super::undo::current;
use super::{FlushError, FlushPrimary};
use crate::receipt::{Receipt, ReceiptFile};

impl FlushPrimary {
    pub(super) fn earlier_receipt(&self) -> Result<Option<Receipt>, FlushError> {
        let file = ReceiptFile::of_node(&self.local_replication);
        current(file.read()?, &self.node.data_directory)
    }

    /// A server that runs after a flush may have written more than its receipt says.
    pub(super) fn void_earlier(&self, nodes: &mut [Connected<'_>]) -> Result<(), FlushError> {
        match self.earlier_receipt()? {
            Some(earlier) => self.void(&earlier, nodes),
            None => Ok(()),
        }
    }

    fn void(&self, receipt: &Receipt, nodes: &mut [Connected<'_>]) -> Result<(), FlushError> {
        nodes.iter_mut().try_for_each(|node| node.void(receipt))?;
        Ok(ReceiptFile::of_node(&self.local_replication).remove()?)
    }

    /// Stores this node's copy of the receipt before any other node has it, so that it can be made void. An earlier
    /// attempt's is used again; another one is void on all nodes first, since only the newest is known to undo.
    pub(super) fn receipt(
        &self,
        new: Receipt,
        nodes: &mut Nodes<'_>,
    ) -> Result<Receipt, FlushError> {
        let file = ReceiptFile::of_node(&self.local_replication);
        match current(file.read()?, &self.node.data_directory)? {
            Some(stored) if stored == (Receipt { id: stored.id.clone(), ..new.clone() }) => {
                return Ok(stored);
            }
            Some(other) => match nodes.left_out.take() {
                Some((node, error)) => return Err(FlushError::EarlierReceipt { node, error }),
                None => self.void(&other, &mut nodes.connected)?,
            },
            None => {}
        }
        file.write(&new)?;
        Ok(new)
    }
}
