use std::collections::HashMap;

use super::{Finding, FindingKind};
use crate::wal::{ForkPoint, TimelineHistory, TimelineId, WalFileName};

/// The timeline history files of an archive; `None` for an invalid one.
pub(super) struct Histories {
    by_timeline: HashMap<TimelineId, Option<TimelineHistory>>,
}

impl Histories {
    pub(super) fn new(by_timeline: HashMap<TimelineId, Option<TimelineHistory>>) -> Histories {
        Histories { by_timeline }
    }

    /// The valid ones.
    pub(super) fn valid(&self) -> impl Iterator<Item = &TimelineHistory> {
        self.by_timeline.values().flatten()
    }

    pub(super) fn get(&self, timeline: TimelineId) -> Option<&TimelineHistory> {
        self.by_timeline.get(&timeline)?.as_ref()
    }

    /// Whether there is a file, valid or not.
    pub(super) fn has_file(&self, timeline: TimelineId) -> bool {
        self.by_timeline.contains_key(&timeline)
    }

    /// A history repeats that of each of its ancestors.
    pub(super) fn disagreements(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for history in self.valid() {
            for (index, ancestor) in history.ancestors().iter().enumerate() {
                let Some(own) = self.get(ancestor.timeline) else { continue };
                let forks = |history: &TimelineHistory,
                             count: usize|
                 -> Vec<(TimelineId, ForkPoint)> {
                    history.ancestors().iter().take(count).map(|a| (a.timeline, a.ends)).collect()
                };
                if forks(history, index) != forks(own, usize::MAX) {
                    let name = WalFileName::History(history.timeline()).to_string();
                    let other = WalFileName::History(ancestor.timeline);
                    let why = format!(
                        "contradicts {other}: the ancestors of timeline {} differ",
                        ancestor.timeline
                    );
                    findings.push(Finding::new(FindingKind::HistoriesDisagree, &name, why));
                }
            }
        }
        findings
    }
}
