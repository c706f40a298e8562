//! One call of archive_command: to the standby, or while that is down to the DR node.

mod backlog;
mod error;
mod memory;
mod route;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::{LookAheadProcess, ShipError, ShipProgress, Transport, WalFile};
use crate::retry::Retryable;
use memory::{Memory, seconds};

pub use backlog::Backlog;
pub use error::{ArchiveCallError, Waiting};
pub use route::{Route, ShipperRoute};

/// Archives one WAL file: ships it to the standby, or, while the standby is down, to the DR node, from which the
/// standby fetches it later.
///
/// A standby is down if it can't be reached, hangs, or can't store anything at the moment, as with a full disk. The
/// next calls then go to the DR node at once; the standby is tried again after 1 s, 2 s, 4 s and so on, at most a
/// minute apart, and used again as soon as it answers. A refusal that needs a change of configuration, such as
/// another sender or a conflict, an unknown host key and a refused login are reported, and nothing is relayed.
#[derive(Debug)]
pub struct ArchiveCall<R> {
    /// To the standby.
    pub standby: R,
    /// To the DR node; `None` to fail while the standby is down.
    pub relay: Option<R>,
    /// A file in which the calls remember which nodes are down. An invalid or outdated one costs an attempt.
    pub memory: PathBuf,
    /// The data directory of the server, for the message about what waits to be archived.
    pub data_directory: PathBuf,
}

/// A step of archiving a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveProgress {
    /// A step of shipping to a node.
    Ship {
        /// The node.
        node: String,
        /// The step.
        step: ShipProgress,
    },
    /// The standby is down and the file is on the DR node. Reported once a minute.
    Relayed {
        /// The standby.
        standby: String,
        /// How long it has been down.
        down_for: Duration,
        /// Why it could not be reached.
        reason: String,
        /// The DR node.
        relay: String,
    },
    /// A node that was down has stored the file.
    Back {
        /// The node.
        node: String,
        /// How long it was down.
        down_for: Duration,
    },
}

impl<R: Route> ArchiveCall<R> {
    /// Ships a file. When it succeeds, the file is durable in the archive of the standby or of the DR node.
    ///
    /// # Errors
    /// If the file is damaged or does not match its name, if the standby refuses it, or if no node can be reached.
    pub fn archive(
        &self,
        file: &WalFile,
        progress: &mut dyn FnMut(ArchiveProgress),
    ) -> Result<(), ArchiveCallError> {
        let mut memory = Memory::read(&self.memory, now());
        let before = memory.clone();
        let result = self.attempt(file, &mut memory, progress);
        if memory != before {
            memory.write(&self.memory);
        }
        result
    }

    fn attempt(
        &self,
        file: &WalFile,
        memory: &mut Memory,
        progress: &mut dyn FnMut(ArchiveProgress),
    ) -> Result<(), ArchiveCallError> {
        let mut errors: Vec<ShipError> = Vec::new();
        let routes = self.routes(memory);
        for (at, route) in routes.iter().copied().enumerate() {
            let is_standby = std::ptr::eq(route, &self.standby);
            let node = route.node().to_owned();
            let known = memory.down_since(&node);
            let is_brief = known.is_some() && at + 1 < routes.len();
            let mut step = |step| progress(ArchiveProgress::Ship { node: node.clone(), step });
            match route.ship(file, is_brief, &mut step) {
                Ok(()) => {
                    if let Some(since) = known {
                        let down_for = Duration::from_secs(now().saturating_sub(since));
                        progress(ArchiveProgress::Back { node: node.clone(), down_for });
                    }
                    if is_standby {
                        *memory = Memory::default();
                    } else {
                        memory.note_up(&node);
                        self.report_relayed(&node, errors.first(), memory, progress);
                    }
                    return Ok(());
                }
                Err(error) => match Failure::of(&error) {
                    Failure::Down => {
                        memory.note_down(&node, now());
                        errors.push(error);
                    }
                    Failure::OutOfTime => errors.push(error),
                    Failure::Refused => {
                        memory.note_up(&node);
                        if is_standby {
                            return Err(error.into());
                        }
                        errors.push(error);
                    }
                    Failure::Here => return Err(error.into()),
                },
            }
        }
        Err(ArchiveCallError::AllFailed { errors, waiting: self.waiting(memory) })
    }

    /// The routes in the order in which they are tried.
    fn routes(&self, memory: &Memory) -> Vec<&R> {
        let Some(relay) = &self.relay else { return vec![&self.standby] };
        if memory.is_due(self.standby.node(), now()) {
            vec![&self.standby, relay]
        } else {
            vec![relay, &self.standby]
        }
    }

    fn report_relayed(
        &self,
        relay: &str,
        reason: Option<&ShipError>,
        memory: &mut Memory,
        progress: &mut dyn FnMut(ArchiveProgress),
    ) {
        let standby = self.standby.node().to_owned();
        let (Some(reason), Some(since)) = (reason, memory.down_since(&standby)) else { return };
        if memory.report_is_due(now()) {
            progress(ArchiveProgress::Relayed {
                standby,
                down_for: Duration::from_secs(now().saturating_sub(since)),
                reason: reason.to_string(),
                relay: relay.to_owned(),
            });
        }
    }

    /// What waits to be archived, once a minute.
    fn waiting(&self, memory: &mut Memory) -> Option<Waiting> {
        let routes = [Some(&self.standby), self.relay.as_ref()];
        let since =
            routes.into_iter().flatten().filter_map(|route| memory.down_since(route.node()));
        let since = since.max()?;
        memory.report_is_due(now()).then(|| Waiting {
            down_for: Duration::from_secs(now().saturating_sub(since)),
            backlog: Backlog::of(&self.data_directory),
        })
    }
}

impl<T: Transport + Clone + Send + 'static> ArchiveCall<ShipperRoute<T>> {
    /// Ships ahead of the calls, in the process that a call has started for it.
    pub fn ship_ahead(&self, process: LookAheadProcess) {
        let mut routes = [Some(&self.standby), self.relay.as_ref()].into_iter().flatten();
        if let Some(route) = routes.find(|route| route.node() == process.node()) {
            process.run(&route.look_ahead, &route.usual);
        }
    }
}

/// What the failure of one route means for the other.
enum Failure {
    /// The node is down.
    Down,
    /// The server is shutting down and this route's share of the time is used up.
    OutOfTime,
    /// The node refuses the file or this node, or another one answers in its place. Another node must not get the
    /// file instead: it would be hidden that two primaries send, or that histories differ.
    Refused,
    /// The fault is in the file or on this node.
    Here,
}

impl Failure {
    fn of(error: &ShipError) -> Failure {
        match error {
            ShipError::Link(error) if error.is_retryable() => Failure::Down,
            ShipError::Unreachable(_) => Failure::Down,
            ShipError::Link(_) => Failure::Refused,
            ShipError::ShuttingDown { .. } => Failure::OutOfTime,
            _ => Failure::Here,
        }
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    seconds(SystemTime::now())
}
