//! The requests about what another node's archive holds: the receipt of a clean shutdown, and missing segments.

use super::wire::{Features, Message, Stored, WireError};
use super::{LinkError, SendError, Sender};
use crate::receipt::{Receipt, ReceiptId};
use crate::wal::SegmentName;

/// What another node's archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldReceipt {
    /// The receipt there, if there is one.
    pub receipt: Option<Receipt>,
    /// The first segment that is missing there, from the one where replay would start to the last one or to
    /// the receipt.
    pub missing: Option<SegmentName>,
}

impl Sender {
    /// Stores a receipt on the far node, which checks that it has the WAL up to its end in the `.partial` file.
    ///
    /// # Errors
    /// If the far node refuses it or is too old to store it, or the connection fails.
    pub fn deliver_receipt(&mut self, receipt: &Receipt) -> Result<Stored, SendError> {
        self.check_receipts()?;
        self.request(|id| Message::Receipt { id, text: receipt.to_string() })
    }

    /// Removes a receipt and its `.partial` file on the far node, if they are there.
    ///
    /// # Errors
    /// If the far node was promoted, is too old, or can't remove them, or the connection fails.
    pub fn void_receipt(&mut self, id: &ReceiptId) -> Result<(), SendError> {
        self.check_receipts()?;
        self.request(|request| Message::Void { id: request, receipt: id.to_string() }).map(drop)
    }

    /// Asks the far node which receipt it holds, and whether a segment is missing. No other request may be waiting for
    /// an answer.
    ///
    /// # Errors
    /// If the far node can't answer, or the connection fails.
    pub fn held_receipt(&mut self) -> Result<HeldReceipt, SendError> {
        self.check_receipts()?;
        let asked = self.next_id();
        self.link.send(&Message::AskReceipt { id: asked })?;
        let message = self.link.receive_message_within(self.options.storing_limit)?;
        let kind = message.kind();
        let (text, missing) = match message {
            Message::ReceiptHeld { id, text, missing } if id == asked => (text, missing),
            Message::Refused(refusal) => return Err(self.link.refused(refusal).into()),
            _ => return Err(self.link.failed(WireError::Unexpected(kind)).into()),
        };
        let malformed = |problem| WireError::Malformed { kind, problem };
        let receipt = match text.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| self.link.failed(malformed("invalid receipt")))?),
        };
        let missing = match missing.as_str() {
            "" => None,
            name => Some(name.parse().map_err(|_| self.link.failed(malformed("invalid segment")))?),
        };
        Ok(HeldReceipt { receipt, missing })
    }

    /// Asks the far node for the first segment that its archive lacks, from this one on. All before it are durable
    /// there. `None` if it is too old to answer. No other request may be waiting for an answer.
    ///
    /// # Errors
    /// If the far node can't answer, or the connection fails.
    pub(crate) fn first_missing(
        &mut self,
        from: SegmentName,
    ) -> Result<Option<SegmentName>, SendError> {
        if !self.link.welcome().understands.has(Features::MISSING) {
            return Ok(None);
        }
        let asked = self.next_id();
        self.link.send(&Message::AskMissing { id: asked, from: from.to_string() })?;
        let message = self.link.receive_message_within(self.options.storing_limit)?;
        let kind = message.kind();
        let first = match message {
            Message::Missing { id, first } if id == asked => first.parse::<SegmentName>().ok(),
            Message::Refused(refusal) => return Err(self.link.refused(refusal).into()),
            _ => None,
        };
        match first.filter(|first| first.timeline == from.timeline && first.place >= from.place) {
            Some(first) => Ok(Some(first)),
            None => Err(self.link.failed(WireError::Unexpected(kind)).into()),
        }
    }

    fn check_receipts(&self) -> Result<(), LinkError> {
        if self.link.welcome().understands.has(Features::RECEIPTS) {
            return Ok(());
        }
        Err(LinkError::NoReceipts { node: self.link.node().to_owned() })
    }
}
