use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use super::{BedError, LIMIT, Node, StopMode, Testbed, names_in, wait_until};

/// Files that a real server wrote.
pub struct Cluster {
    /// PG_VERSION.
    pub version: String,
    /// pg_control as initdb wrote it: recovery would start in the first of the segments.
    pub control: Vec<u8>,
    /// Names and contents of the archived segments, in order. Some end with a switch, others with a record that
    /// continues in the next.
    pub segments: Vec<(String, Vec<u8>)>,
    /// A segment of another cluster.
    pub foreign: (String, Vec<u8>),
}

/// The cluster that these tests share.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::make().expect("the server can be set up"))
}

impl Cluster {
    fn make() -> Result<Cluster, BedError> {
        let bed = Testbed::new()?;
        let (node, other) = (bed.node("db1")?, bed.node("other")?);
        node.initdb_small_segments()?;
        other.initdb_small_segments()?;
        let read = |node: &Node, name: &str| {
            fs::read(node.pgdata().join(name)).expect("initdb created it")
        };
        let control = read(&node, "global/pg_control");
        let version = String::from_utf8_lossy(&read(&node, "PG_VERSION")).into_owned();
        let foreign = segments_in(&other.pgdata().join("pg_wal")).pop();

        let archive = node.home().join("archive");
        node.archive_into(&archive)?;
        node.start()?;
        node.sql("create table t as select 0 as i, ''::text as filler")?;
        for batch in 0..6 {
            // Every other batch fills more than a segment.
            let rows = if batch % 2 == 0 { 300 } else { 9000 };
            node.sql(&format!(
                "insert into t select {batch}, repeat('x', 150) from generate_series(1, {rows})"
            ))?;
            node.switch_wal()?;
        }
        node.stop(StopMode::Fast)?;
        wait_until("the last segment to be archived", LIMIT, || segments_in(&archive).len() >= 7)?;
        Ok(Cluster {
            version,
            control,
            segments: segments_in(&archive),
            foreign: foreign.expect("initdb wrote a segment"),
        })
    }
}

/// Names and contents of the segments in a directory, in order.
pub fn segments_in(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let segments = names_in(directory).into_iter().filter(|name| name.len() == 24);
    let read = |name: String| {
        let content = fs::read(directory.join(&name)).expect("the file was just listed");
        (name, content)
    };
    segments.map(read).collect()
}
