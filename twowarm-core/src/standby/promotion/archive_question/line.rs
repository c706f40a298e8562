//! What the child process tells its parent, one line each.

use std::fmt;
use std::str::FromStr;

use super::super::Damage;
use super::super::receipt_check::ReceiptState;
use crate::archive::Gap;
use crate::timelines::NewerTimeline;
use crate::wal::{SegmentName, TimelineId, WalFileName};

/// One line. Reasons are one line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::standby::promotion) enum Line {
    /// The child makes progress.
    Alive,
    /// A file of the server's own WAL directory was put into the archive.
    Kept(WalFileName),
    /// This one and later ones were not, and why.
    NotKept(SegmentName, String),
    /// A node is asked for what the archive lacks.
    Asking(String),
    /// A file was fetched.
    Fetched(WalFileName),
    /// The node could not be asked, or for no more, and why.
    NotFetched(String),
    /// A timeline that the standby could follow and does not.
    Newer(NewerTimeline),
    /// A segment that the standby still needs and that is missing, although a later one is there.
    Gap(Gap),
    /// A segment in which recovery would end, although a later one is there.
    Damage(Damage),
    /// The first segment that was not checked in time.
    Unchecked(SegmentName),
    /// A file that was set aside because it is damaged.
    SetAside(String),
    /// The last segment of the standby's history in the archive.
    Last(SegmentName),
    /// When the primary finished it, in seconds since 1970.
    Finished(u64),
    /// The timeline that the standby replays.
    Timeline(TimelineId),
    /// The archive has a receipt for this timeline.
    Receipt(ReceiptState),
    /// The archive can't be read, and why. The last line.
    Failed(String),
    /// The last line of a complete answer.
    End,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Alive => write!(f, "alive"),
            Line::Kept(name) => write!(f, "kept {name}"),
            Line::NotKept(segment, why) => write!(f, "not-kept {segment} {}", one_line(why)),
            Line::Asking(node) => write!(f, "asking {}", one_line(node)),
            Line::Fetched(name) => write!(f, "fetched {name}"),
            Line::NotFetched(why) => write!(f, "not-fetched {}", one_line(why)),
            Line::Newer(NewerTimeline { timeline, own }) => write!(f, "newer {timeline} {own}"),
            Line::Gap(Gap { missing, found }) => write!(f, "gap {missing} {found}"),
            Line::Damage(Damage { segment, found, why }) => {
                write!(f, "damage {segment} {found} {}", one_line(why))
            }
            Line::Unchecked(segment) => write!(f, "unchecked {segment}"),
            Line::SetAside(name) => write!(f, "set-aside {name}"),
            Line::Last(segment) => write!(f, "last {segment}"),
            Line::Finished(seconds) => write!(f, "finished {seconds}"),
            Line::Timeline(timeline) => write!(f, "timeline {timeline}"),
            Line::Receipt(ReceiptState::Complete(segment)) => write!(f, "receipt {segment}"),
            Line::Receipt(ReceiptState::Incomplete { segment, why }) => {
                write!(f, "receipt {segment} {}", one_line(why))
            }
            Line::Receipt(ReceiptState::Unreadable(why)) => {
                write!(f, "receipt-unreadable {}", one_line(why))
            }
            Line::Failed(why) => write!(f, "failed {}", one_line(why)),
            Line::End => write!(f, "end"),
        }
    }
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}

impl Line {
    /// Parses a line; `None` if it is not one.
    pub(super) fn parse(line: &str) -> Option<Line> {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let text = || (!rest.is_empty()).then(|| rest.to_owned());
        Some(match what {
            "alive" => Line::Alive,
            "kept" => Line::Kept(rest.parse().ok()?),
            "not-kept" => {
                let (segment, why) = rest.split_once(' ')?;
                Line::NotKept(segment.parse().ok()?, why.to_owned())
            }
            "asking" => Line::Asking(text()?),
            "fetched" => Line::Fetched(rest.parse().ok()?),
            "not-fetched" => Line::NotFetched(text()?),
            "newer" => {
                let (timeline, own) = two(rest)?;
                Line::Newer(NewerTimeline { timeline, own })
            }
            "gap" => {
                let (missing, found) = two(rest)?;
                Line::Gap(Gap { missing, found })
            }
            "damage" => {
                let (segment, rest) = rest.split_once(' ')?;
                let (found, why) = rest.split_once(' ')?;
                let (segment, found) = (segment.parse().ok()?, found.parse().ok()?);
                Line::Damage(Damage { segment, found, why: why.to_owned() })
            }
            "unchecked" => Line::Unchecked(rest.parse().ok()?),
            "set-aside" => Line::SetAside(text()?),
            "last" => Line::Last(rest.parse().ok()?),
            "finished" => Line::Finished(rest.parse().ok()?),
            "timeline" => Line::Timeline(rest.parse().ok()?),
            "receipt" => Line::Receipt(match rest.split_once(' ') {
                None => ReceiptState::Complete(rest.parse().ok()?),
                Some((segment, why)) => {
                    ReceiptState::Incomplete { segment: segment.parse().ok()?, why: why.into() }
                }
            }),
            "receipt-unreadable" => Line::Receipt(ReceiptState::Unreadable(text()?)),
            "failed" => Line::Failed(text()?),
            "end" => Line::End,
            _ => return None,
        })
    }
}

fn two<T: FromStr>(text: &str) -> Option<(T, T)> {
    let (a, b) = text.split_once(' ')?;
    Some((a.parse().ok()?, b.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_parsed() {
        let segment = |last: u32| format!("0000000100000000000000{last:02X}").parse().unwrap();
        let timeline = |number| TimelineId::new(number).unwrap();
        let why = String::from("WAL ends at 0/7C000028: no record follows");
        for line in [
            Line::Alive,
            Line::Kept(WalFileName::Segment(segment(1))),
            Line::NotKept(segment(2), why.clone()),
            Line::Asking("db3".into()),
            Line::Fetched("00000002.history".parse().unwrap()),
            Line::NotFetched(why.clone()),
            Line::Newer(NewerTimeline { timeline: timeline(2), own: timeline(1) }),
            Line::Gap(Gap { missing: segment(3), found: segment(4) }),
            Line::Damage(Damage { segment: segment(5), found: segment(6), why: why.clone() }),
            Line::Unchecked(segment(7)),
            Line::SetAside("A.corrupt".into()),
            Line::Last(segment(8)),
            Line::Timeline(timeline(3)),
            Line::Receipt(ReceiptState::Complete(segment(9))),
            Line::Receipt(ReceiptState::Incomplete { segment: segment(9), why: why.clone() }),
            Line::Receipt(ReceiptState::Unreadable(why.clone())),
            Line::Failed(why),
            Line::End,
        ] {
            assert_eq!(Line::parse(&line.to_string()), Some(line.clone()), "{line}");
        }
        assert_eq!(Line::NotFetched("a\nb".into()).to_string(), "not-fetched a b");
        for bad in ["", "other", "newer 2", "gap 1 2", "damage 1 2", "kept", "failed", "last x"] {
            assert_eq!(Line::parse(bad), None, "{bad}");
        }
    }
}
