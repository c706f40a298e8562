use std::io;

use crate::retry::Retryable;

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The stream ended between two messages.
    #[error("the connection ended")]
    Closed,
    /// The stream ended within a message.
    #[error("the connection ended in the middle of a message")]
    Cut,
    /// The stream could not be read.
    #[error("{0}")]
    Io(io::Error),
    /// The other side's first bytes are not the greeting.
    #[error(
        "unexpected output \"{0}\" instead of 2warm's protocol. HINT: make sure that login scripts there print nothing"
    )]
    NotTheProtocol(String),
    /// The other side has another version of the protocol.
    #[error(
        "it uses version {theirs} of the protocol, this node version {ours}. HINT: install the same version of twowarm on both nodes (distrib2warm)"
    )]
    Version {
        /// The other side's.
        theirs: u16,
        /// This side's.
        ours: u16,
    },
    /// A frame is longer than the limit.
    #[error("a frame of {0} bytes is longer than the protocol allows")]
    Oversize(u64),
    /// A frame's checksum is wrong.
    #[error("incorrect checksum of a frame: the data was damaged in transit")]
    Checksum,
    /// No message has frames of this kind.
    #[error("unknown kind of frame {0}")]
    UnknownKind(u8),
    /// A message arrived that the protocol does not allow here.
    #[error("unexpected frame of kind {0}")]
    Unexpected(u8),
    /// A field of a message is invalid.
    #[error("malformed frame of kind {kind}: {problem}")]
    Malformed {
        /// The kind of frame.
        kind: u8,
        /// The problem.
        problem: &'static str,
    },
}

impl Retryable for WireError {
    /// True for a broken connection or damaged data.
    fn is_retryable(&self) -> bool {
        match self {
            WireError::Closed | WireError::Cut | WireError::Io(_) | WireError::Checksum => true,
            WireError::NotTheProtocol(_)
            | WireError::Version { .. }
            | WireError::Oversize(_)
            | WireError::UnknownKind(_)
            | WireError::Unexpected(_)
            | WireError::Malformed { .. } => false,
        }
    }
}

/// An error of `read_exact`, which reports the end of the stream as an error too.
pub(super) fn cut(error: io::Error) -> WireError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => WireError::Cut,
        _ => WireError::Io(error),
    }
}
