//! Passing on the WAL files of an archive to another node: rsyncDR.

mod line;
mod note;
mod work;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::shipper::{Acknowledged, Next, Queue, ShipQueue};
use super::wire::{Stored, Welcome};
use super::{Link, LinkError, SendError, Sender, ShipError, Shipper, Transport, WalFile};
use crate::archive::ArchiveError;
use crate::data_directory::IdentityError;
use crate::file_error::FileError;
use crate::identifiers::NodeName;
use crate::receipt::ReceiptError;
use crate::retry::Retryable;
use crate::timelines::HistoryFileError;
use crate::wal::{SegmentName, WalFileName};
use crate::watch::{Events, Watcher};
use work::{NextFile, Work};

/// The longest time between attempts.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a connection without files is kept.
const IDLE: Duration = Duration::from_secs(30);
/// How often files that arrived without an event are looked for.
const POLL: Duration = Duration::from_secs(1);
/// How long a missing segment may be late: several connections may ship at the same time.
const LATE: u64 = 60;

/// Sends the files of this node's archive that another node, such as the DR node, lacks, in order. The standby does so;
/// a node that was promoted only sends what it had received before.
///
/// How far the other node has got is recorded as a [`Consumer`](crate::archive::Consumer) of the archive, so that nothing
/// is removed from it before. The files are sent in the name of the sender that the archive belongs to.
#[derive(Debug)]
pub struct Relay<T> {
    /// The archive of this node.
    pub archive: PathBuf,
    /// The node's `local/replication`, for the archive's stored mark and for what was relayed.
    pub local_replication: PathBuf,
    /// The other node, by the name of its consumer in the archive.
    pub to: NodeName,
    /// Ships to the other node.
    pub shipper: Shipper<T>,
}

/// A step of relaying.
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayProgress {
    /// A file is durable on the other node.
    Relayed {
        /// The file.
        file: WalFile,
        /// Whether it is new there.
        stored: Stored,
    },
    /// An attempt failed; the next one follows after this time.
    Failed {
        /// The failure.
        error: RelayError,
        /// The time until the next attempt.
        next: Duration,
    },
    /// An attempt succeeded after a failed one.
    Recovered,
}

/// Why files could not be relayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The archive can't be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The cluster of this node is not known.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A timeline history file can't be read.
    #[error(transparent)]
    History(#[from] HistoryFileError),
    /// The receipt of a clean shutdown can't be read.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// A file could not be shipped.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// A segment is missing on both nodes.
    #[error("{missing} is missing in the archive \"{}\" and on {node}, although the later segment {found} is here: nothing after it is relayed. HINT: if the primary still has {missing} in pg_wal, copy it into the archive; else {node} needs a new base copy (copyToDR)", archive.display())]
    Gap {
        /// The archive.
        archive: PathBuf,
        /// The other node.
        node: String,
        /// The segment.
        missing: SegmentName,
        /// A later one.
        found: String,
    },
}

impl From<LinkError> for RelayError {
    fn from(error: LinkError) -> RelayError {
        RelayError::Ship(error.into())
    }
}

impl From<SendError> for RelayError {
    fn from(error: SendError) -> RelayError {
        RelayError::Ship(error.into())
    }
}

impl Retryable for RelayError {
    fn is_retryable(&self) -> bool {
        match self {
            RelayError::Archive(error) => error.is_retryable(),
            RelayError::Ship(error) => error.is_retryable(),
            RelayError::File(_) => true,
            _ => false,
        }
    }
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Everything that is here now has been sent.
    Sent,
    /// The process is ended.
    Ended,
}

impl<T: Transport + Clone> Relay<T> {
    /// Sends what the other node lacks. Does nothing if another process relays at the moment.
    ///
    /// # Errors
    /// At the first file that can't be sent. What was acknowledged before is recorded.
    pub fn run(&self, progress: &mut dyn FnMut(RelayProgress)) -> Result<(), RelayError> {
        match self.lock()? {
            Some(_locked) => self.relay(Until::Sent, progress).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Sends what the other node lacks, and then each file when it arrives, until the process is ended. Failures are
    /// reported, and it is tried again after 1 s, 2 s, 4 s and so on, at most a minute apart. Returns if another process
    /// relays at the moment.
    ///
    /// # Errors
    /// If the lock can't be taken.
    pub fn follow(&self, progress: &mut dyn FnMut(RelayProgress)) -> Result<(), RelayError> {
        let Some(_locked) = self.lock()? else { return Ok(()) };
        let mut pause = Duration::ZERO;
        loop {
            match self.relay(Until::Ended, progress) {
                Ok(has_work) => {
                    if !pause.is_zero() {
                        progress(RelayProgress::Recovered);
                    }
                    pause = Duration::ZERO;
                    if !has_work {
                        thread::sleep(POLL);
                    }
                }
                Err(error) => {
                    pause = (pause * 2).clamp(POLL, LONGEST);
                    progress(RelayProgress::Failed { error, next: pause });
                    thread::sleep(pause);
                }
            }
        }
    }

    /// `None` if another process has the lock.
    fn lock(&self) -> Result<Option<Flock<std::fs::File>>, RelayError> {
        let path = self.lock_file()?;
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(FileError::of("open", &path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => Ok(Some(locked)),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, e)) => Err(FileError::of("lock", &path)(e).into()),
        }
    }

    /// False if this node has nothing to relay at all.
    fn relay(
        &self,
        until: Until,
        progress: &mut dyn FnMut(RelayProgress),
    ) -> Result<bool, RelayError> {
        loop {
            let Some(mut work) = Work::look(self)? else { return Ok(false) };
            self.void_receipt(&mut work)?;
            let shipper = Shipper {
                origin: work.origin.clone(),
                ..self.shipper.with_transport(self.shipper.transport.clone())
            };
            let mut queue = Session {
                work: &mut work,
                until,
                progress,
                watch: None,
                idle_since: Instant::now(),
                sent: false,
                after_gap: false,
                archive: &self.archive,
                end: End::Sent,
                failed: None,
            };
            let shipped = shipper.ship_queue(&mut queue);
            let (end, failed) = (queue.end, queue.failed.take());
            work.record()?;
            if let Some(error) = failed {
                return Err(error);
            }
            shipped?;
            self.deliver_receipt(&mut work)?;
            match end {
                End::Again => {}
                End::Sent | End::Stuck if until == Until::Sent => return Ok(true),
                End::Sent => {}
                End::Stuck => thread::sleep(POLL * 5),
            }
        }
    }

    fn connect(&self, work: &Work<'_, T>) -> Result<Sender, RelayError> {
        let origin = work.origin.clone();
        let shipper =
            Shipper { origin, ..self.shipper.with_transport(self.shipper.transport.clone()) };
        let link = Link::open(&self.shipper.transport, shipper.hello()?)?;
        Ok(Sender::with_options(link, self.shipper.send.clone()))
    }

    /// The old primary has been opened again after a clean shutdown.
    fn void_receipt(&self, work: &mut Work<'_, T>) -> Result<(), RelayError> {
        let Some(relayed) = work.note.receipt.clone() else { return Ok(()) };
        let held = work.receipts()?.map(|receipt| receipt.id);
        if work.origin.is_none() || held.as_ref() == Some(&relayed) {
            return Ok(());
        }
        let mut sender = self.connect(work)?;
        match sender.void_receipt(&relayed) {
            Ok(()) => sender.leave(),
            // It was promoted, or its binding has moved: the receipt is evidence there.
            Err(SendError::Link(LinkError::Refused { .. })) => {}
            Err(error) => return Err(error.into()),
        }
        work.note.receipt = None;
        Ok(work.note.write()?)
    }

    fn deliver_receipt(&self, work: &mut Work<'_, T>) -> Result<(), RelayError> {
        let Some(receipt) = work.receipts()? else { return Ok(()) };
        let tail = WalFileName::Partial(receipt.segment);
        if work.origin.is_none()
            || work.note.receipt.as_ref() == Some(&receipt.id)
            || !work.note.has(tail, &work.path(tail))
        {
            return Ok(());
        }
        let mut sender = self.connect(work)?;
        sender.deliver_receipt(&receipt)?;
        sender.leave();
        work.note.receipt = Some(receipt.id);
        Ok(work.note.write()?)
    }
}

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Everything has been sent.
    Sent,
    /// It must be looked again what there is.
    Again,
    /// A segment is missing on both nodes. It may still arrive.
    Stuck,
}

/// The files of one connection.
struct Session<'a, 'b, T> {
    work: &'a mut Work<'b, T>,
    until: Until,
    progress: &'a mut dyn FnMut(RelayProgress),
    /// The watcher for the files that come after this segment.
    watch: Option<(SegmentName, Watcher)>,
    idle_since: Instant,
    /// Whether a file has been sent over this connection.
    sent: bool,
    /// Whether segments before the first file are missing.
    after_gap: bool,
    archive: &'a Path,
    end: End,
    failed: Option<RelayError>,
}

impl<T: Transport> Session<'_, '_, T> {
    fn file(&mut self, file: WalFile) -> Next {
        self.sent = true;
        self.idle_since = Instant::now();
        Next::File(file)
    }

    fn ends(&mut self, end: End) -> Next {
        self.end = end;
        Next::End
    }

    /// Watches for the next files; false if they have been watched for since the last look.
    fn arm(&mut self) -> bool {
        let position = self.work.position();
        if self.watch.as_ref().is_some_and(|(watched, _)| *watched == position) {
            return false;
        }
        let awaited = self.work.awaited();
        let mut watcher = Watcher::new(awaited.iter().map(PathBuf::as_path), Events::Wanted);
        watcher.arm();
        self.watch = Some((position, watcher));
        true
    }
}

impl<T: Transport> Queue for Session<'_, '_, T> {
    fn next(&mut self, wait: bool) -> Next {
        if self.failed.is_some() || self.end == End::Stuck {
            return Next::End;
        }
        match self.work.next() {
            NextFile::File(file) => return self.file(file),
            // The other node is asked about the gap before the first file of a connection.
            NextFile::AfterGap(_) if self.sent && wait => return self.ends(End::Again),
            NextFile::AfterGap(_) if self.sent => return Next::Nothing,
            NextFile::AfterGap(file) => {
                self.after_gap = true;
                return self.file(file);
            }
            NextFile::Nothing => {}
        }
        if self.until == Until::Sent {
            return Next::End;
        }
        // Otherwise a file that has arrived since the look would be noticed at the next poll.
        if self.arm() || !wait {
            return Next::Nothing;
        }
        if self.work.is_outdated() {
            return self.ends(End::Again);
        }
        if self.sent && self.idle_since.elapsed() >= IDLE {
            return self.ends(End::Again);
        }
        if let Some((_, watcher)) = &mut self.watch {
            watcher.wait(POLL);
        }
        Next::Nothing
    }

    fn connected(&mut self, _: &Welcome) {}

    /// The other node may have more than is recorded: the record is written now and then, and the primary relays to it
    /// while this node is down.
    fn opened(
        &mut self,
        sender: &mut Sender,
        first: WalFile,
    ) -> Result<Option<WalFile>, SendError> {
        let first_unsent = self.work.first_unsent();
        let missing = sender.first_missing(first_unsent)?;
        let is_segment = matches!(first.name, WalFileName::Segment(_));
        match missing {
            Some(missing) if missing.place > first_unsent.place => {
                self.work.skip_to(missing);
                Ok(Some(first).filter(|_| !is_segment))
            }
            _ if self.after_gap => {
                self.end = End::Stuck;
                if self.work.stuck_for() >= LATE {
                    self.failed = Some(RelayError::Gap {
                        archive: self.archive.to_owned(),
                        node: sender.link().node().to_owned(),
                        missing: first_unsent,
                        found: first.name.to_string(),
                    });
                }
                Ok(None)
            }
            _ => Ok(Some(first)),
        }
    }

    fn acknowledged(&mut self, Acknowledged { file, stored, .. }: Acknowledged) {
        if let Err(error) = self.work.acknowledged(&file) {
            self.failed.get_or_insert(error);
        }
        (self.progress)(RelayProgress::Relayed { file, stored });
    }

    fn pause(&mut self, _: &mut Sender) -> Result<(), SendError> {
        if let Err(error) = self.work.record() {
            self.failed.get_or_insert(error);
        }
        Ok(())
    }
}
