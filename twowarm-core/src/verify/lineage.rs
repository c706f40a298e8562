//! Which segments belong together: the path of each timeline through the archive.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::histories::Histories;
use super::segment_file::SegmentFile;
use super::{Finding, FindingKind, Stretch};
use crate::archive::gap;
use crate::wal::{
    ForkPoint, Lsn, SegmentInHistory, SegmentLayout, SegmentName, SegmentPlace, TimelineHistory,
    TimelineId, WalFileName,
};

/// The timelines that have segments, with their histories.
pub(super) struct Lineages<'a> {
    histories: &'a Histories,
    layout: SegmentLayout,
    /// The index of each segment among the files.
    index: HashMap<SegmentName, usize>,
    /// Every segment, whatever it contains.
    segments: Vec<SegmentName>,
    timelines: BTreeMap<TimelineId, TimelineHistory>,
}

impl<'a> Lineages<'a> {
    pub(super) fn new(
        files: &[SegmentFile],
        histories: &'a Histories,
        layout: SegmentLayout,
    ) -> Lineages<'a> {
        let named = files.iter().enumerate().filter_map(|(i, file)| Some((file.segment()?, i)));
        let index: HashMap<_, _> = named.collect();
        let mut segments: Vec<_> = index.keys().copied().collect();
        segments.sort_unstable_by_key(|name| (name.place, name.timeline));
        let own = |timeline| {
            let history = histories.get(timeline).cloned();
            history.unwrap_or_else(|| TimelineHistory::without_ancestors(timeline))
        };
        let timelines = files.iter().map(|file| file.name.timeline());
        let timelines = timelines.map(|timeline| (timeline, own(timeline))).collect();
        Lineages { histories, layout, index, segments, timelines }
    }

    /// What the names, the histories and the first pages show together.
    pub(super) fn findings(
        &self,
        files: &mut [SegmentFile],
        needed_from: Option<SegmentName>,
    ) -> Vec<Finding> {
        for file in files.iter_mut() {
            self.check_stop(file);
            self.check_timelines(file);
        }
        let mut findings = self.histories.disagreements();
        findings.extend(self.gaps(needed_from));
        findings.extend(self.missing_histories(files));
        findings
    }

    fn history(&self, timeline: TimelineId) -> &TimelineHistory {
        &self.timelines[&timeline]
    }

    /// The segment that a server reads for this part of the log on the way to the end of a timeline.
    fn segment_at(&self, history: &TimelineHistory, place: SegmentPlace) -> Option<SegmentName> {
        let ancestors = history.ancestors().iter().rev().map(|a| a.timeline);
        let with = |wanted| {
            let mut names = std::iter::once(history.timeline())
                .chain(ancestors.clone())
                .map(|timeline| SegmentName { timeline, place });
            names.find(|name| {
                self.index.contains_key(name) && history.locate(*name, self.layout) == wanted
            })
        };
        with(SegmentInHistory::Included).or_else(|| with(SegmentInHistory::AtFork))
    }

    /// The file of the segment whose WAL this one continues.
    pub(super) fn predecessor(&self, file: &SegmentFile) -> Option<usize> {
        let (name, header) = (file.segment_name(), file.header?);
        // The first page may be the ancestor's, and so is the segment before then.
        let timeline = header.first_timeline();
        let before = self.layout.previous(SegmentName { timeline, ..name })?;
        let found = match self.index.contains_key(&before) {
            true => Some(before),
            false => self.segment_at(self.history(name.timeline), before.place),
        };
        self.index.get(&found?).copied()
    }

    fn gaps(&self, needed_from: Option<SegmentName>) -> Vec<Finding> {
        let mut found = BTreeMap::new();
        for history in self.timelines.values() {
            let path: Vec<_> = self.on_the_way(history).collect();
            let mut next = path.first().map(|first| first.place);
            while let Some(place) = next {
                let histories = std::slice::from_ref(history);
                let gap = gap(path.iter().copied(), place, histories, self.layout, &|_| false);
                next = gap.map(|gap| gap.found.place);
                if let Some(gap) = gap {
                    found.insert((gap.missing.place, gap.found.place), gap);
                }
            }
        }
        let findings = found.into_values().map(|gap| {
            let count = self.layout.distance(gap.missing.place, gap.found.place).unwrap_or(1);
            let missing = match count {
                1 => "is missing".to_owned(),
                2 => "and the next segment are missing".to_owned(),
                count => format!("and the next {} segments are missing", count - 1),
            };
            let mut why = format!("{missing}; the next segment in the archive is {}", gap.found);
            if let Some(from) = needed_from.filter(|from| gap.found.place <= from.place) {
                why += &format!(
                    ". The server of this node does not need it: it would start to replay in {from}. This is expected after a switchover and back: WAL that this node wrote as the primary is in the archive of the other node only"
                );
            }
            Finding::new(FindingKind::Gap, &gap.missing.to_string(), why)
        });
        findings.collect()
    }

    /// All segments of a history.
    fn on_the_way(&self, history: &TimelineHistory) -> impl Iterator<Item = SegmentName> {
        self.segments.iter().copied().filter(|&name| {
            let found = history.locate(name, self.layout);
            matches!(found, SegmentInHistory::Included | SegmentInHistory::AtFork)
        })
    }

    /// A server finds a timeline only by its history, and a standby only if no earlier one is missing.
    fn missing_histories(&self, files: &[SegmentFile]) -> Vec<Finding> {
        let mut missing = BTreeMap::new();
        let lowest = self.timelines.keys().next().copied();
        for file in files {
            let timeline = file.name.timeline();
            let is_forked = Some(timeline) > lowest
                || file.header.is_some_and(|header| header.first_timeline() < timeline);
            if is_forked && !self.histories.has_file(timeline) {
                missing.insert(timeline, format!("is missing, but {} exists", file.name));
            }
        }
        let first = self.segments.first().map(|first| first.place);
        for history in self.histories.valid() {
            let pairs = history.ancestors().iter().zip(history.ancestors().iter().skip(1));
            for (parent, ancestor) in pairs {
                let fork = self.place_of(parent.timeline, parent.ends);
                if Some(fork) >= first && !self.histories.has_file(ancestor.timeline) {
                    let descendant = WalFileName::History(history.timeline());
                    let why = format!(
                        "is missing, but {descendant} names timeline {}",
                        ancestor.timeline
                    );
                    missing.entry(ancestor.timeline).or_insert(why);
                }
            }
        }
        let findings = missing.into_iter().map(|(timeline, why)| {
            let name = WalFileName::History(timeline).to_string();
            Finding::new(FindingKind::MissingHistory, &name, why)
        });
        findings.collect()
    }

    fn place_of(&self, timeline: TimelineId, fork: ForkPoint) -> SegmentPlace {
        match fork {
            ForkPoint::Segment(segment) => segment.place,
            ForkPoint::Position(at) => self.layout.containing(timeline, at).place,
        }
    }

    /// The WAL of a segment may end in the middle only where another timeline forked: in a `.partial` file, and
    /// before 9.5 in the segment itself.
    fn check_stop(&self, file: &mut SegmentFile) {
        let (Some(stop), Some(header)) = (&file.stop, file.header) else { return };
        let name = file.segment_name();
        let is_partial = file.segment().is_none();
        let forks = self.histories.valid().filter_map(|history| history.fork_from(name.timeline));
        let mut forks = forks.filter(|&&fork| {
            self.place_of(name.timeline, fork) == name.place
                && fork != ForkPoint::Position(header.start())
        });
        let reaches = |fork: &ForkPoint| match fork {
            ForkPoint::Position(fork) => stop.at >= *fork,
            // Where in the segment it is, is not known.
            ForkPoint::Segment(_) => stop.is_unwritten,
        };
        let names_unfinished = header.major().is_some_and(|m| m.names_unfinished_segments());
        let next = self.layout.next(name);
        let is_last = next.is_none_or(|next| !self.index.contains_key(&next));
        let (kind, allowed) = match stop.is_unfinished {
            false => (FindingKind::Damaged, false),
            true if is_partial => (FindingKind::Incomplete, forks.all(reaches)),
            true => {
                let at_fork = !names_unfinished && is_last && forks.any(reaches);
                (FindingKind::Incomplete, at_fork)
            }
        };
        if !allowed {
            let why = format!("WAL ends at {}: {}", stop.at, stop.why);
            file.find(kind, why);
        }
    }

    /// Pages have the timeline that the history says, and the fork is the start of a record.
    fn check_timelines(&self, file: &mut SegmentFile) {
        let (Some(header), Some(_)) = (file.header, &file.walk) else { return };
        let name = file.segment_name();
        let Some(history) = self.histories.get(name.timeline) else { return };
        let place = history.locate(name, self.layout);
        if place == SegmentInHistory::BeforeStart {
            let why = format!("lies before the start of timeline {}", name.timeline);
            return file.find(FindingKind::OutsideHistory, why);
        }
        let first = header.first_timeline();
        let ancestors = SegmentName { timeline: first, ..name };
        let is_included = matches!(
            history.locate(ancestors, self.layout),
            SegmentInHistory::Included | SegmentInHistory::AtFork
        );
        if first != name.timeline && !is_included && place != SegmentInHistory::AtFork {
            let why = format!(
                "begins with a page of timeline {first}, whose WAL is not in this part of timeline {}",
                name.timeline
            );
            return file.find(FindingKind::OutsideHistory, why);
        }
        let Some(ForkPoint::Position(fork)) = history.begins() else { return };
        let block_size = u64::from(header.block_size());
        let page = Lsn(fork.0 - fork.0 % block_size);
        let is_within =
            fork.0 > header.start().0 && fork.0 - header.start().0 < self.layout.size().bytes();
        // The page that contains the fork was copied from the parent, unless the parent had not begun it.
        let expected = [page, Lsn(page.0 + block_size)];
        if let Some(from) = file.own_timeline_from
            && is_within
            && !expected[usize::from(fork.0 - page.0 > 64)..].contains(&from)
        {
            let why = format!(
                "pages of timeline {} begin at {from}, but its history says that it forked at {fork}",
                name.timeline
            );
            file.find(FindingKind::OutsideHistory, why);
        }
    }

    /// For each timeline with segments, the WAL that replays. There must be no findings.
    pub(super) fn stretches(&self, files: &[SegmentFile]) -> Vec<Stretch> {
        let stretch = |history: &TimelineHistory| {
            let places: BTreeSet<_> = self.on_the_way(history).map(|name| name.place).collect();
            let path: Vec<_> =
                places.into_iter().filter_map(|place| self.segment_at(history, place)).collect();
            let walk = |name: &SegmentName| files[self.index[name]].walk.as_ref();
            let with_record = |name: &&SegmentName| walk(name)?.first_record();
            let (first, last) = (*path.first()?, *path.last()?);
            let header = files[self.index[&first]].header?;
            let from = match header.continues() {
                false => header.start(),
                true => path.iter().find_map(|name| with_record(&name))?,
            };
            let last_record = path.iter().rev().find(|name| with_record(name).is_some())?;
            let to = walk(last_record)?.sound_to();
            let timeline = history.timeline();
            Some(Stretch { timeline, from, to, first, last, segments: path.len() })
        };
        let own: BTreeSet<_> = self.segments.iter().map(|name| name.timeline).collect();
        let own = self.timelines.values().filter(|history| own.contains(&history.timeline()));
        own.filter_map(stretch).collect()
    }
}
