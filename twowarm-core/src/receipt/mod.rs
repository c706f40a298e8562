//! The receipt of a clean shutdown: where the WAL of a primary ends after flushPrimary has stopped it.
//!
//! PostgreSQL writes the shutdown checkpoint after its last archived segment, into a segment that it does not archive.
//! flushPrimary ships that segment as `NAME.partial`, with a receipt. A standby that has both has all WAL of
//! the primary, and a server that was shut down at the end of a receipt can follow a timeline that forked there.

mod file;
mod tail;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;

pub use file::{ReceiptError, ReceiptFile};
pub use tail::{NoTail, Tail};
pub use text::{BadReceipt, ReceiptId};

use crate::data_directory::Reached;
use crate::identifiers::NodeId;
use crate::wal::{ClusterState, ControlFile, Lsn, SegmentLayout, SegmentName, TimelineId};

/// Where the WAL of a primary ends, after it was shut down cleanly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The cluster's system identifier.
    pub system_identifier: u64,
    /// The timeline of the primary; that of the segment.
    pub timeline: TimelineId,
    /// The segment that contains the shutdown checkpoint; archives have it as `NAME.partial`.
    pub segment: SegmentName,
    /// The position of the shutdown checkpoint record, as in pg_control.
    pub checkpoint: Lsn,
    /// The end of that record, and of the WAL: where the new primary's timeline must fork.
    pub end: Lsn,
    /// The id of the old primary.
    pub node_id: NodeId,
    /// The name of the old primary in messages.
    pub label: String,
    /// The id of this receipt.
    pub id: ReceiptId,
}

impl Receipt {
    /// The receipt in an archive, if there is one.
    ///
    /// # Errors
    /// If the file or the archive directory can't be read, or the file is not a receipt.
    pub fn in_archive(archive: &Path) -> Result<Option<Receipt>, ReceiptError> {
        ReceiptFile::in_archive(archive).read()
    }

    /// The old primary's own copy of its receipt, if there is one.
    ///
    /// # Errors
    /// If the file or the directory can't be read, or the file is not a receipt.
    pub fn of_node(local_replication: &Path) -> Result<Option<Receipt>, ReceiptError> {
        ReceiptFile::of_node(local_replication).read()
    }

    /// Why the cluster with this pg_control is not in the state in which the shutdown of the receipt left it, if it is not:
    /// for example since its server was started again.
    #[must_use]
    pub fn difference(&self, control: &ControlFile) -> Option<String> {
        let (own, receipt) = (control.system_identifier, self.system_identifier);
        if own != receipt {
            return Some(format!(
                "the cluster's system identifier is {own}, and the receipt is for {receipt}"
            ));
        }
        let (state, shut_down) = (control.state, ClusterState::ShutDown);
        if state != shut_down {
            return Some(format!("its state is \"{state}\", not \"{shut_down}\""));
        }
        let (own, receipt) = (Reached::of(control).timeline, self.timeline);
        if own != receipt || control.timeline != receipt {
            return Some(format!(
                "it is on timeline {own}, and the receipt is for timeline {receipt}"
            ));
        }
        let (own, receipt) = (control.checkpoint, self.checkpoint);
        (own != receipt).then(|| {
            format!(
                "its last checkpoint is at {own}, and the receipt's at {receipt}, so it was started again after that shutdown"
            )
        })
    }

    /// Whether the checkpoint record lies within the segment, in a cluster with this layout.
    #[must_use]
    pub fn is_within_segment(&self, layout: SegmentLayout) -> bool {
        let Ok(start) = layout.start(self.segment.place) else { return false };
        let end = start.0 + layout.size().bytes();
        start <= self.checkpoint && self.checkpoint < self.end && self.end.0 <= end
    }
}
