use std::str::FromStr;

use super::{Fields, Payload, WireError};
use crate::identifiers::{MachineId, NodeId, NodeName};
use crate::version::PgMajor;
use crate::wal::{Expected, SegmentLayout, SegmentSize, TimelineId};

/// The sender's identity and the purpose of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The purpose of the connection.
    pub purpose: Purpose,
    /// The cluster's system identifier.
    pub system_identifier: u64,
    /// The cluster's segment size.
    pub segment_size: SegmentSize,
    /// The cluster's major version.
    pub major: PgMajor,
    /// The sending node's id.
    pub node_id: NodeId,
    /// The sending node's name in messages.
    pub label: String,
    /// The sending node's machine; `None` if that has no id, or the sender's version does not send it.
    pub machine: Option<MachineId>,
    /// If the segments are relayed, because their standby is down: the standby, as the sending node calls it.
    pub relay_for: Option<NodeName>,
    /// If another node passes on what the sending node has shipped: that node's own id, by which a node recognizes
    /// that it relays to itself.
    pub relayed_by: Option<NodeId>,
    /// If the first file is a timeline history file: its timeline. Only with it can a node that was promoted connect
    /// to an archive that belongs to another sender.
    pub promoted_to: Option<TimelineId>,
}

/// The purpose of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Adding WAL files to the archive.
    ShipWal,
    /// Making a base copy of the cluster.
    BaseCopy,
    /// Fetching WAL files from the archive.
    FetchWal,
}

impl Hello {
    /// What the segments of its cluster must be.
    pub(crate) fn expected(&self) -> Expected {
        Expected {
            system_identifier: Some(self.system_identifier),
            segment_size: Some(self.segment_size),
            major: Some(self.major),
        }
    }

    /// The layout of its cluster's WAL.
    pub(crate) fn layout(&self) -> SegmentLayout {
        SegmentLayout::new(self.major, self.segment_size)
    }

    pub(super) fn payload(&self) -> Payload {
        let payload = Payload::new()
            .u8(match self.purpose {
                Purpose::ShipWal => 1,
                Purpose::BaseCopy => 2,
                Purpose::FetchWal => 3,
            })
            .u64(self.system_identifier)
            .u64(self.segment_size.bytes())
            .text(&self.major.to_string())
            .text(self.node_id.as_str())
            .text(&self.label);
        let payload = payload.text(self.machine.as_ref().map_or("", MachineId::as_str));
        let relay_for = self.relay_for.as_ref().map(ToString::to_string).unwrap_or_default();
        let relayed_by = self.relayed_by.as_ref().map_or("", NodeId::as_str);
        match self.promoted_to {
            Some(timeline) => {
                payload.text(&relay_for).text(relayed_by).text(&timeline.number().to_string())
            }
            None if !relayed_by.is_empty() => payload.text(&relay_for).text(relayed_by),
            None if !relay_for.is_empty() => payload.text(&relay_for),
            None => payload,
        }
    }

    pub(super) fn parse(fields: &mut Fields) -> Result<Hello, WireError> {
        let purpose = match fields.u8()? {
            1 => Purpose::ShipWal,
            2 => Purpose::BaseCopy,
            3 => Purpose::FetchWal,
            _ => return Err(fields.malformed("unknown purpose")),
        };
        let system_identifier = fields.u64()?;
        let segment_size = SegmentSize::new(fields.u64()?)
            .map_err(|_| fields.malformed("invalid segment size"))?;
        let major =
            fields.text()?.parse().map_err(|_| fields.malformed("invalid PostgreSQL version"))?;
        let node_id = fields.text()?.parse().map_err(|_| fields.malformed("invalid node id"))?;
        let label = fields.text()?;
        let machine = optional(fields, "invalid machine id")?;
        let relay_for = optional(fields, "invalid name of a standby")?;
        let relayed_by = optional(fields, "invalid node id")?;
        let number: Option<u32> = optional(fields, "invalid timeline")?;
        let promoted_to = number.map(TimelineId::new).transpose();
        Ok(Hello {
            purpose,
            system_identifier,
            segment_size,
            major,
            node_id,
            label,
            machine,
            relay_for,
            relayed_by,
            promoted_to: promoted_to.map_err(|_| fields.malformed("invalid timeline"))?,
        })
    }
}

/// A text that may be empty, and that earlier versions of this code do not send.
fn optional<T: FromStr>(
    fields: &mut Fields,
    invalid: &'static str,
) -> Result<Option<T>, WireError> {
    match if fields.is_empty() { String::new() } else { fields.text()? }.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| fields.malformed(invalid)),
    }
}
