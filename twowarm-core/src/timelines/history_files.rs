use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::file_error::FileError;
use crate::wal::{BadText, TimelineHistory, TimelineId, WalFileName, check_history};

/// Why timeline history files could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryFileError {
    /// A directory could not be listed, or a file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not the history of its timeline.
    #[error("{}: {error}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: BadText,
    },
}

/// What to do with a file that is not the history of its timeline.
#[derive(Debug, Clone, Copy)]
pub(super) enum Invalid {
    /// Log it at this level and treat it as absent.
    Ignore(log::Level),
    /// Fail.
    Fail,
}

/// The history files in one directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct HistoryFiles<'a> {
    pub(super) directory: &'a Path,
    pub(super) invalid: Invalid,
}

/// How many consecutive timelines may lack a history file before the search ends.
const MISSING: u32 = 32;

impl HistoryFiles<'_> {
    pub(super) fn path(&self, timeline: TimelineId) -> PathBuf {
        self.directory.join(WalFileName::History(timeline).to_string())
    }

    /// The history of this timeline, if there is a file.
    pub(super) fn read(
        &self,
        timeline: TimelineId,
    ) -> Result<Option<TimelineHistory>, HistoryFileError> {
        let path = self.path(timeline);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e)
                if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(FileError::of("read", &path)(e).into()),
        };
        match (check_history(timeline, &text), self.invalid) {
            (Ok(history), _) => Ok(Some(history)),
            (Err(error), Invalid::Fail) => Err(HistoryFileError::Invalid { path, error }),
            (Err(error), Invalid::Ignore(level)) => {
                log::log!(level, "ignored: {}: {error}", path.display());
                Ok(None)
            }
        }
    }

    /// All histories of timelines after this one, in order.
    pub(super) fn listed_after(
        &self,
        timeline: TimelineId,
    ) -> Result<Vec<TimelineHistory>, HistoryFileError> {
        let failed = || FileError::of("list", self.directory);
        let mut histories = Vec::new();
        for entry in fs::read_dir(self.directory).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            // Most files of a large archive are segments; parsing their names would take time.
            let Some(name) = name.to_str().filter(|name| name.ends_with(".history")) else {
                continue;
            };
            if let Ok(WalFileName::History(later)) = name.parse()
                && later > timeline
            {
                histories.extend(self.read(later)?);
            }
        }
        histories.sort_by_key(TimelineHistory::timeline);
        Ok(histories)
    }

    /// The same without a listing, which takes time in a large archive on a network file system.
    ///
    /// A server gives a new timeline the first number after its own that has no history, so that the
    /// numbers follow each other. Since histories can be deleted, some may be missing.
    pub(super) fn probed_after(
        &self,
        timeline: TimelineId,
    ) -> Result<Vec<TimelineHistory>, HistoryFileError> {
        let mut histories = Vec::new();
        let mut missing = 0;
        let later = (1..).map_while(|n| timeline.number().checked_add(n));
        for later in later.map_while(|number| TimelineId::new(number).ok()) {
            match self.read(later)? {
                Some(history) => {
                    histories.push(history);
                    missing = 0;
                }
                None if missing == MISSING => break,
                None => missing += 1,
            }
        }
        Ok(histories)
    }
}
