use std::io;
use std::path::Path;
use std::time::Duration;

use super::{Changes, CopyError, CopyLosses};
use crate::base_copy::{Tablespace, Target};
use crate::limits::{Every, with_ticks};
use crate::version::PgMajor;
use crate::wal::SegmentName;

/// How often a wait is reported.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(10);

/// How often the other node is told that the copy continues, if it is time to.
const TICK: Duration = Duration::from_secs(1);

/// What a base copy reports to its caller and asks it.
pub struct Callbacks<'a> {
    /// Is called with each step.
    pub progress: &'a mut dyn FnMut(Progress<'_>),
    /// Whether the other node may lose these files. Is called, on another thread, only if there are any.
    pub agree: &'a mut (dyn FnMut(&CopyLosses) -> bool + Send),
    /// Signals that must not end the process before the online backup is ended.
    pub signals: &'a mut dyn Signals,
}

impl std::fmt::Debug for Callbacks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callbacks").finish_non_exhaustive()
    }
}

/// Signals that would end the process. Before 9.6 an online backup outlives its session, so it must be
/// ended before the process is.
pub trait Signals {
    /// From now on, signals are only noted.
    ///
    /// # Errors
    /// If no signal handler can be installed.
    fn hold(&mut self) -> io::Result<()>;

    /// The name of a signal that was noted.
    fn received(&self) -> Option<&'static str>;

    /// Signals end the process again; one that was noted does so now.
    fn release(&mut self);
}

/// For callers whose process is not ended by signals.
impl Signals for () {
    fn hold(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn received(&self) -> Option<&'static str> {
        None
    }

    fn release(&mut self) {}
}

/// A step of a base copy.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A step takes long. This is reported every 10 s.
    Waiting(Wait),
    /// The other node allows the copy.
    Allowed {
        /// This node's data directory.
        source: &'a Path,
        /// Its version.
        major: PgMajor,
        /// The other node's data directory.
        target: &'a Target,
        /// The tablespaces that are copied.
        tablespaces: &'a [Tablespace],
    },
    /// The other node's configuration file of this name will be overwritten by the primary's.
    ConfigurationOverwritten(&'a str),
    /// postgresql.conf was saved as this file.
    ConfigurationSaved(&'a Path),
    /// Shipping is on.
    Shipping {
        /// The other node's archive directory.
        archive: &'a str,
        /// The position from which on WAL is shipped, as the server wrote it.
        from: &'a str,
    },
    /// A dry run: these files would be lost.
    WouldLose(&'a CopyLosses),
    /// A dry run: this would be changed in a directory.
    WouldCopy(&'a Changes),
    /// The copy ships the WAL that it requires.
    Feeding {
        /// The DR node's archive directory.
        archive: &'a str,
    },
    /// The online backup has begun in this segment.
    BackupBegun(SegmentName),
    /// Files are being copied.
    Copied {
        /// Bytes of the files processed so far, whether they were sent or already present.
        bytes: u64,
        /// Those of files that were new or had changed.
        changed: u64,
        /// The size of all files in bytes, when the copy began.
        expected: u64,
        /// Files still to be checked, among those found so far.
        files_left: Option<u64>,
    },
    /// A line of rsync's output.
    Output(&'a str),
    /// Some files could not be copied, for this reason; they are tried again.
    Retrying(&'a str),
    /// All files are copied.
    FilesCopied {
        /// Their size in bytes.
        bytes: u64,
        /// The size of those that were new or had changed, in bytes.
        changed: u64,
    },
    /// The online backup has ended in this segment.
    BackupEnded(SegmentName),
    /// The copy is on disk. This setting of the other node needs to be changed before a failover.
    Lacks(&'a str),
    /// WAL files that the copy requires have not arrived. This is reported every 10 s.
    WaitingForWal {
        /// How many are missing.
        missing: usize,
        /// The name of the first one.
        first: &'a str,
        /// Why the server does not archive, if archive_command fails.
        failure: Option<&'a ArchiverFailure>,
    },
    /// This many WAL files, all that the copy requires, are in the other node's archive.
    WalArrived(usize),
}

/// What a base copy waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// An answer of the server.
    Answer,
    /// The caller's agreement to the losses.
    Agreement,
    /// rsync's connection to the other node.
    Connection,
    /// The checkpoint at the beginning of the backup.
    Checkpoint {
        /// Whether the server spreads it over checkpoint_completion_target of checkpoint_timeout (8.3).
        spread: bool,
    },
    /// WAL that the copy ships itself.
    Shipping,
    /// The end of the backup.
    BackupEnd {
        /// Whether the server waits until the WAL of the backup is archived (8.4 to 9.6).
        archives: bool,
    },
}

/// The last failure of archive_command, from pg_stat_archiver (9.4 and later).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiverFailure {
    /// The WAL file that could not be archived.
    pub file: String,
    /// When, as the server wrote it.
    pub time: String,
    /// How often archive_command has failed since the statistics were reset.
    pub count: String,
}

/// Does the work on another thread. Reports the wait every [`HEARTBEAT`]; `tick` is called once per second,
/// and its error ends the wait as soon as the work is done.
pub(super) fn wait<T: Send>(
    wait: Wait,
    progress: &mut dyn FnMut(Progress<'_>),
    tick: &mut dyn FnMut() -> Result<(), CopyError>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, CopyError> {
    let mut heartbeat = Every::new(HEARTBEAT);
    let mut tick = || {
        tick()?;
        if heartbeat.is_due() {
            progress(Progress::Waiting(wait));
        }
        Ok(())
    };
    with_ticks(TICK, &mut tick, work)
}
