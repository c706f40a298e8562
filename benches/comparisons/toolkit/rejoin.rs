//! An old primary becomes a standby: without a copy, and by a copy over it.

use std::time::{Duration, Instant};

use twowarm_benches::{Samples, Table};
use twowarm_core::testbed::{Node, StopMode, finish, wait_until};

use super::nodes::{LIMIT, Nodes, caught_up};
use crate::Outcome;
use crate::interleaved::timed;
use crate::programs::Programs;

const ROUNDS: usize = 4;
/// With its index, 2 GB.
const FILL: &str = "create table big as select n, repeat(md5(n::text), 8) t from generate_series(1, 6300000) n; \
     create index on big (n)";

pub fn rejoin(programs: &Programs) -> Outcome<Vec<Table>> {
    let nodes = Nodes::new(&programs.commands, &[], FILL)?;
    let size = nodes.db1.sql("select pg_database_size(current_database()) / 1048576")?;
    nodes.db2.start_warm()?;
    let [mut rejoined, mut started, mut copied] = std::array::from_fn(|_| Samples::default());
    let mut pair = (&nodes.db1, &nodes.db2);
    for _ in 0..ROUNDS {
        let (from, to) = pair;
        switch(from, to)?;
        rejoined.push(timed(from.command("configStandby").arg("--rejoin"))?);
        let start = Instant::now();
        from.start()?;
        started.push(start.elapsed());
        caught_up(to, from)?;
        // The alternative, over the same node.
        from.stop(StopMode::Fast)?;
        copied.push(copy_over(to, from)?);
        from.start_warm()?;
        pair = (to, from);
    }
    let mut table = Table::new(&format!("T3. An old primary of {size} MB becomes a standby"));
    table.row("configStandby --rejoin", rejoined);
    table.row("its start until it answers", started);
    table.row("configStandby and copyToStandby", copied);
    Ok(vec![table])
}

fn switch(from: &Node, to: &Node) -> Outcome<()> {
    caught_up(from, to)?;
    finish(&mut from.command("flushPrimary"))?;
    finish(to.command("triggerStandby").arg("--require-receipt"))?;
    wait_until("the server to take writes", LIMIT, || {
        to.sql("create table written (n int); drop table written").is_ok()
    })?;
    Ok(())
}

fn copy_over(primary: &Node, standby: &Node) -> Outcome<Duration> {
    Ok(timed(&mut standby.command("configStandby"))?
        + timed(&mut primary.command("copyToStandby"))?)
}
