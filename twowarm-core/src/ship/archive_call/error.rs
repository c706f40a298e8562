use std::fmt;
use std::time::Duration;

use super::backlog::{Backlog, rounded};
use crate::retry::Retryable;
use crate::ship::ShipError;

/// Why a file was not archived.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveCallError {
    /// The file can't be shipped, or the standby refuses it.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// The standby is down, and so is the DR node if there is one, or that refuses the file.
    #[error("{}{}", list(errors), waiting.as_ref().map(|waiting| format!(" ({waiting})")).unwrap_or_default())]
    AllFailed {
        /// The failure of each node that was tried.
        errors: Vec<ShipError>,
        /// What waits to be archived, once a minute.
        waiting: Option<Waiting>,
    },
}

impl Retryable for ArchiveCallError {
    fn is_retryable(&self) -> bool {
        match self {
            ArchiveCallError::Ship(error) => error.is_retryable(),
            ArchiveCallError::AllFailed { errors, .. } => {
                errors.iter().any(Retryable::is_retryable)
            }
        }
    }
}

fn list(errors: &[ShipError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What waits to be archived while no node can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// For how long no node has been reachable.
    pub down_for: Duration,
    /// The files that wait; `None` if they can't be listed.
    pub backlog: Option<Backlog>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing could be archived for {}", rounded(self.down_for))?;
        self.backlog.as_ref().map_or(Ok(()), |backlog| write!(f, "; {backlog}"))
    }
}
