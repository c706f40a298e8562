use crate::base_copy::NonceError;
use crate::data_directory::{IdentityError, InUse, NotATarget, NotTheOwner};
use crate::file_error::FileError;
use crate::ship::wire::{RefusalCode, WireError};
use crate::standby::RecoveryConfigError;
use crate::wal::{BadControlFile, NotAWalFileName};

/// Why the far end ended a copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FarEndError {
    /// The connection failed, or the near end did not follow the protocol.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The data directory's pg_control could not be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Another copy or configStandby uses the data directory.
    #[error(transparent)]
    InUse(#[from] InUse),
    /// The data directory must not be overwritten.
    #[error(transparent)]
    NotATarget(#[from] NotATarget),
    /// The command runs as a user that does not own the data directory.
    #[error(transparent)]
    Owner(#[from] NotTheOwner),
    /// The node's recovery settings can't be used.
    #[error(transparent)]
    Recovery(#[from] RecoveryConfigError),
    /// The near end sent an invalid name of a nonce file.
    #[error(transparent)]
    Nonce(#[from] NonceError),
    /// The near end asked for a file that is neither a segment nor a backup history file.
    #[error(transparent)]
    Name(#[from] NotAWalFileName),
    /// The received pg_control is invalid.
    #[error("received an invalid pg_control: {0}")]
    Control(BadControlFile),
    /// The copy is refused for another reason.
    #[error("{message}")]
    Refused {
        /// The kind of refusal.
        code: RefusalCode,
        /// The reason.
        message: String,
    },
}

impl FarEndError {
    pub(super) fn refusal(code: RefusalCode, message: impl Into<String>) -> FarEndError {
        FarEndError::Refused { code, message: message.into() }
    }

    /// What the near end is told: the kind of refusal, and whether another attempt may succeed.
    pub(super) fn code(&self) -> (RefusalCode, bool) {
        match self {
            FarEndError::Wire(_) | FarEndError::Nonce(_) | FarEndError::Name(_) => {
                (RefusalCode::PROTOCOL, false)
            }
            FarEndError::File(_) | FarEndError::Identity(_) | FarEndError::InUse(_) => {
                (RefusalCode::CONFIGURATION, true)
            }
            FarEndError::NotATarget(NotATarget::AnotherCluster { .. }) => {
                (RefusalCode::ANOTHER_CLUSTER, false)
            }
            FarEndError::NotATarget(_) | FarEndError::Owner(_) | FarEndError::Recovery(_) => {
                (RefusalCode::CONFIGURATION, false)
            }
            FarEndError::Control(_) => (RefusalCode::DAMAGED, true),
            FarEndError::Refused { code, .. } => (*code, false),
        }
    }
}
