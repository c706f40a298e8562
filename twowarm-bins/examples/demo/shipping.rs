//! What db1's archiver has had acknowledged.

use std::fs;
use std::time::Duration;

use twowarm_core::testbed::{BedError, Node, wait_until};
use twowarm_core::wal::{Lsn, SegmentLayout, SegmentName, SegmentSize};

use crate::nodes::Nodes;
use crate::story::say;

const LIMIT: Duration = Duration::from_secs(60);

/// db1's archiver at one moment.
pub struct Shipped {
    /// Files acknowledged since the server was made.
    count: u64,
    /// The last one.
    last: String,
    layout: SegmentLayout,
}

impl Shipped {
    /// Asks the server.
    pub fn look(node: &Node) -> Result<Shipped, BedError> {
        let answer = node.sql(
            "select archived_count, coalesce(last_archived_wal, ''),
                    (select setting from pg_settings where name = 'wal_segment_size')
             from pg_stat_archiver",
        )?;
        let unclear = || BedError(format!("pg_stat_archiver said {answer:?}"));
        let [count, last, size]: [&str; 3] =
            answer.split('|').collect::<Vec<_>>().try_into().map_err(|_| unclear())?;
        let size = SegmentSize::new(size.parse().map_err(|_| unclear())?);
        let size = size.map_err(|error| BedError(error.to_string()))?;
        let layout = SegmentLayout::new(node.install().major()?, size);
        let count = count.parse().map_err(|_| unclear())?;
        Ok(Shipped { count, last: last.to_owned(), layout })
    }

    /// Waits until this segment is acknowledged.
    pub fn wait_for(node: &Node, segment: &SegmentName) -> Result<Shipped, BedError> {
        let what = format!("db2 to acknowledge {segment}");
        wait_until(&what, LIMIT, || match Shipped::look(node) {
            Ok(shipped) => (shipped.last == segment.to_string()).then_some(Ok(shipped)),
            Err(error) => Some(Err(error)),
        })?
    }

    /// The position up to which the log is acknowledged: the end of the last segment.
    pub fn end(&self) -> Result<Lsn, BedError> {
        let start = self.layout.start(self.last_segment()?.place);
        let start = start.map_err(|error| BedError(error.to_string()))?;
        Ok(Lsn(start.0 + self.layout.size().bytes()))
    }

    /// The segment that holds a position.
    pub fn containing(&self, lsn: Lsn) -> Result<SegmentName, BedError> {
        Ok(self.layout.containing(self.last_segment()?.timeline, lsn))
    }

    fn last_segment(&self) -> Result<SegmentName, BedError> {
        self.last.parse().map_err(|error| BedError(format!("last archived: {error}")))
    }

    /// Tells what was shipped since an earlier look, and what became of it on db2.
    pub fn tell(&self, before: &Shipped, nodes: &Nodes) -> Result<(), BedError> {
        let segments = self.count - before.count;
        let bytes = segments * self.layout.size().bytes();
        say!("{segments} segments shipped during the load, {bytes} bytes in all.");
        say!("The last one acknowledged is {}: the log is safe up to {}.", self.last, self.end()?);
        let files = in_archive(&nodes.db2)?;
        say!("db2's archive holds {} segments just now.", files.len());
        match nodes.db2.pid() {
            Some(_) => say!("db2 has replayed up to {}.", nodes.replayed()?),
            None => say!("db2 is stopped."),
        }
        Ok(())
    }
}

/// The segments in a node's archive, in order.
pub fn in_archive(node: &Node) -> Result<Vec<SegmentName>, BedError> {
    let archive = node.archive();
    let entries = fs::read_dir(&archive)
        .map_err(|error| BedError(format!("could not read {}: {error}", archive.display())))?;
    let mut names: Vec<SegmentName> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    names.sort();
    Ok(names)
}
