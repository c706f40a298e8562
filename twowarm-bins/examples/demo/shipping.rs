//! What db1 has shipped and db2 has acknowledged.

use std::fs;
use std::time::Duration;

use twowarm_core::testbed::{BedError, Node, wait_until};
use twowarm_core::wal::{Lsn, SegmentLayout, SegmentName, SegmentSize};

use crate::nodes::Nodes;
use crate::story::say;

const LIMIT: Duration = Duration::from_secs(60);

/// The state of db1's archiver.
pub struct Shipped {
    /// The number of acknowledged files since initdb.
    count: u64,
    /// The last acknowledged file.
    last: String,
    layout: SegmentLayout,
}

impl Shipped {
    /// Queries the server.
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

    /// The end of the last acknowledged segment.
    pub fn end(&self) -> Result<Lsn, BedError> {
        let start = self.layout.start(self.last_segment()?.place);
        let start = start.map_err(|error| BedError(error.to_string()))?;
        Ok(Lsn(start.0 + self.layout.size().bytes()))
    }

    /// The segment that contains a WAL location.
    pub fn containing(&self, lsn: Lsn) -> Result<SegmentName, BedError> {
        Ok(self.layout.containing(self.last_segment()?.timeline, lsn))
    }

    fn last_segment(&self) -> Result<SegmentName, BedError> {
        self.last.parse().map_err(|error| BedError(format!("last archived: {error}")))
    }

    /// Prints what was shipped since an earlier look, and how far db2 is.
    pub fn tell(&self, before: &Shipped, nodes: &Nodes) -> Result<(), BedError> {
        let segments = self.count - before.count;
        let bytes = segments * self.layout.size().bytes();
        say!("db1 has shipped {segments} segments ({} MB) during the load.", bytes >> 20);
        say!("db2 has acknowledged WAL up to {}, the end of {}.", self.end()?, self.last);
        let files = in_archive(&nodes.db2)?;
        say!("db2's archive holds {} segments.", files.len());
        match nodes.db2.pid() {
            Some(_) => say!("db2 has replayed WAL up to {}.", nodes.replayed()?),
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
