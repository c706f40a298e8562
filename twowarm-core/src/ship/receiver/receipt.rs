//! Receipts of a clean shutdown: stored with the `.partial` file that they belong to, and void if the old primary is
//! started again.

use std::path::Path;

use super::pruning::has_cluster;
use super::{Receiver, binding, refusal, refusal_of};
use crate::archive::{Archive, ArchiveError, Given, SenderLock};
use crate::data_directory::{
    IdentityError, InUse, Reached, Role, identity, promotion_file, role_of,
};
use crate::file_error::FileError;
use crate::lock::lock_directory;
use crate::receipt::{NoTail, Receipt, ReceiptError, ReceiptFile, Tail};
use crate::ship::BadContent;
use crate::ship::wire::{Hello, Refusal, RefusalCode, Stored};
use crate::timelines::Timelines;
use crate::wal::{ControlFile, ForkPoint, TimelineHistory, TimelineId, WalFileName};

/// What an archive holds: the text of a receipt, and the name of the first missing segment.
pub(super) struct Held {
    pub(super) text: String,
    pub(super) missing: String,
}

impl Receiver {
    /// Stores a receipt durably, once the WAL in its `.partial` file ends where it says.
    pub(super) fn store_receipt(
        &self,
        text: &str,
        archive: &Archive,
        hello: &Hello,
    ) -> Result<Stored, Refusal> {
        let unsound = |why: String| refusal(RefusalCode::UNSOUND, false, why);
        let receipt: Receipt =
            text.parse().map_err(|e| unsound(format!("the receipt is invalid: {e}")))?;
        if receipt.system_identifier != hello.system_identifier
            || receipt.node_id != hello.node_id
            || !receipt.is_within_segment(hello.layout())
        {
            return Err(unsound("the receipt is not one of its sender".into()));
        }
        let _sender_stays = archive.lock_sender(SenderLock::Store).map_err(|e| refusal_of(&e))?;
        archive.bind(&binding(hello), self.machines).map_err(|e| refusal_of(&e))?;
        let at_end = |history: &TimelineHistory| match history.fork_from(receipt.timeline) {
            Some(ForkPoint::Position(fork)) => *fork == receipt.end,
            Some(ForkPoint::Segment(fork)) => fork.place == receipt.segment.place,
            None => true,
        };
        if let Some(later) = self.descendant(archive, &receipt, |history| !at_end(history))? {
            return Err(promoted(&later));
        }
        self.check_tail(archive, &receipt, hello)?;
        let file = ReceiptFile::in_archive(archive.path());
        // One that can't be read is replaced too.
        let earlier = file.read().ok().flatten();
        // Also the same one: an earlier attempt may have been interrupted before it was on disk.
        file.write(&receipt).map_err(failed)?;
        match earlier {
            Some(earlier) if earlier == receipt => return Ok(Stored::AlreadyThere),
            // The sender has gone on since, and no timeline forked there.
            Some(Receipt { timeline, segment, .. })
                if timeline == receipt.timeline && segment != receipt.segment =>
            {
                archive.remove(WalFileName::Partial(segment)).map_err(|e| refusal_of(&e))?;
            }
            _ => {}
        }
        Ok(Stored::New)
    }

    fn check_tail(
        &self,
        archive: &Archive,
        receipt: &Receipt,
        hello: &Hello,
    ) -> Result<(), Refusal> {
        let unsound = |why: String| refusal(RefusalCode::UNSOUND, false, why);
        let (segment, name) = (receipt.segment, WalFileName::Partial(receipt.segment));
        if archive.find(WalFileName::Segment(segment)).map_err(|e| refusal_of(&e))?.is_some() {
            let why = format!("{segment} is in the archive, so its sender has written more WAL");
            return Err(refusal(RefusalCode::CONFLICT, false, why));
        }
        let Some(mut file) = archive.find(name).map_err(|e| refusal_of(&e))? else {
            return Err(unsound(format!("{name} is not in the archive")));
        };
        let path = archive.path_of(name);
        match Tail::find(&mut file, segment, &hello.expected()) {
            Ok(tail) if tail.is_of(receipt) => Ok(()),
            Ok(tail) => Err(unsound(format!(
                "WAL in {name} ends at {}, not after a checkpoint record at {} that ends at {}",
                tail.end, receipt.checkpoint, receipt.end
            ))),
            Err(NoTail::Io(error)) => Err(failed(FileError::of("read", &path)(error))),
            Err(NoTail::Segment(error)) => {
                Err(unsound(BadContent::Segment { name, error }.to_string()))
            }
            Err(NoTail::Complete) => {
                Err(unsound(format!("the end of WAL in {name} cannot be found")))
            }
        }
    }

    /// Removes a receipt with this id and its `.partial` file durably, if they are here. Not once a timeline has forked
    /// there, or is about to: two primaries would continue the same WAL. A node that was promoted refuses also without a
    /// receipt, since the sender asks in order to open its server.
    pub(super) fn void_receipt(&self, id: &str, archive: &Archive) -> Result<Stored, Refusal> {
        let file = ReceiptFile::in_archive(archive.path());
        let stored = file.read().map_err(unreadable)?.filter(|stored| stored.id.as_str() == id);
        if let Some(receipt) = &stored
            && let Some(later) = self.descendant(archive, receipt, |_| true)?
        {
            return Err(promoted(&later));
        }
        self.check_mounted()?;
        let mut _locked = None;
        if let Some(pgdata) = self.data_directory.as_deref().filter(|path| path.exists()) {
            // triggerStandby reads the receipt and writes the trigger file under this lock.
            let locked = lock_directory(pgdata).map_err(|e| match e {
                InUse::Locked(_) => {
                    "triggerStandby, configStandby or a base copy is running".into()
                }
                InUse::File(e) => e.to_string(),
            });
            _locked = Some(locked.map_err(|e| refusal(RefusalCode::ARCHIVE, true, e))?);
            let unknown = |e| refusal(RefusalCode::CONFIGURATION, true, e);
            if let Some(why) = promotion(pgdata).map_err(unknown)? {
                return Err(refusal(RefusalCode::PAST_FORK, false, why));
            }
        }
        let Some(receipt) = stored else { return Ok(Stored::AlreadyThere) };
        // The receipt first: without it the other file is not used.
        file.remove().map_err(failed)?;
        archive.remove(WalFileName::Partial(receipt.segment)).map_err(|e| refusal_of(&e))?;
        Ok(Stored::New)
    }

    /// Whether this node was promoted is not known while the disk of its data directory is not mounted.
    fn check_mounted(&self) -> Result<(), Refusal> {
        let Some(pgdata) = &self.data_directory else { return Ok(()) };
        let unknown = |e| refusal(RefusalCode::CONFIGURATION, true, e);
        if has_cluster(pgdata).map_err(unknown)?
            || !self.had_standby().map_err(|e| refusal_of(&e))?
        {
            return Ok(());
        }
        let message = format!(
            "the data directory \"{}\" there contains no cluster, although the node has had a standby: it is not known whether that was promoted. HINT: mount the disk of the data directory",
            pgdata.display()
        );
        Err(refusal(RefusalCode::CONFIGURATION, true, message))
    }

    /// A primary can't be the standby that is to take over. If it was promoted, the sender is the old primary.
    fn refuse_as_primary(
        &self,
        archive: &Archive,
        control: Option<&ControlFile>,
        hello: &Hello,
    ) -> Result<(), Refusal> {
        let unknown = |e| refusal(RefusalCode::CONFIGURATION, true, e);
        let (Some(pgdata), Some(control)) = (&self.data_directory, control) else { return Ok(()) };
        if role_of(pgdata).map_err(unknown)? != Role::Primary {
            return Ok(());
        }
        let own = Reached::of(control).timeline;
        let sender = archive.binding().map_err(|e| refusal_of(&e))?;
        let is_promoted = if hello.major.promotes_to_new_timeline() {
            let sent = sender.and_then(|sender| sender.timeline);
            sent.is_none_or(|sent| sent < own) && own > TimelineId::FIRST
        } else {
            // It has received WAL, as a standby.
            sender.is_some()
        };
        let (code, message) = match is_promoted {
            true => (
                RefusalCode::PROMOTED,
                format!(
                    "the standby here was promoted and is a primary, on timeline {own}. HINT: run configStandby --rejoin on {}",
                    hello.label
                ),
            ),
            false => (
                RefusalCode::NOT_A_STANDBY,
                format!(
                    "\"{}\" contains a primary, on timeline {own}, not a standby. HINT: if {sender} is the right primary, make {here} its standby: run configStandby --rejoin on {here}, or configStandby --overwrite on {here} and copyToStandby on {sender}. If {here} was promoted, it is the primary: make {sender} its standby in the same way",
                    pgdata.display(),
                    sender = hello.label,
                    here = self.label
                ),
            ),
        };
        Err(refusal(code, false, message))
    }

    /// The receipt here, and the first segment that is missing before it or before the last segment.
    pub(super) fn held(&self, archive: &Archive, hello: &Hello) -> Result<Held, Refusal> {
        let receipt = Receipt::in_archive(archive.path()).map_err(unreadable)?;
        let pgdata = self.data_directory.as_deref();
        let unknown = |e| refusal(RefusalCode::CONFIGURATION, true, e);
        // Where replay would start must not be guessed.
        let cluster = pgdata.map(identity).transpose().map_err(unknown)?.flatten();
        let control = cluster.and_then(|cluster| cluster.control);
        self.refuse_as_primary(archive, control.as_ref(), hello)?;
        let missing = || {
            let last = archive.segments()?.into_iter().max();
            let end = receipt.as_ref().map(|receipt| receipt.segment);
            let newest = last.into_iter().chain(end).max_by_key(|segment| segment.timeline);
            let Some(newest) = newest else { return Ok(None) };
            let end = end.filter(|end| end.timeline == newest.timeline);
            let server = control.as_ref().zip(pgdata);
            let server = server.map(|(control, pgdata)| (Given::Nothing, control, pgdata));
            archive.first_missing(newest.timeline, end, hello.layout(), server)
        };
        let missing = missing().map_err(|e: ArchiveError| refusal_of(&e))?;
        Ok(Held {
            text: receipt.map(|receipt| receipt.to_string()).unwrap_or_default(),
            missing: missing.map(|missing| missing.to_string()).unwrap_or_default(),
        })
    }

    /// A later timeline that forked from the receipt's, by the histories here.
    fn descendant(
        &self,
        archive: &Archive,
        receipt: &Receipt,
        is_wanted: impl FnMut(&TimelineHistory) -> bool,
    ) -> Result<Option<TimelineHistory>, Refusal> {
        let timelines = Timelines::new(archive.path(), self.data_directory.as_deref());
        let known = timelines.known_descendants(receipt.timeline);
        Ok(known.map_err(|e| refusal_of(&e.into()))?.into_iter().find(is_wanted))
    }
}

/// Why the node of a data directory is a primary, or will be one.
fn promotion(pgdata: &Path) -> Result<Option<String>, IdentityError> {
    if identity(pgdata)?.is_some() && role_of(pgdata)? == Role::Primary {
        return Ok(Some("this node is a primary".into()));
    }
    let trigger = pgdata.join("trigger");
    let exists = trigger.try_exists().map_err(FileError::of("look for", &trigger))?;
    let file = if exists { Some(trigger) } else { promotion_file(pgdata)? };
    Ok(file.map(|file| format!("this node is being promoted: \"{}\" exists", file.display())))
}

fn promoted(later: &TimelineHistory) -> Refusal {
    let message = format!(
        "timeline {} has forked from the sender's: a node was promoted. HINT: make the sender a standby with configStandby --rejoin",
        later.timeline()
    );
    refusal(RefusalCode::PAST_FORK, false, message)
}

fn unreadable(error: ReceiptError) -> Refusal {
    refusal(RefusalCode::ARCHIVE, true, error)
}

fn failed(error: FileError) -> Refusal {
    refusal_of(&error.into())
}
