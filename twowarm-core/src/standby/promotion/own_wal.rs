//! WAL that only the server's own WAL directory has, because it was streamed or copied there by hand, is put into the
//! archive.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::PromotionError;
use super::archive_question::Line;
use crate::archive::{Archive, Given, Stored, is_whole, next_needed, wal_directories};
use crate::data_directory::Reached;
use crate::file_error::{FileError, if_exists};
use crate::timelines::Timelines;
use crate::wal::{
    ControlFile, Expected, ForkPoint, SegmentInHistory, SegmentName, SegmentPlace, TimelineHistory,
    TimelineId, WalFileName,
};

/// The history of the timeline that a standby replays.
///
/// pg_control tells a newer timeline only after a restart point; from 9.2 on the server has the histories of the
/// timelines that it follows in its WAL directory.
pub(super) fn replayed_history(
    archive: &Path,
    given: Given,
    control: &ControlFile,
    data_directory: &Path,
) -> Result<TimelineHistory, PromotionError> {
    let timelines = Timelines::new(archive, Some(data_directory));
    let restored = match given {
        Given::Segment(segment) => segment.timeline,
        Given::Unknown | Given::Nothing => TimelineId::FIRST,
    };
    let timeline = Reached::of(control).timeline.max(restored);
    let is_followed = |history: &TimelineHistory| {
        let name = WalFileName::History(history.timeline()).to_string();
        wal_directories(data_directory).iter().any(|wal| wal.join(&name).exists())
    };
    let mut followed = timelines.history(timeline)?;
    for later in timelines.descendants(timeline) {
        followed = Some(later?).filter(is_followed).or(followed);
    }
    Ok(followed.unwrap_or_else(|| TimelineHistory::without_ancestors(timeline)))
}

/// Puts all whole segments of a history, up to one of its timelines, that the server's WAL directory has and the archive
/// lacks into the archive, from the archive's first one on; into an empty archive from the one in which replay starts.
/// Until this time.
pub(super) fn keep_segments(
    archive: &Archive,
    (history, up_to): (&TimelineHistory, TimelineId),
    control: &ControlFile,
    data_directory: &Path,
    until: Instant,
    tell: &mut dyn FnMut(Line),
) -> Result<(), PromotionError> {
    let layout = control.layout();
    let is_own = |name: &SegmentName| history.locate(*name, layout) == SegmentInHistory::Included;
    let archived: BTreeSet<SegmentPlace> =
        archive.segments()?.into_iter().filter(is_own).map(|name| name.place).collect();
    let redo = || next_needed(Given::Nothing, control, data_directory).place;
    let first = archived.first().copied().unwrap_or_else(redo);
    let wanted = |name: &SegmentName| {
        name.place >= first
            && name.timeline <= up_to
            && !archived.contains(&name.place)
            && history.newest_with(name.place, layout) == Some(name.timeline)
    };
    for (name, path) in own_segments(data_directory)?.into_iter().filter(|(name, _)| wanted(name)) {
        if Instant::now() >= until {
            tell(Line::NotKept(name, "there was no time left".into()));
            break;
        }
        let expected = Expected::of(control);
        let is_whole = |file: &mut fs::File| is_whole(file, name, &expected);
        match archive.put_copy(WalFileName::Segment(name), &path, is_whole) {
            Ok(Some(Stored::New)) => tell(Line::Kept(WalFileName::Segment(name))),
            Ok(_) => tell(Line::Alive),
            Err(error) => {
                tell(Line::NotKept(name, error.to_string()));
                break;
            }
        }
    }
    Ok(())
}

/// The segments of the server's WAL directory by name. Not each has the content of its name.
fn own_segments(data_directory: &Path) -> Result<Vec<(SegmentName, PathBuf)>, FileError> {
    let mut found = Vec::new();
    for wal in wal_directories(data_directory) {
        let Some(entries) = if_exists(fs::read_dir(&wal)).map_err(FileError::of("list", &wal))?
        else {
            continue;
        };
        for entry in entries {
            let entry = entry.map_err(FileError::of("list", &wal))?;
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.parse().ok());
            found.extend(name.map(|name| (name, entry.path())));
        }
    }
    found.sort_unstable_by_key(|(name, _): &(SegmentName, _)| (name.place, name.timeline));
    Ok(found)
}

/// The history of the timeline that a promotion of this node began when it left another one.
pub(super) fn begun_timeline(
    archive: &Archive,
    left: TimelineId,
    data_directory: &Path,
) -> Result<Option<TimelineHistory>, PromotionError> {
    let own = Timelines::new(archive.path(), Some(data_directory)).in_wal_directory()?;
    let next = own.into_iter().filter(|history| history.parent() == Some(left));
    Ok(next.max_by_key(TimelineHistory::timeline))
}

/// Puts the history of the timeline that a promotion began into the archive of the promoted node. Its own archive_command
/// ships it to other nodes only. Through 9.2 a history does not tell the position of the fork; then the first segment of
/// the timeline too, by which an old primary finds it.
pub(super) fn keep_new_timeline(
    archive: &Archive,
    history: &TimelineHistory,
    control: &ControlFile,
    data_directory: &Path,
    tell: &mut dyn FnMut(Line),
) -> Result<(), PromotionError> {
    let timeline = history.timeline();
    let name = WalFileName::History(timeline);
    if archive.put(name, history.as_bytes())? == Stored::New {
        tell(Line::Kept(name));
    }
    if let Some(ForkPoint::Segment(fork)) = history.begins() {
        let first = SegmentName { timeline, ..*fork };
        let name = WalFileName::Segment(first);
        let expected = Expected::of(control);
        for wal in wal_directories(data_directory) {
            let path = wal.join(first.to_string());
            let is_whole = |file: &mut fs::File| is_whole(file, first, &expected);
            if archive.put_copy(name, &path, is_whole)? == Some(Stored::New) {
                tell(Line::Kept(name));
            }
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "ship"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::data_directory::control_file;

    /// Streaming can have brought whole segments of the old timeline from after the fork.
    #[test]
    fn after_a_promotion_only_segments_of_the_new_history_are_kept() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/18-1MB");
        let dir = tempfile::tempdir().unwrap();
        let [directory, pgdata] = ["archive", "data"].map(|name| dir.path().join(name));
        for made in [&directory, &pgdata.join("global"), &pgdata.join("pg_wal")] {
            fs::create_dir_all(made).unwrap();
        }
        fs::copy(sample.join("pg_control"), pgdata.join("global/pg_control")).unwrap();
        fs::write(directory.join("000000010000000000000018"), "").unwrap();
        for name in ["000000010000000000000019", "00000001000000000000001A"] {
            let packed = fs::read(sample.join(format!("wal/{name}.zst"))).unwrap();
            let content = zstd::decode_all(&packed[..]).unwrap();
            fs::write(pgdata.join("pg_wal").join(name), content).unwrap();
        }
        let archive = Archive::open(&directory).unwrap();
        let begun = || begun_timeline(&archive, TimelineId::FIRST, &pgdata).unwrap();
        assert_eq!(begun(), None);
        let control = control_file(&pgdata).unwrap().unwrap();
        for (fork, expected) in [("0/1A00100", 2), ("0/1B00000", 3)] {
            fs::write(pgdata.join("pg_wal/00000002.history"), format!("1\t{fork}\tx\n")).unwrap();
            let (history, until) = (begun().unwrap(), Instant::now() + Duration::from_secs(600));
            let kept = (&history, TimelineId::FIRST);
            keep_segments(&archive, kept, &control, &pgdata, until, &mut |_| {}).unwrap();
            assert_eq!(archive.segments().unwrap().len(), expected, "{fork}");
        }
    }
}
