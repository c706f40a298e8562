use std::fmt;

use super::{Lsn, SegmentLayout, SegmentName, SegmentPlace, TimelineId};

/// A timeline history file (`TTTTTTTT.history`) of any version, with its text: the ancestors of a timeline and
/// where each of them was left.
///
/// Timeline 1 has no history file. To a server a missing history file means
/// [no ancestors](TimelineHistory::without_ancestors).
///
/// ```
/// use twowarm_core::version::PgMajor;
/// use twowarm_core::wal::{SegmentInHistory, SegmentLayout, SegmentSize, TimelineHistory, TimelineId};
///
/// let history = TimelineHistory::parse(TimelineId::new(2)?, b"1\t0/3000158\tno recovery target specified\n")?;
/// assert_eq!(history.parent(), Some(TimelineId::FIRST));
/// let layout = SegmentLayout::new(PgMajor::NEWEST, SegmentSize::DEFAULT);
/// let (before, after) = ("000000010000000000000003".parse()?, "000000010000000000000004".parse()?);
/// assert_eq!(history.locate(before, layout), SegmentInHistory::Included);
/// assert_eq!(history.locate(after, layout), SegmentInHistory::PastFork);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineHistory {
    timeline: TimelineId,
    ancestors: Vec<Ancestor>,
    text: Vec<u8>,
}

/// One line of a history: an ancestor, and where the next timeline forked from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// The timeline of the ancestor.
    pub timeline: TimelineId,
    /// Where the next timeline forked from it.
    pub ends: ForkPoint,
    /// Why recovery ended there, as the server wrote it; bytes that are not UTF-8 are replaced.
    pub reason: String,
}

/// Where one timeline forked from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForkPoint {
    /// Through 9.2: the segment of the ancestor that contains the fork.
    Segment(SegmentName),
    /// From 9.3 on: the first position that belongs to the new timeline.
    Position(Lsn),
}

/// Whether a segment belongs to a timeline's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SegmentInHistory {
    /// The segment belongs to the history. The segment that contains a fork does so on both timelines.
    Included,
    /// A segment of an ancestor that lies after the fork: this timeline does not contain its WAL.
    PastFork,
    /// The segment that ends exactly at the fork, under the name of the new timeline. 9.3 and 9.4 create it
    /// at the promotion as a copy of the ancestor's; from 9.5 on it never exists, but servers before the minor
    /// releases of May 2020 request it.
    AtFork,
    /// A segment that lies before the start of its timeline; it never exists.
    BeforeStart,
    /// A segment of a timeline that is not in the history, or one that does not exist in the layout.
    Unrelated,
}

impl TimelineHistory {
    /// Parses the history file of this timeline as strictly as the server does: comments, blank lines and any
    /// text after the fork point are accepted; ancestors must be in ascending order.
    ///
    /// # Errors
    /// If a server would refuse the file.
    pub fn parse(timeline: TimelineId, text: &[u8]) -> Result<TimelineHistory, HistoryError> {
        let mut ancestors: Vec<Ancestor> = Vec::new();
        for (index, bytes) in text.split(|&b| b == b'\n').enumerate() {
            let line = index + 1;
            let content = String::from_utf8_lossy(bytes);
            if content.trim().is_empty() || content.trim_start().starts_with('#') {
                continue;
            }
            let bad =
                || HistoryError::BadLine { timeline, line, text: content.clone().into_owned() };
            let ancestor = Ancestor::parse(&content).ok_or_else(bad)?;
            if ancestors.last().is_some_and(|last| last.timeline >= ancestor.timeline) {
                return Err(HistoryError::OutOfOrder { timeline, line, found: ancestor.timeline });
            }
            if ancestor.timeline >= timeline {
                return Err(HistoryError::NotAnAncestor {
                    timeline,
                    line,
                    found: ancestor.timeline,
                });
            }
            ancestors.push(ancestor);
        }
        Ok(TimelineHistory { timeline, ancestors, text: text.to_owned() })
    }

    /// The history of a timeline that has no history file.
    #[must_use]
    pub fn without_ancestors(timeline: TimelineId) -> TimelineHistory {
        TimelineHistory { timeline, ancestors: Vec::new(), text: Vec::new() }
    }

    /// The timeline whose history this is.
    #[must_use]
    pub fn timeline(&self) -> TimelineId {
        self.timeline
    }

    /// The ancestors of the timeline, oldest first.
    #[must_use]
    pub fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors
    }

    /// The content of the file, unchanged.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// The timeline that it forked from.
    #[must_use]
    pub fn parent(&self) -> Option<TimelineId> {
        self.ancestors.last().map(|parent| parent.timeline)
    }

    /// Where it forked from its parent.
    #[must_use]
    pub fn begins(&self) -> Option<&ForkPoint> {
        self.ancestors.last().map(|parent| &parent.ends)
    }

    /// Whether this is an ancestor of the timeline, directly or indirectly.
    #[must_use]
    pub fn is_ancestor(&self, timeline: TimelineId) -> bool {
        self.fork_from(timeline).is_some()
    }

    /// Where the history leaves this ancestor; `None` if it is not an ancestor.
    #[must_use]
    pub fn fork_from(&self, ancestor: TimelineId) -> Option<&ForkPoint> {
        self.ancestors.iter().find(|a| a.timeline == ancestor).map(|a| &a.ends)
    }

    /// Whether a segment belongs to this history, in a cluster of this layout.
    #[must_use]
    pub fn locate(&self, segment: SegmentName, layout: SegmentLayout) -> SegmentInHistory {
        let index = self.ancestors.iter().position(|a| a.timeline == segment.timeline);
        let index = match index {
            Some(index) => index,
            None if segment.timeline == self.timeline => self.ancestors.len(),
            None => return SegmentInHistory::Unrelated,
        };
        let Ok(start) = layout.start(segment.place) else { return SegmentInHistory::Unrelated };
        if let Some(Ancestor { ends, .. }) = self.ancestors.get(index) {
            let past = match *ends {
                ForkPoint::Segment(last) => segment.place > last.place,
                ForkPoint::Position(end) => start >= end,
            };
            if past {
                return SegmentInHistory::PastFork;
            }
        }
        let Some(before) = index.checked_sub(1).and_then(|parent| self.ancestors.get(parent))
        else {
            return SegmentInHistory::Included;
        };
        match before.ends {
            ForkPoint::Segment(first) if segment.place < first.place => {
                SegmentInHistory::BeforeStart
            }
            ForkPoint::Position(fork) if start >= fork => SegmentInHistory::Included,
            // Adding the size to the start would overflow in the last segment of the log.
            ForkPoint::Position(fork) => match (fork.0 - start.0).cmp(&layout.size().bytes()) {
                std::cmp::Ordering::Less => SegmentInHistory::Included,
                std::cmp::Ordering::Equal => SegmentInHistory::AtFork,
                std::cmp::Ordering::Greater => SegmentInHistory::BeforeStart,
            },
            ForkPoint::Segment(_) => SegmentInHistory::Included,
        }
    }

    /// The newest timeline of the history that contains this part of the log. A server requests a segment
    /// under that name first (from 13 on, and in the minor releases of May 2020). `None` if the layout has no
    /// such segment.
    #[must_use]
    pub fn newest_with(&self, place: SegmentPlace, layout: SegmentLayout) -> Option<TimelineId> {
        let ancestors = self.ancestors.iter().rev().map(|a| a.timeline);
        std::iter::once(self.timeline).chain(ancestors).find(|&timeline| {
            self.locate(SegmentName { timeline, place }, layout) == SegmentInHistory::Included
        })
    }
}

impl Ancestor {
    fn parse(line: &str) -> Option<Ancestor> {
        let (timeline, rest) = word(line.trim_start())?;
        let (place, reason) = word(rest)?;
        let ends = match place.parse() {
            Ok(position) => ForkPoint::Position(position),
            Err(_) => ForkPoint::Segment(place.parse().ok()?),
        };
        Some(Ancestor { timeline: timeline.parse().ok()?, ends, reason: reason.trim().to_owned() })
    }
}

/// The first word, and the rest without leading white space.
fn word(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word.is_empty() { None } else { Some((word, rest.trim_start())) }
}

impl fmt::Display for ForkPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForkPoint::Segment(segment) => segment.fmt(f),
            ForkPoint::Position(position) => position.fmt(f),
        }
    }
}

/// Why a text is not the history of its timeline. A server refuses to start with such a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// A line does not begin with a timeline and a fork point.
    #[error(
        "syntax error in history of timeline {timeline}, line {line}: expected a timeline ID and a write-ahead log position, found \"{text}\""
    )]
    BadLine {
        /// The timeline of the history.
        timeline: TimelineId,
        /// The number of the line, from 1.
        line: usize,
        /// The content of the line.
        text: String,
    },
    /// The ancestors are not in ascending order.
    #[error(
        "invalid data in history of timeline {timeline}, line {line}: timeline IDs must be in increasing sequence, found {found}"
    )]
    OutOfOrder {
        /// The timeline of the history.
        timeline: TimelineId,
        /// The number of the line, from 1.
        line: usize,
        /// The ancestor in the line.
        found: TimelineId,
    },
    /// An ancestor is not lower than the timeline itself.
    #[error(
        "invalid data in history of timeline {timeline}, line {line}: timeline IDs must be less than child timeline's ID, found {found}"
    )]
    NotAnAncestor {
        /// The timeline of the history.
        timeline: TimelineId,
        /// The number of the line, from 1.
        line: usize,
        /// The timeline in the line.
        found: TimelineId,
    },
}
