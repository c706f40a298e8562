mod checks;
mod fetched;
mod flushed;
mod pruning;

use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use super::crossing::Checked;
use super::fetching::{Fetched, Fetching};
use super::segment_copy::{copy_segment, copy_text, remove};
use super::{Clock, Found, Order, RestoreRequest, Source, StandbyRestore};
use crate::archive::{Archive, ArchiveError, Gap, check_mark};
use crate::data_directory::{Identity, identity};
use crate::durable;
use crate::identifiers::NodeName;
use crate::prune::Keep;
use crate::trigger::Writing;
use crate::wal::{ControlFile, Lsn, SegmentName, WalFileName};
use checks::{FileVersion, is_young};

/// The requested file in a node's archive, checked against the cluster of the server that requests it.
#[derive(Debug)]
pub(super) struct ArchiveSource<'a> {
    request: &'a RestoreRequest,
    archive: &'a Path,
    data_directory: &'a Path,
    /// Where the node remembers its archive's mark.
    local_replication: Option<&'a Path>,
    /// The nodes that need the archive's segments too; `None` if that is not known.
    consumers: Option<&'a [NodeName]>,
    max_backlog: Option<u64>,
    retain: Keep,
    keep: u32,
    cluster: Option<Identity>,
    /// A file that was refused, and why. It is read again only when it has changed.
    refused: Option<(FileVersion, Found)>,
    /// The file was found damaged, incomplete or too large.
    damaged: bool,
    /// It was restored so, and a copy is to be kept.
    restored_damaged: bool,
    /// Device and inode of the file at the last look.
    looked_at: Option<(u64, u64)>,
    /// A segment that continues a record which could not be checked, and where its first record says that
    /// the record begins. The segment is copied again only when that record can be checked.
    unchecked: Option<(FileVersion, Option<Lsn>)>,
    /// The whole segment lies within one record. The segments in which it begins must be kept.
    within_record: bool,
    /// The segment is from before its timeline began, so that no archive has it.
    pub(super) before_start: bool,
    /// The other archives, if there are any.
    fetching: Option<Fetching<'a>>,
    /// An intact file that was fetched and is not in the archive. It is restored instead of the archive's.
    unstored: Option<Fetched>,
    /// It could not be restored.
    unstored_failed: bool,
    /// Recovery was to end when the other archives were asked last.
    ending: bool,
    /// The file is absent, and the `.partial` file of a clean shutdown is restored instead of it.
    is_flushed: bool,
}

impl<'a> ArchiveSource<'a> {
    pub(super) fn new(restore: &'a StandbyRestore) -> ArchiveSource<'a> {
        ArchiveSource {
            request: &restore.request,
            archive: &restore.archive,
            data_directory: &restore.data_directory,
            local_replication: restore.local_replication.as_deref(),
            consumers: restore.consumers.as_deref(),
            max_backlog: restore.max_backlog,
            retain: restore.retain,
            keep: restore.keep,
            cluster: None,
            refused: None,
            damaged: false,
            restored_damaged: false,
            looked_at: None,
            unchecked: None,
            within_record: false,
            before_start: false,
            fetching: None,
            unstored: None,
            unstored_failed: false,
            ending: false,
            is_flushed: false,
        }
    }

    /// The file's path in the archive.
    pub(super) fn path(&self) -> PathBuf {
        self.archive.join(self.request.name.to_string())
    }

    fn unreadable(&self, error: io::Error) -> Found {
        Found::Unreadable(format!("could not read \"{}\": {error}", self.path().display()))
    }

    /// Opens the file. It is absent only if the archive directory can be read: a directory that is missing
    /// may be a disk that is not mounted.
    fn open(&self) -> Result<(File, fs::Metadata), Found> {
        if let Some(fetched) = &self.unstored {
            let open = || {
                let mut file = fetched.file.reopen()?.into_file();
                file.rewind()?;
                let metadata = file.metadata()?;
                Ok((file, metadata))
            };
            return open().map_err(|e| self.unreadable(e));
        }
        match File::open(self.path()) {
            Ok(file) => {
                let metadata = file.metadata().map_err(|e| self.unreadable(e))?;
                Ok((file, metadata))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => match self.open_flushed()? {
                Some(opened) => Ok(opened),
                None => Err(self.without_file()),
            },
            Err(e) => Err(self.unreadable(e)),
        }
    }

    fn without_file(&self) -> Found {
        if let Err(e) = fs::read_dir(self.archive) {
            let archive = self.archive.display();
            return Found::Unreadable(format!(
                "could not read the archive directory \"{archive}\": {e}"
            ));
        }
        match self.local_replication.map(|local| check_mark(self.archive, local)) {
            Some(Err(e)) => Found::Unreadable(e.to_string()),
            _ => Found::Absent,
        }
    }

    /// The server's cluster, from its pg_control, which is read once. In a directory without one (a call by
    /// hand) the cluster is not checked.
    fn cluster(&mut self) -> Result<Option<&Identity>, Found> {
        if self.cluster.is_none() {
            self.cluster = identity(self.data_directory).map_err(|e| {
                Found::Unreadable(format!("could not identify the server's cluster: {e}"))
            })?;
        }
        Ok(self.cluster.as_ref())
    }

    /// The content of its pg_control, if its version is known.
    fn control(&mut self) -> Result<Option<&ControlFile>, Found> {
        Ok(self.cluster()?.and_then(|cluster| cluster.control.as_ref()))
    }

    fn examine(&mut self, clock: &dyn Clock) -> Result<Found, Found> {
        let (mut file, metadata) = match self.open() {
            Err(Found::Absent) => return self.absent(),
            opened => opened?,
        };
        let version = FileVersion::of(&metadata);
        self.looked_at = Some(version.file());
        if let Some((refused, found)) = &self.refused
            && *refused == version
        {
            return Ok(found.clone());
        }
        let found = match self.request.name {
            WalFileName::Segment(name) | WalFileName::Partial(name) => {
                match self.check_header(&mut file, name, metadata.len(), false) {
                    Ok(_) => self.check_timeline(name)?,
                    Err(found) => found,
                }
            }
            WalFileName::History(_) | WalFileName::Backup(..) => {
                self.read_text(&mut file).map_or_else(|found| found, |_| Found::Ready)
            }
        };
        // A process that writes it in place may not have written more yet.
        if matches!(found, Found::NotThatFile(_)) && self.is_being_written(&metadata, clock) {
            return Ok(Found::Arriving);
        }
        self.damaged |= matches!(found, Found::Unfinished | Found::TooLarge { .. });
        if matches!(found, Found::NotThatFile(_) | Found::Foreign(_) | Found::TooLarge { .. }) {
            self.note_refused(&metadata, &found);
        }
        Ok(found)
    }

    fn is_being_written(&self, metadata: &fs::Metadata, clock: &dyn Clock) -> bool {
        match clock.writing(&self.path()) {
            Writing::Closed => false,
            Writing::Open => true,
            Writing::Unseen => is_young(metadata),
        }
    }

    /// Not while the file is young: file systems have coarse clocks, and a further write within the same
    /// tick would not be noticed.
    fn note_refused(&mut self, metadata: &fs::Metadata, found: &Found) {
        if !is_young(metadata) {
            self.refused = Some((FileVersion::of(metadata), found.clone()));
        }
    }

    fn try_restore(&mut self, as_it_is: bool) -> Result<(), Found> {
        let (mut file, metadata) = self.open()?;
        let done = match self.request.name {
            WalFileName::Segment(name) | WalFileName::Partial(name) => {
                self.restore_segment(&mut file, &metadata, name, as_it_is)
            }
            WalFileName::History(_) | WalFileName::Backup(..) => {
                self.read_text(&mut file).and_then(|text| copy_text(&text, &self.request.target))
            }
        };
        if let Err(found @ (Found::Damaged(_) | Found::NotThatFile(_))) = &done {
            self.note_refused(&metadata, found);
        }
        done
    }

    fn restore_segment(
        &mut self,
        file: &mut File,
        metadata: &fs::Metadata,
        name: SegmentName,
        as_it_is: bool,
    ) -> Result<(), Found> {
        let header = self.check_header(file, name, metadata.len(), as_it_is)?;
        let version = FileVersion::of(metadata);
        if let Some((unchecked, links_to)) = self.unchecked
            && unchecked == version
            && !as_it_is
        {
            self.check_crossing(Checked { file, name, header }, links_to)?;
        }
        file.rewind().map_err(|e| self.unreadable(e))?;
        let target = &self.request.target;
        if self.is_flushed {
            // Its WAL ends in the middle, as the receipt says.
            return copy_segment(file, target, name, &header, true).map(drop);
        }
        let links_to = copy_segment(file, target, name, &header, as_it_is)?;
        if let Some(why) = header.unknown_records() {
            log::warn!("restored {name}, but {why}");
        }
        if as_it_is {
            return Ok(());
        }
        self.unchecked = Some((version, links_to));
        self.check_crossing(Checked { file, name, header }, links_to)
            .inspect_err(|_| remove(target))
    }

    /// Keeps a copy of a damaged segment that was restored for a failover: the file itself may be pruned
    /// or sent again. This follows the answer, which an archive that accepts no writes must not delay.
    pub(super) fn keep_copy(&self) {
        if !self.restored_damaged {
            return;
        }
        let name = self.request.name;
        match durable::keep_copy(&self.path(), "corrupt") {
            Ok(copy) => {
                log::error!("a copy of the damaged {name} was kept as \"{}\"", copy.display());
            }
            Err(e) => log::error!("could not keep a copy of the damaged {name}: {e}"),
        }
    }

    fn look_for_gap(&self) -> Result<Option<Gap>, ArchiveError> {
        let control = self.cluster.as_ref().and_then(|cluster| cluster.control.as_ref());
        let (WalFileName::Segment(next), Some(control)) = (self.request.name, control) else {
            return Ok(None);
        };
        Archive::open(self.archive)?.gap_after(next, control, self.data_directory)
    }
}

impl Source for ArchiveSource<'_> {
    fn look(&mut self, clock: &dyn Clock) -> Found {
        if self.unstored_failed && !self.ending {
            self.reject_unstored();
        }
        let mut found = self.examine(clock).unwrap_or_else(|found| found);
        if self.is_flushed && found != Found::Ready {
            self.is_flushed = false;
            found = self.examine(clock).unwrap_or_else(|found| found);
        }
        if self.unstored.is_none() || found == Found::Ready {
            return found;
        }
        let why = match &found {
            Found::Foreign(why) | Found::NotThatFile(why) | Found::Unreadable(why) => why,
            _ => "it is incomplete",
        };
        log::warn!("{} was fetched and cannot be restored: {why}", self.request.name);
        self.reject_unstored();
        self.examine(clock).unwrap_or_else(|found| found)
    }

    fn restore(&mut self, as_it_is: bool) -> Result<(), Found> {
        let done = self.try_restore(as_it_is);
        self.damaged |= matches!(done, Err(Found::Damaged(_)));
        // Whether recovery is still to end is asked before the next attempt.
        self.is_flushed &= done.is_ok();
        self.restored_damaged = as_it_is && self.damaged && done.is_ok();
        self.note_unstored(&done);
        done
    }

    fn gap(&mut self) -> Option<Gap> {
        // An archive that cannot be read is noticed and reported when the file itself is opened.
        self.look_for_gap().unwrap_or_else(|e| {
            log::debug!("could not look for later segments: {e}");
            None
        })
    }

    fn fetch(&mut self, order: &Order, found: &Found) -> Found {
        if self.before_start || self.unstored.is_some() {
            return Found::Absent;
        }
        self.ending = !matches!(order, Order::Wait | Order::Unsettled);
        let may_end = self.ending && *found == Found::Absent && !self.is_flushed;
        let has_flushed = may_end && self.is_of_receipt();
        if has_flushed && (self.fetching.is_none() || !self.is_continued()) {
            return self.use_flushed();
        }
        let found = self.fetch_other(order, found);
        if has_flushed && found == Found::Absent && !self.path().exists() {
            return self.use_flushed();
        }
        found
    }

    fn set_aside(&mut self, why: &str) -> bool {
        let (path, name) = (self.path(), self.request.name);
        match durable::set_aside_file(&path, self.looked_at, "foreign") {
            Ok(Some(aside)) => log::error!(
                "recovery ends before {name}: {why}; the file was renamed to \"{}\"",
                aside.display()
            ),
            // The correct file may have arrived in its place.
            Ok(None) => return false,
            Err(e) => log::error!("recovery ends before {name}: {why} ({e})"),
        }
        true
    }
}
