use std::error::Error;
use std::fmt;

use super::{ScratchFile, Stored};
use crate::wal::WalFileName;

/// The archive of another node, from which a standby fetches WAL files that its own archive lacks.
pub trait OtherArchive: fmt::Debug + Send + Sync {
    /// The other node's name, for messages.
    fn node(&self) -> String;

    /// Fetches files into this node's own archive, where they are stored as received ones are: checked, complete
    /// and on disk. `progress` is called for each step and ends the connection by returning `false`.
    ///
    /// # Errors
    /// If the other node can't be reached or refuses the connection, or a file can't be stored here. A file
    /// that the other archive does not have, or that is unfit, is a step and not an error.
    fn fetch(
        &self,
        wanted: &[Wanted],
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Fetches one file, without those after it, into a scratch file instead of the own archive: checked as a stored one,
    /// but neither named nor on disk. The step [`FetchStep::Stored`] says that it is complete.
    ///
    /// # Errors
    /// As [`fetch`](OtherArchive::fetch), or if the scratch file can't be written.
    fn fetch_to_scratch(
        &self,
        wanted: Wanted,
        scratch: ScratchFile,
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// A file to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The file.
    pub name: WalFileName,
    /// If it is a segment: how many of the segments after it on its timeline to fetch with it.
    pub following: u32,
    /// If it is a segment: whether it is fetched with damaged records too, as in a failover when no intact copy is
    /// left. The server replays it up to the damage.
    pub even_damaged: bool,
}

/// A step of fetching.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchStep {
    /// Some data has arrived.
    Data,
    /// A file is in this node's archive.
    Stored(WalFileName, Stored),
    /// The other archive has this file, but it can't be written into this node's archive, as on a full disk. An error
    /// follows.
    NotStored(WalFileName),
    /// The other archive does not have this file, nor any wanted one after it.
    Absent(WalFileName),
    /// A file was not stored.
    Unfit {
        /// The file.
        name: WalFileName,
        /// The reason: it is unfit there, was damaged on the way, or belongs to an abandoned timeline.
        why: String,
        /// Whether only its records are damaged.
        damaged: bool,
    },
}
