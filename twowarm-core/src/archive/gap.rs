#[cfg(feature = "server")]
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Archive, ArchiveError};
use crate::data_directory::{Reached, redo_place};
use crate::timelines::Timelines;
use crate::wal::{
    ControlFile, Expected, PageHeader, SegmentInHistory, SegmentLayout, SegmentName, SegmentPlace,
    TimelineHistory, check_segment_header,
};

/// A segment that a standby still needs is missing, and a later one is in the archive. A failover would end
/// recovery before the missing one and lose the WAL of the later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first segment that is missing.
    pub missing: SegmentName,
    /// The first later one in the archive.
    pub found: SegmentName,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is missing but {} is here", self.missing, self.found)
    }
}

/// The first gap in these segments from `next` on, the position of the next one that the standby needs.
///
/// `histories` are those of the timeline that the standby replays, which comes first, and of its descendants:
/// a segment may have the name of any timeline that contains it. `has` answers for a segment that is not in
/// the listing.
pub(crate) fn gap(
    listing: impl IntoIterator<Item = SegmentName>,
    next: SegmentPlace,
    histories: &[TimelineHistory],
    layout: SegmentLayout,
    has: &dyn Fn(SegmentName) -> bool,
) -> Option<Gap> {
    let counts = |name: SegmentName| {
        histories.iter().any(|history| {
            matches!(
                history.locate(name, layout),
                SegmentInHistory::Included | SegmentInHistory::AtFork
            )
        })
    };
    let there = listing.into_iter().filter(|name| name.place >= next && counts(*name));
    let mut there: Vec<SegmentName> = there.collect();
    there.sort_unstable_by_key(|name| name.place);
    let timelines: BTreeSet<_> = histories
        .iter()
        .flat_map(|h| h.ancestors().iter().map(|a| a.timeline).chain([h.timeline()]))
        .collect();
    let has = |place| {
        let names = timelines.iter().map(|&timeline| SegmentName { timeline, place });
        names.into_iter().any(|name| counts(name) && has(name))
    };
    let mut expected = layout.number(next).ok()?;
    for found in there {
        let number = layout.number(found.place).ok()?;
        while expected < number {
            let place = layout.place(expected)?;
            if !has(place) {
                let timeline = histories.first()?.newest_with(place, layout)?;
                return Some(Gap { missing: SegmentName { timeline, place }, found });
            }
            expected += 1;
        }
        // Two timelines can have a segment of the same position.
        expected = expected.max(number + 1);
    }
    None
}

impl Archive {
    /// The first gap after which the server of a data directory can't replay the archive's segments. `next`
    /// is the next segment that it needs. A segment in the server's own WAL directory is not missing.
    ///
    /// # Errors
    /// If the archive can't be read.
    pub fn gap_after(
        &self,
        next: SegmentName,
        control: &ControlFile,
        data_directory: &Path,
    ) -> Result<Option<Gap>, ArchiveError> {
        let timelines = Timelines::new(self.path(), Some(data_directory));
        let mut histories = vec![own_history(&timelines, next)?];
        let later = timelines.archived_after(next.timeline)?;
        histories.extend(later.into_iter().filter(|later| later.is_ancestor(next.timeline)));
        let (listing, wal) = (self.segments()?, wal_directories(data_directory));
        let expected = Expected::of(control);
        let has = |name| wal.iter().any(|wal| has_segment(wal, name, &expected));
        Ok(gap(listing, next.place, &histories, control.layout(), &has))
    }
}

/// The history of a segment's timeline.
fn own_history(
    timelines: &Timelines<'_>,
    segment: SegmentName,
) -> Result<TimelineHistory, ArchiveError> {
    let own = timelines.history(segment.timeline)?;
    Ok(own.unwrap_or_else(|| TimelineHistory::without_ancestors(segment.timeline)))
}

/// A server's WAL directory, from 10 on and before.
fn wal_directories(data_directory: &Path) -> [PathBuf; 2] {
    ["pg_wal", "pg_xlog"].map(|wal| data_directory.join(wal))
}

/// What a standby's server has restored since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// Nothing: it is not running, or has requested only its first segment.
    Nothing,
    /// Segments up to this one.
    Segment(SegmentName),
    /// It has restored segments, but which ones is not known.
    Unknown,
}

impl Archive {
    /// The first gap that would end recovery in a failover of the server of a data directory.
    ///
    /// # Errors
    /// If the archive can't be read.
    pub fn gap_of_standby(
        &self,
        given: Given,
        control: &ControlFile,
        data_directory: &Path,
    ) -> Result<Option<Gap>, ArchiveError> {
        let next = next_needed(given, control, data_directory);
        match self.gap_after(next, control, data_directory)? {
            // It existed when the server started, and was removed after it had been replayed.
            Some(gap) if given == Given::Unknown && gap.missing.place == next.place => {
                let next = SegmentName { timeline: next.timeline, ..gap.found };
                self.gap_after(next, control, data_directory)
            }
            gap => Ok(gap),
        }
    }
}

#[cfg(feature = "server")]
impl Archive {
    /// The archive's segments that the server of a data directory still needs, in order, as far as it does not have
    /// them in its own WAL directory. None if it is not known what it has restored.
    ///
    /// # Errors
    /// If the archive can't be read.
    pub(crate) fn needed_by_standby(
        &self,
        given: Given,
        control: &ControlFile,
        data_directory: &Path,
    ) -> Result<Vec<SegmentName>, ArchiveError> {
        if given == Given::Unknown {
            return Ok(Vec::new());
        }
        let next = next_needed(given, control, data_directory);
        let history = own_history(&Timelines::new(self.path(), Some(data_directory)), next)?;
        let (layout, expected) = (control.layout(), Expected::of(control));
        let rank = |name: SegmentName| match history.locate(name, layout) {
            SegmentInHistory::Included => Some(1),
            SegmentInHistory::AtFork => Some(0),
            _ => None,
        };
        let wal = wal_directories(data_directory);
        let is_needed = |name: &SegmentName| {
            let is_own = || wal.iter().any(|wal| has_segment(wal, *name, &expected));
            name.place >= next.place && rank(*name).is_some() && !is_own()
        };
        let mut needed: Vec<_> = self.segments()?.into_iter().filter(is_needed).collect();
        // The server requests the segment of the newest timeline.
        needed.sort_by_key(|name| (name.place, Reverse((rank(*name), name.timeline))));
        needed.dedup_by_key(|name| name.place);
        Ok(needed)
    }
}

/// The next segment that the server of a data directory needs: the one after the last one that it restored,
/// else the one in which its replay starts.
fn next_needed(given: Given, control: &ControlFile, data_directory: &Path) -> SegmentName {
    let place = redo_place(data_directory, control);
    let timeline = Reached::of(control).timeline;
    let after = match given {
        Given::Segment(name) => control.layout().next(name),
        Given::Nothing | Given::Unknown => None,
    };
    match after {
        Some(after) if after.place > place => {
            SegmentName { timeline: after.timeline.max(timeline), ..after }
        }
        _ => SegmentName { timeline, place },
    }
}

/// Whether a directory has this segment. In a WAL directory a file of its name may also be an older one that the
/// server has recycled.
pub(crate) fn has_segment(directory: &Path, name: SegmentName, expected: &Expected) -> bool {
    let Ok(mut file) = File::open(directory.join(name.to_string())) else { return false };
    let mut first_page = Vec::with_capacity(PageHeader::MAX_BYTES);
    let read = Read::by_ref(&mut file)
        .take(PageHeader::MAX_BYTES as u64)
        .read_to_end(&mut first_page)
        .and_then(|_| file.metadata());
    read.is_ok_and(|found| check_segment_header(&first_page, name, found.len(), expected).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::version::PgMajor;
    use crate::wal::{SegmentSize, TimelineId};
    use std::fs;

    fn layout(major: &str) -> SegmentLayout {
        SegmentLayout::new(major.parse::<PgMajor>().unwrap(), SegmentSize::DEFAULT)
    }

    fn name(text: &str) -> SegmentName {
        text.parse().unwrap()
    }

    fn one() -> TimelineHistory {
        TimelineHistory::without_ancestors(TimelineId::FIRST)
    }

    fn two(forked_at: &str) -> TimelineHistory {
        let text = format!("1\t{forked_at}\tno recovery target specified\n");
        TimelineHistory::parse(TimelineId::new(2).unwrap(), text.as_bytes()).unwrap()
    }

    /// The gap of 15 from 00000001000000000000007A on, in last digits: `1:7B` is timeline 1's.
    fn found(listing: &[&str], histories: &[TimelineHistory]) -> Option<(String, String)> {
        let long =
            |text: &&str| name(&format!("0000000{}00000000000000{}", &text[..1], &text[2..]));
        let next = long(&"1:7A").place;
        let found = gap(listing.iter().map(long), next, histories, layout("15"), &|_| false)?;
        let short = |name: SegmentName| {
            let text = name.to_string();
            format!("{}:{}", &text[7..8], &text[22..])
        };
        Some((short(found.missing), short(found.found)))
    }

    fn pair(missing: &str, found: &str) -> Option<(String, String)> {
        Some((missing.into(), found.into()))
    }

    #[test]
    fn a_later_segment_without_the_next_one_is_a_gap() {
        assert_eq!(found(&["1:78", "1:79", "1:7B", "1:7C"], &[one()]), pair("1:7A", "1:7B"));
        assert_eq!(found(&["1:7E", "1:7A", "1:7B"], &[one()]), pair("1:7C", "1:7E"));
        for complete in [&[][..], &["1:79"], &["1:77", "1:79"], &["1:7A", "1:7B"]] {
            assert_eq!(found(complete, &[one()]), None, "{complete:?}");
        }
        let text = gap(
            [name("00000001000000000000007B")],
            name("00000001000000000000007A").place,
            &[one()],
            layout("15"),
            &|_| false,
        );
        let text = text.unwrap().to_string();
        assert_eq!(
            text,
            "00000001000000000000007A is missing but 00000001000000000000007B is here"
        );
    }

    #[test]
    fn a_segment_may_have_the_name_of_each_timeline_that_contains_it() {
        // In the middle of 7B, and at its beginning.
        for fork in ["0/7B800000", "0/7B000000"] {
            let both = [one(), two(fork)];
            assert_eq!(found(&["1:7A", "2:7B", "2:7C"], &both), None, "{fork}");
            assert_eq!(found(&["2:7B", "2:7C"], &both), pair("1:7A", "2:7B"), "{fork}");
            assert_eq!(found(&["1:7A", "1:7B", "2:7C"], &both), None, "{fork}");
            assert_eq!(found(&["2:7B"], &[one()]), None, "of an unknown timeline");
            // The standby replays timeline 2 and has not reached the fork.
            assert_eq!(found(&["1:7A", "2:7C"], &both[1..]), pair("2:7B", "2:7C"), "{fork}");
            assert_eq!(found(&["2:7B"], &both[1..]), pair("1:7A", "2:7B"), "{fork}");
        }
        // A standby that follows timeline 2 never needs the WAL of timeline 1 after the fork.
        assert_eq!(found(&["1:7A", "1:7C"], &[two("0/7B000000")]), None);
    }

    #[test]
    fn before_9_3_the_last_segment_of_a_log_id_is_not_missing() {
        let listing = ["0000000100000000000000FE", "000000010000000100000000"].map(name);
        let next = listing[0].place;
        let of = |major| gap(listing, next, &[one()], layout(major), &|_| false);
        assert_eq!(of("9.2"), None);
        assert_eq!(of("9.3").unwrap().missing, name("0000000100000000000000FF"));
    }

    #[test]
    fn segments_of_the_server_are_not_missing_unless_they_are_recycled_files() {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/15");
        let control = fs::read(samples.join("pg_control")).unwrap();
        let control = ControlFile::parse(&control).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (archive, wal) = (dir.path().join("archive"), dir.path().join("pg_wal"));
        [&archive, &wal].into_iter().for_each(|made| fs::create_dir(made).unwrap());
        let next = next_needed(Given::Nothing, &control, dir.path());
        let after = control.layout().next(next).unwrap();
        let last = control.layout().next(after).unwrap();
        fs::write(archive.join(last.to_string()), "").unwrap();
        fs::write(archive.join(format!("{next}.partial")), "").unwrap();
        let gap =
            || Archive::open(&archive).unwrap().gap_after(next, &control, dir.path()).unwrap();
        assert_eq!(gap(), Some(Gap { missing: next, found: last }));
        let of = |given| {
            let archive = Archive::open(&archive).unwrap();
            archive.gap_of_standby(given, &control, dir.path()).unwrap()
        };
        assert_eq!(of(Given::Nothing), gap());
        assert_eq!(of(Given::Segment(next)), Some(Gap { missing: after, found: last }));
        assert_eq!(of(Given::Unknown), None, "it was replayed and removed");
        let has = |name: SegmentName, content: SegmentName| {
            let page = first_page(content, &control);
            let file = File::create(wal.join(name.to_string())).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &page, 0).unwrap();
            file.set_len(control.segment_size.bytes()).unwrap();
        };
        has(next, next);
        assert_eq!(gap(), Some(Gap { missing: after, found: last }));
        assert_eq!(of(Given::Unknown), gap(), "the segments after it never existed");
        has(after, next);
        assert_eq!(gap(), Some(Gap { missing: after, found: last }));
        has(after, after);
        assert_eq!(gap(), None);
    }

    /// A first page as 15 writes it.
    fn first_page(name: SegmentName, control: &ControlFile) -> Vec<u8> {
        let mut page = vec![0; control.wal_block_size as usize];
        let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &control.major.unwrap().wal_magic().unwrap().to_le_bytes());
        put(2, &2u16.to_le_bytes());
        put(4, &name.timeline.number().to_le_bytes());
        put(8, &control.layout().start(name.place).unwrap().0.to_le_bytes());
        put(24, &control.system_identifier.to_le_bytes());
        put(32, &(control.segment_size.bytes() as u32).to_le_bytes());
        put(36, &control.wal_block_size.to_le_bytes());
        page
    }

    #[test]
    fn the_next_segment_follows_the_last_restored_one_or_the_redo_position() {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/15");
        let control = fs::read(samples.join("pg_control")).unwrap();
        let control = ControlFile::parse(&control).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let layout = control.layout();
        let next = |given| next_needed(given, &control, dir.path());
        let start = next(Given::Nothing);
        assert_eq!(start.place, redo_place(dir.path(), &control));
        assert_eq!(next(Given::Unknown), start);
        let later = layout.next(start).unwrap();
        assert_eq!(next(Given::Segment(start)), later);
        let earlier = layout.previous(layout.previous(start).unwrap()).unwrap();
        assert_eq!(next(Given::Segment(earlier)), start);
        let on_two = SegmentName { timeline: TimelineId::new(2).unwrap(), ..start };
        assert_eq!(next(Given::Segment(on_two)).timeline, on_two.timeline);
    }

    proptest! {
        #[test]
        fn a_gap_is_the_first_missing_segment_below_an_existing_one(
            numbers in proptest::collection::btree_set(240u64..270, 0..20),
            own in proptest::collection::btree_set(240u64..270, 0..10),
            next in 238u64..262,
            major in prop_oneof![Just("9.2"), Just("9.3"), Just("18")],
        ) {
            let layout = layout(major);
            let at = |number| SegmentName {
                timeline: TimelineId::FIRST,
                place: layout.place(number).unwrap(),
            };
            let number = |name: SegmentName| layout.number(name.place).unwrap();
            let listing = numbers.iter().map(|&n| at(n));
            let has = |name| own.contains(&number(name));
            let is_there = |n: &u64| numbers.contains(n) || own.contains(n);
            let last = numbers.range(next..).next_back().copied().unwrap_or(next);
            let hole = (next..last).find(|n| !is_there(n));
            let found = gap(listing, at(next).place, &[one()], layout, &has);
            prop_assert_eq!(found.map(|gap| number(gap.missing)), hole);
            let after = hole.and_then(|hole| numbers.range(hole..).next().copied());
            prop_assert_eq!(found.map(|gap| number(gap.found)), after);
        }
    }
}
