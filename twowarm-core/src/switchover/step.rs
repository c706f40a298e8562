use std::time::Duration;

use crate::receipt::Receipt;
use crate::rsync::RsyncError;
use crate::ship::ShipError;
use crate::wal::{SegmentName, WalFileName};

/// What [`FlushPrimary::run`](super::FlushPrimary::run) does or finds.
#[derive(Debug)]
#[non_exhaustive]
pub enum FlushStep<'a> {
    /// A node that is to hold the receipt has answered.
    Connected {
        /// The node.
        node: &'a str,
    },
    /// The DR node can't be reached, and is left out.
    WithoutDrNode {
        /// The node.
        node: &'a str,
        /// Why.
        error: &'a ShipError,
    },
    /// The server's log files are copied.
    SavingLogs,
    /// They could not be copied.
    LogsNotSaved(RsyncError),
    /// A checkpoint is made, so that the one at the shutdown is short. Sent every 10 seconds.
    Checkpoint,
    /// WAL is still to be archived. Sent at the beginning and every 10 seconds.
    Archiving {
        /// How many files.
        left: usize,
        /// The first one.
        first: WalFileName,
    },
    /// The server lets no new session in.
    Closed,
    /// Sessions are still connected. Sent at the beginning and every 10 seconds.
    Sessions {
        /// How many.
        count: usize,
    },
    /// They were terminated.
    Terminated {
        /// How many.
        count: usize,
    },
    /// All WAL so far is archived.
    Archived,
    /// The server is shutting down. Sent at the beginning and every 10 seconds.
    Stopping,
    /// The server does not stop, and is stopped without a checkpoint.
    Forced,
    /// The server was shut down after this time.
    Stopped(Duration),
    /// No server is running, and the cluster was shut down before.
    AlreadyStopped,
    /// Where its WAL ends.
    End(&'a Receipt),
    /// A file was sent that the server had not archived.
    Shipped {
        /// The node.
        node: &'a str,
        /// The file.
        file: WalFileName,
    },
    /// The node holds all WAL up to the end, and the receipt, on disk.
    Proved {
        /// The node.
        node: &'a str,
    },
    /// The node holds the receipt, but a segment before it is missing there. The standby has it.
    Incomplete {
        /// The node.
        node: &'a str,
        /// The first missing segment.
        missing: SegmentName,
    },
}
