use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Floor;
use crate::wal::{BackupLabel, SegmentLayout, SegmentName, TimelineId};

/// Segments that are kept for point-in-time recovery, although no standby needs them any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// Those of this many days, by their modification times.
    pub days: Option<u32>,
    /// This many before the newest one.
    pub segments: Option<u64>,
    /// Those since the base copy from which the data directory was made, by its backup label.
    pub since_copy: bool,
}

/// How many consecutive segments may be missing before the ones before them count as removed.
const MISSING: u64 = 16;
/// How many timelines are looked for: the newest one and the seven before it.
const TIMELINES: u32 = 8;

impl Keep {
    /// Whether anything is to be kept.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self != Keep::default()
    }

    /// What must be kept in an archive whose newest segment is this one. The cost does not depend on the size of the
    /// archive. What can't be determined keeps everything.
    #[must_use]
    pub fn floors(
        &self,
        archive: &Path,
        newest: SegmentName,
        layout: SegmentLayout,
        data_directory: Option<&Path>,
    ) -> Vec<Floor> {
        let floor = |number: Option<u64>| {
            number.and_then(|number| layout.place(number)).map_or(Floor::Unknown, Floor::From)
        };
        let Ok(number) = layout.number(newest.place) else { return vec![Floor::Unknown] };
        let mut floors = Vec::new();
        if let Some(segments) = self.segments {
            floors.push(floor(number.checked_sub(segments)));
        }
        if let Some(days) = self.days {
            let age = Duration::from_secs(u64::from(days) * 86_400);
            let since = SystemTime::now().checked_sub(age);
            let dated = Dated { archive, newest: newest.timeline, layout };
            floors.push(floor(since.and_then(|since| dated.first_since(since, number))));
        }
        if self.since_copy {
            let label = data_directory.and_then(label_of);
            floors.push(
                label.map_or(Floor::Unknown, |label| Floor::From(label.start_segment().place)),
            );
        }
        floors
    }
}

/// The label of the base copy; from the first start on, the server has renamed it.
fn label_of(data_directory: &Path) -> Option<BackupLabel> {
    let text = ["backup_label", "backup_label.old"]
        .iter()
        .find_map(|name| fs::read(data_directory.join(name)).ok())?;
    BackupLabel::parse(&text).ok()
}

/// The segments of an archive by their modification times.
struct Dated<'a> {
    archive: &'a Path,
    newest: TimelineId,
    layout: SegmentLayout,
}

impl Dated<'_> {
    /// The first segment that was written since a time, found from the newest one backwards, in steps that double.
    fn first_since(&self, since: SystemTime, newest: u64) -> Option<u64> {
        let is_young = |number: u64| {
            let from = number.saturating_sub(MISSING);
            let found = (from..=number).rev().find_map(|number| self.modified(number));
            found.is_some_and(|modified| modified >= since)
        };
        let (mut young, mut step) = (newest, 1);
        let mut old = loop {
            let earlier = newest.checked_sub(step)?;
            if !is_young(earlier) {
                break earlier;
            }
            young = earlier;
            step *= 2;
        };
        while young - old > 1 {
            let middle = old + (young - old) / 2;
            if is_young(middle) { young = middle } else { old = middle }
        }
        Some(young)
    }

    fn modified(&self, number: u64) -> Option<SystemTime> {
        let place = self.layout.place(number)?;
        let newest = self.newest.number();
        let timelines = (newest.saturating_sub(TIMELINES - 1).max(1)..=newest).rev();
        timelines.filter_map(|timeline| TimelineId::new(timeline).ok()).find_map(|timeline| {
            let path = self.archive.join(SegmentName { timeline, place }.to_string());
            fs::metadata(path).ok()?.modified().ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::SegmentSize;

    const DAY: Duration = Duration::from_secs(86_400);

    fn layout() -> SegmentLayout {
        SegmentLayout::new("15".parse().unwrap(), SegmentSize::DEFAULT)
    }

    fn segment(number: u64) -> SegmentName {
        SegmentName { timeline: TimelineId::FIRST, place: layout().place(number).unwrap() }
    }

    /// An archive with a segment for each of these ages, in days, the first one with number 100.
    fn archive(ages: &[Option<u32>]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (number, age) in (100..).zip(ages) {
            if let Some(age) = age {
                let file = fs::File::create(dir.path().join(segment(number).to_string())).unwrap();
                file.set_modified(SystemTime::now() - DAY * *age).unwrap();
            }
        }
        dir
    }

    fn kept(keep: Keep, ages: &[Option<u32>], pgdata: Option<&Path>) -> Vec<Option<u64>> {
        let dir = archive(ages);
        let newest = segment(99 + ages.len() as u64);
        let floors = keep.floors(dir.path(), newest, layout(), pgdata).into_iter();
        floors
            .map(|floor| match floor {
                Floor::From(place) => layout().number(place).ok(),
                Floor::Unknown => None,
            })
            .collect()
    }

    #[test]
    fn segments_are_kept_by_age() {
        let by = |days| Keep { days: Some(days), ..Keep::default() };
        let ages: Vec<_> = (0..60).rev().map(Some).collect();
        for days in [1, 3, 10, 50] {
            // One that is exactly so old has just become older.
            let first = 159 - u64::from(days) + 1;
            assert_eq!(kept(by(days), &ages, None), [Some(first)], "{days}");
        }
        // Gaps are not taken for the end.
        let gaps = ages.iter().enumerate().map(|(n, age)| age.filter(|_| n % 15 == 14));
        let gaps: Vec<_> = gaps.collect();
        assert!(kept(by(40), &gaps, None)[0].unwrap() <= 129);
        // All are young.
        assert_eq!(kept(by(1000), &ages, None)[0].map(|first| first <= 100), Some(true));
    }

    #[test]
    fn segments_are_kept_by_number_and_since_the_copy() {
        let ages = [Some(0); 20];
        let by = |segments| Keep { segments: Some(segments), ..Keep::default() };
        assert_eq!(kept(by(5), &ages, None), [Some(114)]);
        assert_eq!(kept(by(1000), &ages, None), [None]);
        let copy = Keep { since_copy: true, ..Keep::default() };
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(kept(copy, &ages, Some(dir.path())), [None], "no label");
        let label = "START WAL LOCATION: 0/6A000028 (file 00000001000000000000006A)\nCHECKPOINT LOCATION: 0/6A000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2025-01-01 00:00:00 UTC\nLABEL: x\nSTART TIMELINE: 1\n";
        fs::write(dir.path().join("backup_label.old"), label).unwrap();
        assert_eq!(kept(copy, &ages, Some(dir.path())), [Some(0x6A)]);
        assert_eq!(kept(Keep::default(), &ages, None), []);
    }
}
