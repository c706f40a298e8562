//! Passing on the WAL files of an archive to another node: rsyncDR.

mod line;
mod note;
mod session;
mod work;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use nix::fcntl::Flock;

use super::shipper::ShipQueue;
use super::wire::Stored;
use super::{Link, LinkError, SendError, Sender, ShipError, Shipper, Transport, WalFile};
use crate::archive::ArchiveError;
use crate::data_directory::IdentityError;
use crate::file_error::FileError;
use crate::identifiers::NodeName;
use crate::lock::{open_lock_file, try_lock};
use crate::receipt::ReceiptError;
use crate::retry::Retryable;
use crate::timelines::HistoryFileError;
use crate::wal::{SegmentName, WalFileName};
use session::{End, Session};
use work::Work;

/// The longest time between attempts.
const LONGEST: Duration = Duration::from_secs(60);
/// How often files that arrived without an event are looked for.
const POLL: Duration = Duration::from_secs(1);

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

/// When a call ends.
#[derive(Clone, Copy)]
enum Until<'a> {
    /// When everything that is here now has been sent.
    Sent,
    /// When this is no longer true.
    While(&'a dyn Fn() -> bool),
}

impl<T: Transport + Clone> Relay<T> {
    /// Sends what the other node lacks. Does nothing if another process relays at the moment.
    ///
    /// # Errors
    /// At the first file that can't be sent. What was acknowledged before is recorded.
    pub fn run(&self, progress: &mut dyn FnMut(RelayProgress)) -> Result<(), RelayError> {
        match self.lock()? {
            Some(_locked) => {
                while self.attempt(Until::Sent, &mut None, progress)? == End::Again {}
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Sends what the other node lacks, and then each file when it arrives, while it is wanted. Failures are
    /// reported, and it is tried again after 1 s, 2 s, 4 s and so on, at most a minute apart. Returns if another process
    /// relays at the moment.
    ///
    /// # Errors
    /// If the lock can't be taken.
    pub fn follow(
        &self,
        is_wanted: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(RelayProgress),
    ) -> Result<(), RelayError> {
        let Some(_locked) = self.lock()? else { return Ok(()) };
        let mut failing = None;
        while is_wanted() {
            match self.attempt(Until::While(is_wanted), &mut failing, progress) {
                Ok(End::Sent | End::Again) => {}
                Ok(End::Nothing) => thread::sleep(POLL),
                Ok(End::Stuck) => thread::sleep(POLL * 5),
                Err(error) => {
                    let last = failing.unwrap_or_default();
                    let next = (last * 2).clamp(POLL, LONGEST);
                    failing = Some(next);
                    progress(RelayProgress::Failed { error, next });
                    thread::sleep(next);
                }
            }
        }
        Ok(())
    }

    /// `None` if another process has the lock.
    fn lock(&self) -> Result<Option<Flock<std::fs::File>>, RelayError> {
        let path = self.lock_file()?;
        Ok(try_lock(open_lock_file(&path)?, &path)?)
    }

    /// Relays over one connection. `failing` is the time that was waited after the last failure, until a file is
    /// acknowledged.
    fn attempt(
        &self,
        until: Until<'_>,
        failing: &mut Option<Duration>,
        progress: &mut dyn FnMut(RelayProgress),
    ) -> Result<End, RelayError> {
        let Some(mut work) = Work::look(self)? else { return Ok(End::Nothing) };
        let is_void = self.void_receipt(&mut work)?;
        let transport = self.shipper.transport.clone();
        let shipper =
            Shipper { origin: work.origin.clone(), ..self.shipper.with_transport(transport) };
        let mut session = Session::new(&mut work, &self.archive, until, failing, progress);
        let shipped = shipper.ship_queue(&mut session);
        let ended = session.ended();
        work.record()?;
        let end = ended?;
        shipped?;
        self.deliver_receipt(&mut work)?;
        // A receipt that could not be made void ends each connection when it is idle.
        Ok(if is_void { end } else { End::Stuck })
    }

    fn connect(&self, work: &Work<'_, T>) -> Result<Sender, RelayError> {
        let origin = work.origin.clone();
        let shipper =
            Shipper { origin, ..self.shipper.with_transport(self.shipper.transport.clone()) };
        let link = Link::open(&self.shipper.transport, shipper.hello()?)?;
        Ok(Sender::with_options(link, self.shipper.send.clone()))
    }

    /// The old primary has been opened again after a clean shutdown. False if the other node can't forget its receipt at the
    /// moment.
    fn void_receipt(&self, work: &mut Work<'_, T>) -> Result<bool, RelayError> {
        let Some(relayed) = work.note.receipt.clone() else { return Ok(true) };
        let held = work.receipt()?.map(|receipt| receipt.id);
        if work.origin.is_none() || held.as_ref() == Some(&relayed) {
            return Ok(true);
        }
        let mut sender = self.connect(work)?;
        match sender.void_receipt(&relayed) {
            Ok(()) => sender.leave(),
            // The next run tries again. WAL is relayed meanwhile.
            Err(SendError::Link(LinkError::Refused { refusal, .. })) if refusal.retryable => {
                return Ok(false);
            }
            // It was promoted, or its binding has moved: the receipt is evidence there.
            Err(SendError::Link(LinkError::Refused { .. })) => {}
            Err(error) => return Err(error.into()),
        }
        work.note.receipt = None;
        work.note.write()?;
        Ok(true)
    }

    /// Delivers the receipt. A kill, or flushPrimary --undo on the primary meanwhile, must not leave it on the other node
    /// without a record by which it is made void there.
    fn deliver_receipt(&self, work: &mut Work<'_, T>) -> Result<(), RelayError> {
        let Some(receipt) = work.receipt()? else { return Ok(()) };
        let tail = WalFileName::Partial(receipt.segment);
        if work.origin.is_none()
            || work.note.has_receipt(&receipt.id)
            || !work.note.has(tail, &work.path(tail))
        {
            return Ok(());
        }
        if !self.void_receipt(work)? {
            return Ok(());
        }
        work.note.receipt = Some(receipt.id.clone());
        work.note.is_delivered = false;
        work.note.write()?;
        let mut sender = self.connect(work)?;
        sender.deliver_receipt(&receipt)?;
        sender.leave();
        work.note.is_delivered = true;
        work.note.write()?;
        self.void_receipt(work)?;
        Ok(())
    }
}
