//! The nodes that are to hold the receipt.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{FlushError, FlushStep};
use crate::archive::has_segment;
use crate::data_directory::{Reached, control_file, major_version};
use crate::receipt::Receipt;
use crate::retry::Retryable;
use crate::ship::carrier::NodeTransport;
use crate::ship::wire::{Purpose, RefusalCode};
use crate::ship::{
    Link, LinkError, SendError, Sender, ShipError, ShipProgress, Shipper, Transport, WalFile,
};
use crate::wal::{Expected, SegmentName, WalFileName};

/// How often a connection is used while it waits: the far end limits the time without data.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// A node that is to hold the receipt and the WAL up to it.
#[derive(Debug)]
pub struct Destination {
    /// How WAL is shipped to it.
    pub shipper: Shipper<NodeTransport>,
    /// Whether it must have every segment before the receipt: the standby that is to take over. The DR node may still
    /// get some from the standby.
    pub must_be_complete: bool,
}

/// A destination with its connection, which is made before the server is stopped.
pub(super) struct Connected<'a> {
    destination: &'a Destination,
    sender: Option<Sender>,
    last_used: Instant,
}

/// The nodes of a flush.
#[derive(Default)]
pub(super) struct Nodes<'a> {
    pub(super) connected: Vec<Connected<'a>>,
    /// The DR node if it was left out, and why.
    pub(super) left_out: Option<(String, ShipError)>,
}

/// This node's WAL directory.
pub(super) struct OwnWal<'a> {
    pub(super) directory: &'a Path,
    pub(super) expected: Expected,
}

impl Destination {
    pub(super) fn node(&self) -> &str {
        self.shipper.transport.node()
    }

    /// Connects, and asks what the node holds: so it is known that it can be asked.
    pub(super) fn connect(&self) -> Result<Sender, ShipError> {
        let asked = self.ask();
        let code = asked.as_ref().err().and_then(ShipError::refusal_code);
        // It may not know yet that this node was promoted, or to which timeline.
        let is_promoted = match code {
            Some(RefusalCode::PROMOTED) => true,
            Some(RefusalCode::ANOTHER_SENDER) => false,
            _ => return asked,
        };
        let Some(history) = self.own_history() else { return asked };
        match self.shipper.ship(&[history], &mut |_| {}) {
            Ok(()) => self.ask(),
            // Another failure does not change what the node has answered.
            Err(error) if is_promoted && !is_not_later(&error) => asked,
            Err(error) => Err(error),
        }
    }

    fn ask(&self) -> Result<Sender, ShipError> {
        let hello = self.shipper.node.hello(Purpose::ShipWal)?;
        let link = Link::open(&self.shipper.transport, hello)?;
        let mut sender = Sender::with_options(link, self.shipper.send.clone());
        sender.held_receipt()?;
        Ok(sender)
    }

    /// The history of this node's timeline, if it was promoted.
    fn own_history(&self) -> Option<WalFile> {
        let pgdata = self.shipper.node.data_directory.as_path();
        let timeline = Reached::of(&control_file(pgdata).ok()??).timeline;
        let wal = pgdata.join(major_version(pgdata).ok()??.wal_directory());
        let name = WalFileName::History(timeline);
        let path = wal.join(name.to_string());
        path.exists().then_some(WalFile { name, path })
    }
}

impl<'a> Connected<'a> {
    /// Connects before anything is changed.
    pub(super) fn open(
        destination: &'a Destination,
        report: &mut dyn FnMut(FlushStep<'_>),
    ) -> Result<Connected<'a>, FlushError> {
        let sender = destination.connect().map_err(|error| {
            match !destination.must_be_complete && error.is_retryable() {
                true => FlushError::DrNode { node: destination.node().to_owned(), error },
                false => FlushError::of(destination, error),
            }
        })?;
        report(FlushStep::Connected { node: destination.node() });
        Ok(Connected { destination, sender: Some(sender), last_used: Instant::now() })
    }

    /// Keeps the connection open. One that fails is made again when it is needed.
    pub(super) fn keep_open(&mut self) {
        if self.last_used.elapsed() < HEARTBEAT {
            return;
        }
        self.last_used = Instant::now();
        if self.sender.as_mut().is_some_and(|sender| sender.send_heartbeat().is_err()) {
            self.sender = None;
        }
    }

    /// Sends what the server has not archived, the last segment and the receipt, and asks what the node holds then.
    pub(super) fn deliver(
        &mut self,
        receipt: &Receipt,
        tail: &Path,
        not_archived: &[WalFile],
        own: &OwnWal<'_>,
        report: &mut dyn FnMut(FlushStep<'_>),
    ) -> Result<(), FlushError> {
        let node = self.destination.node();
        if !not_archived.is_empty() {
            self.destination.shipper.ship(not_archived, &mut |step| {
                if let ShipProgress::Shipped { file, .. } = step {
                    report(FlushStep::Shipped { node, file: file.name });
                }
            })?;
        }
        match self.send(receipt, tail) {
            // The connection may have been lost while the server was stopped.
            Err(ShipError::Link(error)) if !is_refusal(&error) => {
                self.sender = None;
                self.send(receipt, tail)?;
            }
            sent => sent?,
        }
        self.prove(receipt, own, report)
    }

    /// Makes an earlier receipt void.
    pub(super) fn void(&mut self, receipt: &Receipt) -> Result<(), FlushError> {
        let voided = self.sender().and_then(|sender| Ok(void(sender, receipt)?));
        let node = self.destination.node().to_owned();
        voided.map_err(|error| FlushError::NotVoided { node, error })
    }

    fn send(&mut self, receipt: &Receipt, tail: &Path) -> Result<(), ShipError> {
        let sender = self.sender()?;
        sender.send(WalFileName::Partial(receipt.segment), tail)?;
        sender.deliver_receipt(receipt)?;
        Ok(())
    }

    fn sender(&mut self) -> Result<&mut Sender, ShipError> {
        match &mut self.sender {
            Some(sender) => Ok(sender),
            none => Ok(none.insert(self.destination.connect()?)),
        }
    }

    /// Asks the node. Segments that it lacks are sent if this node still has them: they may have gone to the DR node.
    fn prove(
        &mut self,
        receipt: &Receipt,
        own: &OwnWal<'_>,
        report: &mut dyn FnMut(FlushStep<'_>),
    ) -> Result<(), FlushError> {
        let node = self.destination.node();
        let mut sent: Option<SegmentName> = None;
        loop {
            let held = self.sender()?.held_receipt()?;
            if held.receipt.as_ref() != Some(receipt) {
                return Err(FlushError::NotHeld(node.to_owned()));
            }
            let Some(missing) = held.missing else {
                report(FlushStep::Proved { node });
                return Ok(());
            };
            let is_own = has_segment(own.directory, missing, &own.expected);
            if is_own && sent.is_none_or(|sent| sent < missing) {
                let name = WalFileName::Segment(missing);
                let file = WalFile { name, path: own.directory.join(missing.to_string()) };
                self.destination.shipper.ship(&[file], &mut |_| {})?;
                report(FlushStep::Shipped { node, file: name });
                sent = Some(missing);
                continue;
            }
            if self.destination.must_be_complete {
                return Err(FlushError::Missing { node: node.to_owned(), missing });
            }
            report(FlushStep::Incomplete { node, missing });
            return Ok(());
        }
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.leave();
        }
    }
}

/// Makes a receipt of this node void on another node, and any other one that it holds from the same timeline of this node.
pub(super) fn void(sender: &mut Sender, receipt: &Receipt) -> Result<(), SendError> {
    sender.void_receipt(&receipt.id)?;
    match sender.held_receipt()?.receipt {
        Some(other) if (&other.node_id, other.timeline) == (&receipt.node_id, receipt.timeline) => {
            sender.void_receipt(&other.id)
        }
        _ => Ok(()),
    }
}

/// Whether a node refuses a timeline history because it is a primary on an earlier timeline, or on the same one.
fn is_not_later(error: &ShipError) -> bool {
    matches!(error.refusal_code(), Some(RefusalCode::NOT_A_STANDBY | RefusalCode::PAST_FORK))
}

fn is_refusal(error: &LinkError) -> bool {
    matches!(error, LinkError::Refused { .. } | LinkError::NoReceipts { .. })
}
