//! A switchover and the way back.

use std::time::{Duration, Instant};

use twowarm_core::testbed::{BedError, Node, wait_until};

use crate::nodes::Nodes;
use crate::story::{say, step};

const LIMIT: Duration = Duration::from_secs(30);

/// db2 becomes the primary and db1 its standby, and then the reverse. No row may be lost.
pub fn there_and_back(nodes: &Nodes) -> Result<(), BedError> {
    nodes.db1.sql("create table switched (node text)")?;
    step!("Switch over: db2 becomes the primary, db1 its standby");
    switch_over(nodes, &nodes.db1, &nodes.db2, 1)?;
    step!("Switch back");
    switch_over(nodes, &nodes.db2, &nodes.db1, 2)
}

fn switch_over(nodes: &Nodes, from: &Node, to: &Node, rows: u32) -> Result<(), BedError> {
    let insert = |node: &Node| {
        node.sql(&format!("insert into switched values ('{}')", node.name())).map(drop)
    };
    insert(from)?;
    let last = Instant::now();
    nodes.run_on(from, "switchover")?;
    insert(to)?;
    let seconds = last.elapsed().as_secs_f64();
    say!(
        "{seconds:.2} s passed between the last row on {} and the first on {}.",
        from.name(),
        to.name()
    );
    let expected = 2 * rows;
    let found = to.sql("select count(*) from switched")?;
    if found != expected.to_string() {
        let name = to.name();
        return Err(BedError(format!(
            "{name} has {found} rows of {expected} after the switchover"
        )));
    }
    from.start_warm()?;
    to.switch_wal()?;
    let what = format!("{} to replay the row", from.name());
    wait_until(&what, LIMIT, || {
        from.sql("select count(*) from switched").is_ok_and(|found| found == expected.to_string())
    })?;
    say!("cron runs rsyncDR on both: {} has WAL that db3 has not received yet.", to.name());
    for node in [to, from] {
        nodes.run_on(node, "rsyncDR")?;
    }
    say!("{} follows as a standby, without a copy: it has all {expected} rows.", from.name());
    Ok(())
}
