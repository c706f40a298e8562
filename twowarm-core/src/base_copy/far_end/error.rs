use crate::base_copy::NonceError;
use crate::data_directory::{InUse, NotATarget, NotTheOwner};
use crate::file_error::FileError;
use crate::node::InstallError;
use crate::server::ServerError;
use crate::ship::wire::{RefusalCode, WireError};
use crate::standby::RecoveryConfigError;
use crate::wal::{BadControlFile, NotAWalFileName};

/// Why the far end ended a copy.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum FarEndError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    InUse(#[from] InUse),
    #[error(transparent)]
    NotATarget(#[from] NotATarget),
    #[error(transparent)]
    Owner(#[from] NotTheOwner),
    #[error(transparent)]
    Recovery(#[from] RecoveryConfigError),
    #[error(transparent)]
    Nonce(#[from] NonceError),
    #[error(transparent)]
    Name(#[from] NotAWalFileName),
    #[error("the pg_control that was sent: {0}")]
    Control(#[from] BadControlFile),
    #[error("{message}")]
    Refused { code: RefusalCode, message: String },
}

impl FarEndError {
    pub(super) fn refusal(code: RefusalCode, message: impl Into<String>) -> FarEndError {
        FarEndError::Refused { code, message: message.into() }
    }

    /// What kind of refusal this is to the near end, and whether trying again may help.
    pub(super) fn code(&self) -> (RefusalCode, bool) {
        match self {
            FarEndError::Wire(_) | FarEndError::Nonce(_) | FarEndError::Name(_) => {
                (RefusalCode::PROTOCOL, false)
            }
            FarEndError::File(_) | FarEndError::Server(_) | FarEndError::InUse(_) => {
                (RefusalCode::CONFIGURATION, true)
            }
            FarEndError::NotATarget(NotATarget::AnotherCluster { .. }) => {
                (RefusalCode::ANOTHER_CLUSTER, false)
            }
            FarEndError::Install(_)
            | FarEndError::NotATarget(_)
            | FarEndError::Owner(_)
            | FarEndError::Recovery(_) => (RefusalCode::CONFIGURATION, false),
            FarEndError::Control(_) => (RefusalCode::DAMAGED, true),
            FarEndError::Refused { code, .. } => (*code, false),
        }
    }
}
