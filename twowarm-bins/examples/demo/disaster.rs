//! The rows of the manual's action table: the standby is down; primary and standby are lost.

use std::time::{Duration, Instant};

use twowarm_core::testbed::{BedError, StopMode, wait_until};

use crate::load::Load;
use crate::nodes::Nodes;
use crate::shipping::{Shipped, in_archive};
use crate::story::{say, step};
use crate::verdict::Verdict;

const LIMIT: Duration = Duration::from_secs(60);
const ROWS: u32 = 4000;

/// db2 is not reachable for a while: db1 ships to db3, from which db2 fetches afterwards what it lacks.
pub fn standby_is_down(nodes: &mut Nodes, load: &mut Load) -> Result<Shipped, BedError> {
    step!("Relay to the DR node, then lose the standby for a while: db1 ships to db3 instead");
    nodes.run_on(&nodes.db2, "rsyncDR")?;
    say!("db3's archive holds {} segments.", in_archive(&nodes.db3)?.len());
    nodes.db2.stop(StopMode::Immediate)?;
    nodes.db2.sshd().stop();
    load.run(4, ROWS)?;
    let last = load.finish_segment()?;
    let shipped = Shipped::wait_for(&nodes.db1, &last)?;
    say!("db1 has shipped everything up to {last}, although db2 is down.");
    nodes.db2.sshd().restart()?;
    nodes.start_standby()?;
    let archived = nodes.db2.archive().join(last.to_string());
    let replayed = || nodes.replayed().is_ok_and(|at| shipped.end().is_ok_and(|end| at >= end));
    wait_until("db2 to catch up", LIMIT, || archived.exists() && replayed())?;
    say!("db2 is back. It has fetched what it lacked from db3, and has replayed {last}.");
    Ok(shipped)
}

/// db2, the primary after the first failover, is lost too.
pub fn primary_and_standby_are_lost(
    nodes: &Nodes,
    load: Load,
    shipped: &Shipped,
) -> Result<Verdict, BedError> {
    step!("db2 is lost too: the DR node takes over");
    nodes.db2.sql("insert into taken_over values (now())")?;
    let last = nodes.db2.switch_wal()?;
    nodes.db2.wait_until_archived(&last)?;
    nodes.run_on(&nodes.db2, "rsyncDR")?;
    say!("db2 has shipped {last} to db3, and relayed what it had received from db1.");
    wait_until("db3 to follow db2", LIMIT, || {
        nodes.db3.sql("select count(*) from taken_over").is_ok_and(|rows| rows == "2")
    })
    .map_err(|error| nodes.with_logs(&error.to_string()))?;
    say!("db3 follows db2 without a restart.");
    nodes.db2.stop(StopMode::Immediate)?;
    let triggered = Instant::now();
    nodes.run_on(&nodes.db3, "triggerStandby")?;
    let seconds = triggered.elapsed().as_secs_f64();
    let rows = nodes.db3.sql("select count(*) from taken_over")?;
    if rows != "2" {
        return Err(BedError(format!("db3 has {rows} of 2 rows that db2 had shipped")));
    }
    say!("db3 is the primary now, after {seconds:.2} s, on timeline {}.", nodes.db3.timeline()?);
    step!("Count the rows on db3");
    Verdict::count(&load, shipped, &nodes.db3)
}
