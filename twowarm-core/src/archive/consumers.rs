use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Archive, ArchiveError};
use crate::durable;
use crate::file_error::{FileError, if_exists};
use crate::identifiers::NodeName;
use crate::prune::Floor;
use crate::wal::SegmentName;

/// A node that still needs segments of an archive, besides the standby that restores from it: such as a DR node,
/// until it has received them.
///
/// What it needs is recorded in `.consumers/NAME` in the archive. The consumer itself moves it on; pruning keeps
/// everything from there on. A file that can't be read keeps everything.
///
/// A standby to which a primary relays segments through this archive is a consumer too, see
/// [`note_relayed`](Archive::note_relayed).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// The first segment that it needs.
    pub floor: Result<SegmentName, String>,
    /// If segments were relayed for it: the last of them. Otherwise it needs all later segments.
    pub last: Option<SegmentName>,
    /// When that was last moved on, or when the consumer was registered; `None` if the file can't be read.
    pub moved: Option<SystemTime>,
}

impl Consumer {
    /// What must be kept for it.
    #[must_use]
    pub fn floor(&self) -> Floor {
        self.floor.as_ref().map_or(Floor::Unknown, |first| Floor::From(first.place))
    }

    /// How long ago its floor was moved on.
    #[must_use]
    pub fn idle(&self) -> Option<Duration> {
        self.moved.map(|moved| SystemTime::now().duration_since(moved).unwrap_or_default())
    }
}

/// Says what it needs and, after a minute, since when it has not moved.
impl fmt::Display for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match (&self.floor, &self.last) {
            (Ok(first), Some(last)) => {
                write!(f, "{name} has not fetched {first} to {last}, which were relayed for it")?;
            }
            (Ok(first), None) => write!(f, "{name} needs {first} and later segments")?,
            (Err(why), _) => {
                return write!(f, "it is not known which segments {name} needs: {why}");
            }
        }
        match self.idle().map(|idle| idle.as_secs()) {
            None | Some(0..60) => Ok(()),
            Some(seconds @ 60..7200) => {
                write!(f, "; it has not moved on for {} min", seconds / 60)
            }
            Some(seconds @ 7200..172_800) => {
                write!(f, "; it has not moved on for {} h", seconds / 3600)
            }
            Some(seconds) => write!(f, "; it has not moved on for {} days", seconds / 86_400),
        }
    }
}

impl Archive {
    pub(super) fn consumers_directory(&self) -> PathBuf {
        self.path().join(".consumers")
    }

    pub(super) fn consumer_file(&self, name: &NodeName) -> Result<PathBuf, ArchiveError> {
        let (directory, name) = (self.consumers_directory(), name.to_string());
        // Such names are those of temporary files.
        if name.starts_with('.') {
            let error =
                io::Error::new(io::ErrorKind::InvalidInput, "the name begins with a period");
            return Err(FileError::of("create", &directory.join(name))(error).into());
        }
        Ok(directory.join(name))
    }

    /// All consumers, by name.
    ///
    /// # Errors
    /// If they can't be listed.
    pub fn consumers(&self) -> Result<Vec<Consumer>, ArchiveError> {
        let directory = self.consumers_directory();
        let failed = || FileError::of("list", &directory);
        let Some(entries) = if_exists(fs::read_dir(&directory)).map_err(failed())? else {
            self.check_readable()?;
            return Ok(Vec::new());
        };
        let mut consumers = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed())?.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            match if_exists(fs::read_to_string(directory.join(&name))) {
                Ok(None) => {}
                Ok(Some(text)) => consumers.push(parsed(name, &text)),
                Err(e) => consumers.push(unreadable(name, e.to_string())),
            }
        }
        consumers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(consumers)
    }

    /// One consumer, if it is registered.
    ///
    /// # Errors
    /// If its file can't be read.
    #[cfg(feature = "ship")]
    pub(crate) fn consumer(&self, name: &NodeName) -> Result<Option<Consumer>, ArchiveError> {
        let file = self.consumer_file(name)?;
        let text = if_exists(fs::read(&file)).map_err(FileError::of("read", &file))?;
        Ok(text.map(|text| parsed(name.to_string(), &String::from_utf8_lossy(&text))))
    }

    /// Registers a consumer that needs this segment and all later ones, durably. If it is registered already,
    /// nothing changes.
    ///
    /// # Errors
    /// If its file can't be written.
    pub fn register_consumer(
        &self,
        name: &NodeName,
        first_needed: SegmentName,
    ) -> Result<(), ArchiveError> {
        let file = self.consumer_file(name)?;
        self.create_consumers_directory()?;
        match durable::create(&file, new_text(first_needed).as_bytes()) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => Ok(done?),
        }
    }

    /// Registers a consumer, or moves it back: it needs this segment and all later ones again, because it gets a new base
    /// copy, and what it has acknowledged before may be gone with its disk.
    ///
    /// # Errors
    /// If its file can't be read or written.
    pub fn restart_consumer(
        &self,
        name: &NodeName,
        first_needed: SegmentName,
    ) -> Result<(), ArchiveError> {
        self.move_consumer(name, first_needed, |known| known.place > first_needed.place)
    }

    /// Moves a consumer on: it now needs only this segment and later ones. It is durable when this returns. A
    /// consumer moves back only to the beginning of a newer timeline, and an unreadable file is replaced.
    ///
    /// # Errors
    /// If its file can't be read or written.
    pub fn advance_consumer(
        &self,
        name: &NodeName,
        first_needed: SegmentName,
    ) -> Result<(), ArchiveError> {
        self.move_consumer(name, first_needed, |known| known < first_needed)
    }

    /// Moves a consumer to this segment, unless its file has another one that `may_move` does not accept.
    fn move_consumer(
        &self,
        name: &NodeName,
        first_needed: SegmentName,
        may_move: impl Fn(SegmentName) -> bool,
    ) -> Result<(), ArchiveError> {
        let file = self.consumer_file(name)?;
        self.create_consumers_directory()?;
        let known = if_exists(fs::read_to_string(&file)).map_err(FileError::of("read", &file))?;
        let known = known.and_then(|known| parsed(String::new(), &known).floor.ok());
        if known.is_some_and(|known| !may_move(known)) {
            return Ok(());
        }
        Ok(durable::write(&file, new_text(first_needed).as_bytes())?)
    }

    /// Removes a consumer that no longer needs anything.
    ///
    /// # Errors
    /// If its file can't be removed.
    pub fn remove_consumer(&self, name: &NodeName) -> Result<(), ArchiveError> {
        let file = self.consumer_file(name)?;
        match if_exists(fs::symlink_metadata(&file)).map_err(FileError::of("read", &file))? {
            Some(_) => Ok(durable::remove(&file)?),
            None => Ok(()),
        }
    }

    pub(super) fn create_consumers_directory(&self) -> Result<(), ArchiveError> {
        let directory = self.consumers_directory();
        // Without its parents: a missing archive directory is an error, see `open`.
        match DirBuilder::new().mode(0o700).create(&directory) {
            Ok(()) => Ok(durable::sync_directory(self.path())?),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(ArchiveError::Missing(self.path().to_owned()))
            }
            Err(e) => Err(FileError::of("create the directory", &directory)(e).into()),
        }
    }
}

fn new_text(first_needed: SegmentName) -> String {
    text(first_needed, SystemTime::now(), None)
}

pub(super) fn text(
    first_needed: SegmentName,
    moved: SystemTime,
    last: Option<SegmentName>,
) -> String {
    let moved = moved.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let last = last.map_or(String::new(), |last| format!("last={last}\n"));
    format!("version=1\nfloor={first_needed}\nmoved={moved}\n{last}")
}

fn unreadable(name: String, why: String) -> Consumer {
    Consumer { name, floor: Err(why), last: None, moved: None }
}

pub(super) fn parsed(name: String, text: &str) -> Consumer {
    let parse = || {
        let lines: Option<Vec<_>> = text.lines().map(|line| line.split_once('=')).collect();
        let (floor, moved, last) = match *lines?.as_slice() {
            [("version", "1"), ("floor", floor), ("moved", moved)] => (floor, moved, None),
            [("version", "1"), ("floor", floor), ("moved", moved), ("last", last)] => {
                (floor, moved, Some(last.parse().ok()?))
            }
            _ => return None,
        };
        let moved = UNIX_EPOCH.checked_add(Duration::from_secs(moved.parse().ok()?))?;
        text.ends_with('\n').then_some((floor.parse().ok()?, last, moved))
    };
    match parse() {
        Some((floor, last, moved)) => Consumer { name, floor: Ok(floor), last, moved: Some(moved) },
        None => {
            let why = format!("\".consumers/{name}\" in the archive is not a consumer's file");
            unreadable(name, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> (tempfile::TempDir, Archive) {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        (dir, archive)
    }

    fn segment(number: u32) -> SegmentName {
        format!("00000001000000000000{number:04X}").parse().unwrap()
    }

    fn floors(archive: &Archive) -> Vec<(String, Floor)> {
        let consumers = archive.consumers().unwrap();
        consumers.into_iter().map(|consumer| (consumer.name.clone(), consumer.floor())).collect()
    }

    #[test]
    fn a_consumer_moves_on_and_never_back() {
        let (_dir, archive) = archive();
        assert_eq!(archive.consumers().unwrap(), []);
        let db3 = "db3".parse().unwrap();
        archive.register_consumer(&db3, segment(5)).unwrap();
        archive.register_consumer(&db3, segment(9)).unwrap();
        let at = |number| [("db3".to_owned(), Floor::From(segment(number).place))];
        assert_eq!(floors(&archive), at(5));
        archive.advance_consumer(&db3, segment(7)).unwrap();
        archive.advance_consumer(&db3, segment(6)).unwrap();
        assert_eq!(floors(&archive), at(7));
        let consumer = &archive.consumers().unwrap()[0];
        assert!(consumer.idle().unwrap() < Duration::from_secs(60));
        let said = consumer.to_string();
        assert!(said.starts_with("db3 needs 000000010000000000000007 and later"), "{said}");
        archive.remove_consumer(&db3).unwrap();
        archive.remove_consumer(&db3).unwrap();
        assert_eq!(floors(&archive), []);
    }

    #[test]
    fn a_new_base_copy_moves_a_consumer_back() {
        let (_dir, archive) = archive();
        let db3 = "db3".parse().unwrap();
        let at = |number| [("db3".to_owned(), Floor::From(segment(number).place))];
        archive.restart_consumer(&db3, segment(5)).unwrap();
        assert_eq!(floors(&archive), at(5));
        archive.advance_consumer(&db3, segment(9)).unwrap();
        archive.restart_consumer(&db3, segment(7)).unwrap();
        assert_eq!(floors(&archive), at(7));
        archive.restart_consumer(&db3, segment(8)).unwrap();
        assert_eq!(floors(&archive), at(7));
        fs::write(archive.path().join(".consumers/db3"), "x").unwrap();
        archive.restart_consumer(&db3, segment(6)).unwrap();
        assert_eq!(floors(&archive), at(6));
    }

    #[test]
    fn a_file_that_is_not_a_consumers_keeps_everything() {
        let (dir, archive) = archive();
        archive.register_consumer(&"db3".parse().unwrap(), segment(5)).unwrap();
        let good = fs::read_to_string(dir.path().join(".consumers/db3")).unwrap();
        for bad in ["", "x", &good[..good.len() - 1], &good[..30], &good.replace('1', "x")] {
            fs::write(dir.path().join(".consumers/db4"), bad).unwrap();
            let found = floors(&archive);
            assert_eq!(found[1], ("db4".to_owned(), Floor::Unknown), "{bad:?}");
            assert!(archive.consumers().unwrap()[1].to_string().contains("not known"));
        }
        archive.advance_consumer(&"db4".parse().unwrap(), segment(6)).unwrap();
        assert_eq!(floors(&archive)[1].1, Floor::From(segment(6).place));
        fs::create_dir(dir.path().join(".consumers/db5")).unwrap();
        assert_eq!(floors(&archive)[2].1, Floor::Unknown);
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_directory() {
        let (_dir, archive) = archive();
        for name in ["..", ".", ".x"] {
            archive.register_consumer(&name.parse().unwrap(), segment(1)).unwrap_err();
        }
    }

    #[test]
    fn a_missing_archive_has_no_known_consumers() {
        let (dir, archive) = archive();
        dir.close().unwrap();
        archive.consumers().unwrap_err();
        archive.register_consumer(&"db3".parse().unwrap(), segment(1)).unwrap_err();
    }
}
