use std::io;

/// What was read is not the protocol, or could not be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum WireError {
    #[error("the connection ended")]
    Closed,
    #[error("the connection ended in the middle of a message")]
    Cut,
    #[error("{0}")]
    Io(#[source] io::Error),
    #[error(
        "it answered \"{0}\" instead of 2warm's protocol (does a login script there print something?)"
    )]
    NotTheProtocol(String),
    #[error(
        "it speaks version {theirs} of the protocol and this node version {ours}: install the same twowarm on both (distrib2warm)"
    )]
    Version { theirs: u16, ours: u16 },
    #[error("a frame of {0} bytes is longer than the protocol allows")]
    Oversize(u64),
    #[error("a frame's checksum is wrong: the data was damaged on its way")]
    Checksum,
    #[error("a frame of unknown kind {0} came")]
    UnknownKind(u8),
    #[error("a frame of kind {0} came where the protocol has none")]
    Unexpected(u8),
    #[error("in a frame of kind {kind}, {problem}")]
    Malformed { kind: u8, problem: &'static str },
}

impl WireError {
    /// Whether the same again may go well: a broken connection yes, another protocol no.
    pub fn is_retryable(&self) -> bool {
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

/// An end of the stream in the middle of something.
pub(super) fn cut(error: io::Error) -> WireError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => WireError::Cut,
        _ => WireError::Io(error),
    }
}
