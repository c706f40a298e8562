use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::crossing::{Checked, Crossing, Earlier};
use super::histories::Histories;
use super::segment_copy::{copy_segment, copy_text, remove};
use super::{Clock, Found, Pruning, Source};
use crate::archive::{Archive, ArchiveError, Gap, check_mark};
use crate::data_directory::{Identity, identity, redo_place};
use crate::durable;
use crate::prune::Floor;
use crate::trigger::Writing;
use crate::wal::{
    BadPageHeader, ControlFile, Lsn, MAX_TEXT, PageHeader, SegmentHeader, SegmentInHistory,
    SegmentName, TextVerdict, TimelineHistory, TimelineId, Unsound, WalFileName,
    check_segment_header, check_text,
};

/// A file in this node's archive, checked against the cluster that asks for it.
#[derive(Debug)]
pub struct ArchiveSource {
    archive: PathBuf,
    /// Where the node remembers its archive's mark.
    local_replication: Option<PathBuf>,
    name: WalFileName,
    target: PathBuf,
    data_directory: PathBuf,
    pruning: Pruning,
    cluster: Option<Identity>,
    /// A file that was found wanting is not read again at each look, only when it has changed.
    known: Option<(Version, Found)>,
    /// It was found damaged, unfinished or too large.
    damaged: bool,
    /// It was handed over so, and a copy is to be kept.
    handed_over_damaged: bool,
    /// The file that was looked at last, by its device and inode.
    looked_at: Option<(u64, u64)>,
    /// A segment whose crossing record could not be checked, and what its first record links to: it is
    /// copied again only when that can be checked.
    unchecked: Option<(Version, Option<Lsn>)>,
}

/// Enough of a file's state to see that it changed.
type Version = (u64, u64, u64, i64, i64);

fn version(metadata: &fs::Metadata) -> Version {
    let m = metadata;
    (m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec())
}

/// Whether a file was changed a moment ago, or in the future of another machine's clock.
fn is_young(metadata: &fs::Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_none_or(|age| age < STILL_WRITTEN)
}

/// A file written to within this time may still be in the making.
const STILL_WRITTEN: Duration = Duration::from_secs(2);

impl ArchiveSource {
    /// The file of this name in an archive directory, for the server of a data directory, which wants
    /// it copied to `target`.
    pub fn new(
        archive: &Path,
        name: WalFileName,
        target: &Path,
        data_directory: &Path,
        pruning: Pruning,
    ) -> ArchiveSource {
        ArchiveSource {
            archive: archive.to_owned(),
            local_replication: None,
            name,
            target: target.to_owned(),
            data_directory: data_directory.to_owned(),
            pruning,
            cluster: None,
            known: None,
            damaged: false,
            handed_over_damaged: false,
            looked_at: None,
            unchecked: None,
        }
    }

    /// Takes only the archive for readable that configStandby [marked](crate::archive::mark), where it
    /// did, and not the bare mount point of its disk.
    pub fn marked_by(self, local_replication: &Path) -> ArchiveSource {
        ArchiveSource { local_replication: Some(local_replication.to_owned()), ..self }
    }

    /// Where the file stands or will stand.
    pub fn path(&self) -> PathBuf {
        self.archive.join(self.name.to_string())
    }

    /// Opens the file. Absent is only what the archive itself says: a directory that can't be read, or
    /// that is not there (an unmounted disk), says nothing.
    fn open(&self) -> Result<(File, fs::Metadata), Found> {
        let path = self.path();
        let unreadable =
            |e: io::Error| Found::Unreadable(format!("could not read {}: {e}", path.display()));
        match File::open(&path) {
            Ok(file) => {
                let metadata = file.metadata().map_err(unreadable)?;
                Ok((file, metadata))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(self.without_it()),
            Err(e) => Err(unreadable(e)),
        }
    }

    /// What it means that the file is not in the directory.
    fn without_it(&self) -> Found {
        if let Err(e) = fs::read_dir(&self.archive) {
            let archive = self.archive.display();
            return Found::Unreadable(format!(
                "could not read the archive directory {archive}: {e}"
            ));
        }
        match self.local_replication.as_deref().map(|local| check_mark(&self.archive, local)) {
            Some(Err(e)) => Found::Unreadable(e.to_string()),
            _ => Found::Absent,
        }
    }

    /// The cluster that asks, by its pg_control, read once. A directory without one (a call by hand)
    /// leaves the cluster unchecked.
    fn cluster(&mut self) -> Result<Option<&Identity>, Found> {
        if self.cluster.is_none() {
            self.cluster = identity(&self.data_directory)
                .map_err(|e| Found::Unreadable(format!("which cluster asks can't be told: {e}")))?;
        }
        Ok(self.cluster.as_ref())
    }

    /// All of its pg_control, where that can be read.
    fn control(&mut self) -> Result<Option<&ControlFile>, Found> {
        Ok(self.cluster()?.and_then(|cluster| cluster.control.as_ref()))
    }

    fn examine(&mut self, clock: &dyn Clock) -> Result<Found, Found> {
        let (mut file, metadata) = match self.open() {
            Err(Found::Absent) => return self.absent(),
            opened => opened?,
        };
        self.looked_at = Some((metadata.dev(), metadata.ino()));
        let version = version(&metadata);
        if let Some((known, found)) = &self.known
            && *known == version
        {
            return Ok(found.clone());
        }
        let found = match self.name {
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
        // Somebody who writes it in place may have got no further yet.
        if matches!(found, Found::NotThatFile(_)) && self.is_being_written(&metadata, clock) {
            return Ok(Found::Arriving);
        }
        self.damaged |= matches!(found, Found::Unfinished | Found::TooLarge { .. });
        let lasting =
            matches!(found, Found::NotThatFile(_) | Found::Foreign(_) | Found::TooLarge { .. });
        if lasting {
            self.know(&metadata, &found);
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

    /// Remembers what this state of the file is. Not while it is young: clocks of file systems are
    /// coarse, and who goes on writing within the same tick would never be noticed.
    fn know(&mut self, metadata: &fs::Metadata, found: &Found) {
        if !is_young(metadata) {
            self.known = Some((version(metadata), found.clone()));
        }
    }

    fn check_header(
        &mut self,
        file: &mut File,
        name: SegmentName,
        bytes: u64,
        any_size: bool,
    ) -> Result<SegmentHeader, Found> {
        let expected = self.cluster()?.map(Identity::expected).unwrap_or_default();
        let mut first_page = Vec::with_capacity(PageHeader::MAX_BYTES);
        file.rewind()
            .and_then(|()| file.take(PageHeader::MAX_BYTES as u64).read_to_end(&mut first_page))
            .map_err(|e| {
                Found::Unreadable(format!("could not read {}: {e}", self.path().display()))
            })?;
        if first_page.len() < PageHeader::MAX_BYTES {
            return Err(Found::Arriving);
        }
        let checked = match check_segment_header(&first_page, name, bytes, &expected) {
            Err(
                Unsound::TooSmall { segment_size, .. } | Unsound::TooLarge { segment_size, .. },
            ) if any_size => {
                check_segment_header(&first_page, name, segment_size.bytes(), &expected)
            }
            checked => checked,
        };
        checked.map_err(|why| match why {
            Unsound::TooSmall { .. } => Found::Unfinished,
            Unsound::TooLarge { bytes, .. } => Found::TooLarge { bytes },
            // Made larger first and filled then.
            Unsound::NotWal(BadPageHeader::UnknownMagic(0))
                if expected.segment_size.is_some_and(|s| bytes < s.bytes()) =>
            {
                Found::Arriving
            }
            why => {
                Found::NotThatFile(format!("the file in the archive is not {}: {why}", self.name))
            }
        })
    }

    /// Refuses a segment of an ancestor from after this cluster left it. Servers before 13 ask for
    /// those when their own timeline's segment is absent, and would replay them.
    fn check_timeline(&mut self, name: SegmentName) -> Result<Found, Found> {
        let Some(control) = self.control()? else { return Ok(Found::Ready) };
        // The checkpoint's timeline lags behind while the standby replays.
        let own = control.timeline.max(control.min_recovery_timeline.unwrap_or(TimelineId::FIRST));
        let layout = control.layout();
        if own <= name.timeline {
            return Ok(Found::Ready);
        }
        let past = self
            .histories()
            .of(own)?
            .is_some_and(|history| history.locate(name, layout) == SegmentInHistory::PastFork);
        Ok(if past {
            Found::Foreign(format!(
                "{name} was written after this cluster left timeline {} for {own}",
                name.timeline
            ))
        } else {
            Found::Ready
        })
    }

    /// What the absence of the file means.
    fn absent(&mut self) -> Result<Found, Found> {
        let WalFileName::Segment(name) = self.name else { return Ok(Found::Absent) };
        let Some(layout) = self.cluster()?.and_then(Identity::layout) else {
            return Ok(Found::Absent);
        };
        if name.timeline != TimelineId::FIRST {
            // A descendant's history tells the same, where only that one was shipped.
            let histories = self.histories();
            let own = histories.of(name.timeline)?;
            let history = match own {
                None => histories.descendants(name.timeline).next().transpose()?,
                own => own,
            };
            let before = |history: &TimelineHistory| {
                history.ancestors().iter().rev().map(|a| a.timeline).find(|&t| t < name.timeline)
            };
            let parent = history.as_ref().and_then(before);
            match history.map(|history| history.locate(name, layout)) {
                // Waiting for it would be waiting for ever; the server goes on to ask for its parent's.
                Some(SegmentInHistory::BeforeStart) => return Ok(Found::NeverExists),
                Some(SegmentInHistory::AtFork) if self.stands_on(parent, name) => {
                    return Ok(Found::NeverExists);
                }
                _ => {}
            }
        }
        Ok(self.histories().superseded(name, layout)?.map_or(Found::Absent, Found::Superseded))
    }

    fn histories(&self) -> Histories<'_> {
        Histories { archive: &self.archive, data_directory: &self.data_directory }
    }

    /// Whether the segment of this place stands in the archive under another timeline's name.
    fn stands_on(&self, timeline: Option<TimelineId>, name: SegmentName) -> bool {
        let other = timeline.map(|timeline| SegmentName { timeline, ..name });
        other.is_some_and(|other| self.archive.join(other.to_string()).exists())
    }

    /// A history or .backup file's content, checked.
    fn read_text(&mut self, file: &mut File) -> Result<Vec<u8>, Found> {
        let is_backup = matches!(self.name, WalFileName::Backup(..));
        let major = if is_backup { self.cluster()?.and_then(|c| c.major) } else { None };
        let mut text = Vec::new();
        file.take(MAX_TEXT + 1).read_to_end(&mut text).map_err(|e| {
            Found::Unreadable(format!("could not read {}: {e}", self.path().display()))
        })?;
        match check_text(self.name, &text, major) {
            Ok(TextVerdict::Sound) => {}
            Ok(TextVerdict::Unneeded(bad)) => {
                log::warn!("restored although damaged, since no server needs it: {bad}");
            }
            Err(bad) => return Err(Found::NotThatFile(format!("damaged in the archive: {bad}"))),
        }
        Ok(text)
    }

    /// Checks the record that crosses into the segment, from where it begins.
    fn check_crossing(&mut self, mut segment: Checked, links_to: Option<Lsn>) -> Result<(), Found> {
        let control = self.cluster.as_ref().and_then(|cluster| cluster.control.as_ref());
        let redo = control.map(|control| redo_place(&self.data_directory, control));
        // Replay starts behind that record's end. The segment before may never have been shipped.
        if redo.is_some_and(|redo| segment.name.place <= redo) {
            return Ok(());
        }
        let earlier = Earlier { archive: &self.archive, data_directory: &self.data_directory };
        match earlier.check(&mut segment, links_to) {
            Crossing::Sound => {}
            // A count of segments to keep knows nothing of a record that needs more of them.
            Crossing::Within => self.pruning.floors.push(Floor::Unknown),
            Crossing::Damaged { at, why } => {
                return Err(Found::Damaged(format!("its WAL ends at {at}: {why}")));
            }
            // No cluster, so that no server asks.
            Crossing::Unchecked(_) if redo.is_none() => {}
            Crossing::Unchecked(why) => return Err(Found::Unchecked(why)),
        }
        Ok(())
    }

    fn try_restore(&mut self, as_it_is: bool) -> Result<(), Found> {
        let (mut file, before) = self.open()?;
        let done = match self.name {
            WalFileName::Segment(name) | WalFileName::Partial(name) => {
                let header = self.check_header(&mut file, name, before.len(), as_it_is)?;
                let version = version(&before);
                if let Some((unchecked, links_to)) = self.unchecked
                    && unchecked == version
                    && !as_it_is
                {
                    self.check_crossing(Checked { file: &mut file, name, header }, links_to)?;
                }
                let rewound = file.rewind();
                rewound.map_err(|e| Found::Unreadable(e.to_string()))?;
                let copied = copy_segment(&mut file, &self.target, name, &header, as_it_is);
                if let (Ok(_), Some(why)) = (&copied, header.unknown_records()) {
                    log::warn!("restored {name}, but {why}");
                }
                copied.and_then(|links_to| {
                    if as_it_is {
                        return Ok(());
                    }
                    self.unchecked = Some((version, links_to));
                    self.check_crossing(Checked { file: &mut file, name, header }, links_to)
                        .inspect_err(|_| remove(&self.target))
                })
            }
            WalFileName::History(_) | WalFileName::Backup(..) => {
                let text = self.read_text(&mut file)?;
                copy_text(&text, &self.target)
            }
        };
        if let Err(found @ (Found::Damaged(_) | Found::NotThatFile(_))) = &done {
            self.know(&before, found);
        }
        done
    }
}

impl ArchiveSource {
    /// Keeps a copy of what a failover was given damaged: the file itself may be pruned or sent again.
    /// It comes after the answer, which an archive that takes no writes must not hold up.
    pub fn keep_copy(&self) {
        if !self.handed_over_damaged {
            return;
        }
        match durable::keep_copy(&self.path(), "corrupt") {
            Ok(copy) => {
                log::error!("a copy of the damaged {} is kept as {}", self.name, copy.display())
            }
            Err(e) => log::error!("no copy of the damaged {} could be kept: {e}", self.name),
        }
    }

    /// Removes what nobody needs any more, after this segment was restored.
    pub fn prune(&self) {
        if let WalFileName::Segment(restored) = self.name {
            let layout = self.cluster.as_ref().and_then(Identity::layout);
            self.pruning.run(&self.archive, restored, layout);
        }
    }
}

impl ArchiveSource {
    fn look_for_gap(&self) -> Result<Option<Gap>, ArchiveError> {
        let control = self.cluster.as_ref().and_then(|cluster| cluster.control.as_ref());
        let (WalFileName::Segment(next), Some(control)) = (self.name, control) else {
            return Ok(None);
        };
        Archive::open(&self.archive)?.gap_after(next, control, &self.data_directory)
    }
}

impl Source for ArchiveSource {
    fn look(&mut self, clock: &dyn Clock) -> Found {
        self.examine(clock).unwrap_or_else(|found| found)
    }

    fn restore(&mut self, as_it_is: bool) -> Result<(), Found> {
        let done = self.try_restore(as_it_is);
        self.damaged |= matches!(done, Err(Found::Damaged(_)));
        self.handed_over_damaged = as_it_is && self.damaged && done.is_ok();
        done
    }

    fn gap(&mut self) -> Option<Gap> {
        // What can't be read is found out, and said, where the file itself is looked for.
        self.look_for_gap().unwrap_or_else(|e| {
            log::debug!("whether later segments are there could not be seen: {e}");
            None
        })
    }

    fn set_aside(&mut self, why: &str) -> bool {
        let path = self.path();
        match durable::set_aside_file(&path, self.looked_at, "foreign") {
            Ok(Some(aside)) => log::error!(
                "recovery ends before {}: {why}; the file was renamed to {}",
                self.name,
                aside.display()
            ),
            // The right one may have arrived in its place.
            Ok(None) => return false,
            Err(e) => log::error!("recovery ends before {}: {why} ({e})", self.name),
        }
        true
    }
}
