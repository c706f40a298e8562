//! Timelines of a cluster: which later ones a node knows of, whether they descend from its own, and
//! whether its server can follow them.
//!
//! All of it is read from timeline history files (`TTTTTTTT.history`). They are in two places: in the
//! archive, and in the server's own WAL directory, where the server stores those that it has restored or
//! written. This is the only module that reads them.

mod forks;
mod history_files;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

#[cfg(feature = "ship")]
pub(crate) use forks::can_follow;
pub use forks::{Following, ForkedBefore, NewerTimeline, Superseded};
pub use history_files::HistoryFileError;

use crate::wal::{TimelineHistory, TimelineId};
use history_files::{HistoryFiles, Invalid};

/// The timeline history files of one node.
#[derive(Debug, Clone, Copy)]
pub struct Timelines<'a> {
    archive: &'a Path,
    data_directory: Option<&'a Path>,
}

impl<'a> Timelines<'a> {
    /// Those in an archive directory and, if there is one, in the WAL directory of a data directory.
    #[must_use]
    pub fn new(archive: &'a Path, data_directory: Option<&'a Path>) -> Timelines<'a> {
        Timelines { archive, data_directory }
    }

    /// The history of this timeline, from the archive or else from the server's WAL directory. A file that
    /// is not the history of its timeline is ignored, with a message at debug level: the server's own
    /// request for the file is what waits for a correct one.
    ///
    /// # Errors
    /// If a file exists and cannot be read.
    pub fn history(
        &self,
        timeline: TimelineId,
    ) -> Result<Option<TimelineHistory>, HistoryFileError> {
        let invalid = Invalid::Ignore(log::Level::Debug);
        for directory in std::iter::once(self.archive.to_owned()).chain(self.wal_directories()) {
            let files = HistoryFiles { directory: &directory, invalid };
            if let Some(history) = files.read(timeline)? {
                return Ok(Some(history));
            }
        }
        Ok(None)
    }

    /// The histories of later timelines that descend from this one, as the server finds them: it tries
    /// one number after the other until a history is missing.
    pub fn descendants(
        &self,
        timeline: TimelineId,
    ) -> impl Iterator<Item = Result<TimelineHistory, HistoryFileError>> {
        let later = (timeline.number() + 1..).map_while(|number| TimelineId::new(number).ok());
        later
            .map_while(|later| self.history(later).transpose())
            .filter(move |found| found.as_ref().map_or(true, |h| h.is_ancestor(timeline)))
    }

    /// All histories in the archive of timelines after this one, by a listing of the archive. A file that
    /// is not the history of its timeline is ignored, with an error message: a correct one replaces it when
    /// it arrives.
    pub(crate) fn archived_after(
        &self,
        timeline: TimelineId,
    ) -> Result<Vec<TimelineHistory>, HistoryFileError> {
        self.archived().listed_after(timeline)
    }

    /// The histories in the archive of later timelines that descend from this one, without a listing.
    #[cfg(feature = "ship")]
    pub(crate) fn archived_descendants(
        &self,
        timeline: TimelineId,
    ) -> Result<Vec<TimelineHistory>, HistoryFileError> {
        let later = self.archived().probed_after(timeline)?.into_iter();
        Ok(later.filter(|history| history.is_ancestor(timeline)).collect())
    }

    /// All known histories of later timelines that descend from this one, in the archive without a listing. Some numbers
    /// between them may have no history here.
    #[cfg(feature = "ship")]
    pub(crate) fn known_descendants(
        &self,
        timeline: TimelineId,
    ) -> Result<Vec<TimelineHistory>, HistoryFileError> {
        let mut histories = self.archived_descendants(timeline)?;
        let own = self.in_wal_directory()?.into_iter();
        histories.extend(own.filter(|history| history.is_ancestor(timeline)));
        Ok(histories)
    }

    /// All histories in the archive and in the server's WAL directory. A timeline can be in both.
    #[cfg(feature = "ship")]
    pub(crate) fn all(&self) -> Result<Vec<TimelineHistory>, HistoryFileError> {
        let mut histories = self.archived_after(TimelineId::FIRST)?;
        histories.extend(self.in_wal_directory()?);
        Ok(histories)
    }

    /// All histories in the server's WAL directory.
    #[cfg(any(feature = "ship", feature = "server"))]
    pub(crate) fn in_wal_directory(&self) -> Result<Vec<TimelineHistory>, HistoryFileError> {
        let mut histories = Vec::new();
        for wal in self.wal_directories().filter(|wal| wal.is_dir()) {
            let files = HistoryFiles { directory: &wal, invalid: Invalid::Fail };
            histories.extend(files.listed_after(TimelineId::FIRST)?);
        }
        Ok(histories)
    }

    fn archived(&self) -> HistoryFiles<'a> {
        HistoryFiles { directory: self.archive, invalid: Invalid::Ignore(log::Level::Error) }
    }

    /// The server's WAL directory under both of its names: from 10 on, and before.
    fn wal_directories(&self) -> impl Iterator<Item = PathBuf> + use<'a> {
        let data_directory = self.data_directory;
        let named = move |name| Some(data_directory?.join(name));
        ["pg_wal", "pg_xlog"].into_iter().filter_map(named)
    }
}
