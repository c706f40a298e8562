//! How much WAL a triggered server still has to replay.

use std::fs;
use std::path::Path;

use super::{Content, ReceiptState, WaitingFor};
use crate::data_directory::running_server;
use crate::restore::RecoveryMemory;
use crate::wal::{SegmentLayout, SegmentName};

/// The last segment that a server replays before it opens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backlog {
    layout: Option<SegmentLayout>,
    last: Option<SegmentName>,
}

impl Backlog {
    pub(super) fn new(layout: Option<SegmentLayout>, archive: &Content) -> Backlog {
        let receipt = match archive.receipt {
            Some(ReceiptState::Complete(segment)) => Some(segment),
            _ => None,
        };
        Backlog { layout, last: receipt.or(archive.last) }
    }

    /// What the server of a data directory replays, by the title of its startup process (from 9.0 on), else by what
    /// restoreWALFile gave it last.
    pub(super) fn waiting(&self, data_directory: &Path) -> WaitingFor<'static> {
        let title = running_server(data_directory).ok().flatten();
        let replayed = title.and_then(|server| replayed_by(server.pid));
        let replayed = replayed.or_else(|| RecoveryMemory::of(data_directory).restored());
        match replayed {
            Some(segment) => WaitingFor::Replay { segment, left: self.left(segment) },
            None => WaitingFor::Recovery,
        }
    }

    fn left(&self, replayed: SegmentName) -> Option<u64> {
        let distance = self.layout?.distance(replayed.place, self.last?.place).ok()?;
        Some(u64::try_from(distance).unwrap_or(0))
    }
}

/// The segment in the title of a server's startup process: `postgres: startup recovering SEGMENT`.
fn replayed_by(postmaster: i32) -> Option<SegmentName> {
    let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
    children.ok()?.split_whitespace().find_map(|child| {
        let title = fs::read(format!("/proc/{child}/cmdline")).ok()?;
        in_title(&String::from_utf8_lossy(&title))
    })
}

fn in_title(title: &str) -> Option<SegmentName> {
    let words = title.split([' ', '\0']).skip_while(|word| *word != "startup");
    let mut words = words.skip_while(|word| *word != "recovering" && *word != "waiting");
    words.find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::PgMajor;
    use crate::wal::SegmentSize;

    #[test]
    fn the_title_of_every_version_names_the_segment() {
        let name = "00000001000000000000007B";
        for title in [
            format!("postgres: startup process   recovering {name}   "),
            format!("postgres: db: startup recovering {name}\0\0"),
            format!("postgres: startup waiting for {name}"),
        ] {
            assert_eq!(in_title(&title), name.parse().ok(), "{title}");
        }
        for other in ["postgres: startup", "postgres: archiver last was 00000001000000000000007B"] {
            assert_eq!(in_title(other), None);
        }
    }

    #[test]
    fn the_segments_left_are_those_after_the_one_that_is_replayed() {
        let layout = SegmentLayout::new(PgMajor::NEWEST, SegmentSize::DEFAULT);
        let segment = |last: &str| format!("0000000100000000000000{last}").parse().unwrap();
        let archive = Content { last: Some(segment("7F")), ..Content::default() };
        let backlog = Backlog::new(Some(layout), &archive);
        assert_eq!(backlog.left(segment("7B")), Some(4));
        assert_eq!(backlog.left(segment("80")), Some(0));
        let receipt = Some(ReceiptState::Complete(segment("81")));
        let backlog = Backlog::new(Some(layout), &Content { receipt, ..archive });
        assert_eq!(backlog.left(segment("7B")), Some(6));
        assert_eq!(Backlog::new(None, &Content::default()).left(segment("7B")), None);
    }
}
