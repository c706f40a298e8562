use std::fmt;

use super::{Lsn, SegmentLayout, SegmentName, SegmentPlace, TimelineId};

/// Where a timeline came from: a `TTTTTTTT.history` file of any version, with the text it was read from.
///
/// Timeline 1 has none, and a server takes a missing one as "no ancestors":
/// [`without_ancestors`](TimelineHistory::without_ancestors).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineHistory {
    timeline: TimelineId,
    ancestors: Vec<Ancestor>,
    text: Vec<u8>,
}

/// One line of a history: a timeline, and where the next one left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// The ancestor.
    pub timeline: TimelineId,
    /// Where its part of the history ends.
    pub ends: ForkPoint,
    /// Why recovery ended there, in the server's words; bytes that are no UTF-8 are replaced.
    pub reason: String,
}

/// Where one timeline left another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForkPoint {
    /// Through 9.2: somewhere in this segment (of the ancestor).
    Segment(SegmentName),
    /// From 9.3 on: the first position that is not the ancestor's.
    Position(Lsn),
}

/// What a segment is to a timeline's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HistoryPlace {
    /// WAL that the history can hold. The segment of a fork is so on both timelines.
    OnPath,
    /// An ancestor's segment from after its part ended: WAL that this timeline does not have.
    PastFork,
    /// The last segment before a fork at a segment's very end, under the new timeline's name. 9.3 and
    /// 9.4 make it at the promotion, a copy of the ancestor's; from 9.5 on it never exists, yet servers
    /// older than the minors of May 2020 ask for it.
    AtFork,
    /// A segment from before its timeline began; it never exists.
    BeforeBegin,
    /// Of a timeline that is not in the history, or at a place that the layout does not have.
    Unrelated,
}

impl TimelineHistory {
    /// Reads the history file of this timeline, as strictly as the server does: comments, blank lines
    /// and whatever follows the fork point are taken as they come; ancestors must be in order.
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

    /// The history of a timeline that has no file.
    pub fn without_ancestors(timeline: TimelineId) -> TimelineHistory {
        TimelineHistory { timeline, ancestors: Vec::new(), text: Vec::new() }
    }

    /// The timeline whose history this is.
    pub fn timeline(&self) -> TimelineId {
        self.timeline
    }

    /// The timelines it came from, oldest first.
    pub fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors
    }

    /// The file's content, byte by byte as it was read.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// The timeline it left.
    pub fn parent(&self) -> Option<TimelineId> {
        self.ancestors.last().map(|parent| parent.timeline)
    }

    /// Where it left its parent.
    pub fn begins(&self) -> Option<&ForkPoint> {
        self.ancestors.last().map(|parent| &parent.ends)
    }

    /// Whether it came from this timeline, directly or not. It is no ancestor of its own.
    pub fn is_ancestor(&self, timeline: TimelineId) -> bool {
        self.fork_from(timeline).is_some()
    }

    /// Where the part of this ancestor ends; none for a timeline that is no ancestor.
    pub fn fork_from(&self, ancestor: TimelineId) -> Option<&ForkPoint> {
        self.ancestors.iter().find(|a| a.timeline == ancestor).map(|a| &a.ends)
    }

    /// What a segment is to this history, in a cluster of this layout.
    pub fn place_of(&self, segment: SegmentName, layout: SegmentLayout) -> HistoryPlace {
        let index = self.ancestors.iter().position(|a| a.timeline == segment.timeline);
        let index = match index {
            Some(index) => index,
            None if segment.timeline == self.timeline => self.ancestors.len(),
            None => return HistoryPlace::Unrelated,
        };
        let Ok(start) = layout.start(segment.place) else { return HistoryPlace::Unrelated };
        if let Some(Ancestor { ends, .. }) = self.ancestors.get(index) {
            let past = match *ends {
                ForkPoint::Segment(last) => segment.place > last.place,
                ForkPoint::Position(end) => start >= end,
            };
            if past {
                return HistoryPlace::PastFork;
            }
        }
        let Some(before) = index.checked_sub(1).and_then(|parent| self.ancestors.get(parent))
        else {
            return HistoryPlace::OnPath;
        };
        match before.ends {
            ForkPoint::Segment(first) if segment.place < first.place => HistoryPlace::BeforeBegin,
            ForkPoint::Position(fork) if start >= fork => HistoryPlace::OnPath,
            // Not by adding the size: the log's last segment ends where positions do.
            ForkPoint::Position(fork) => match (fork.0 - start.0).cmp(&layout.size().bytes()) {
                std::cmp::Ordering::Less => HistoryPlace::OnPath,
                std::cmp::Ordering::Equal => HistoryPlace::AtFork,
                std::cmp::Ordering::Greater => HistoryPlace::BeforeBegin,
            },
            ForkPoint::Segment(_) => HistoryPlace::OnPath,
        }
    }

    /// The newest timeline of the history that can have this place of the log: under its name the
    /// server asks for a segment first (from 13 on, and earlier in the minors of May 2020). None where
    /// the layout has no such place.
    pub fn newest_with(&self, place: SegmentPlace, layout: SegmentLayout) -> Option<TimelineId> {
        let ancestors = self.ancestors.iter().rev().map(|a| a.timeline);
        std::iter::once(self.timeline).chain(ancestors).find(|&timeline| {
            self.place_of(SegmentName { timeline, place }, layout) == HistoryPlace::OnPath
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

/// The first word, and what follows it and the white space behind.
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

/// The text is no history of its timeline; a server would refuse to start with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A line is not timeline, fork point and reason.
    #[error(
        "history of timeline {timeline}, line {line}: no timeline and fork point in \"{text}\""
    )]
    BadLine {
        /// The timeline whose history it should be.
        timeline: TimelineId,
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// Ancestors must be listed from the oldest, each once.
    #[error("history of timeline {timeline}, line {line}: timeline {found} out of order")]
    OutOfOrder {
        /// The timeline whose history it should be.
        timeline: TimelineId,
        /// Counted from 1.
        line: usize,
        /// The ancestor on the line.
        found: TimelineId,
    },
    /// A timeline can only come from lower ones.
    #[error("history of timeline {timeline}, line {line}: timeline {found} is not below it")]
    NotAnAncestor {
        /// The timeline whose history it should be.
        timeline: TimelineId,
        /// Counted from 1.
        line: usize,
        /// The timeline on the line.
        found: TimelineId,
    },
}
