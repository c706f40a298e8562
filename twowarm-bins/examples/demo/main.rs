//! A primary, a standby and a DR node on this machine, a switchover and two failovers: `make demo`.
//!
//! Exits with 0 only if all rows in WAL that another node had acknowledged are there after each failover. With
//! `BREAK=1` in the environment one archived segment is removed before the first failover, and the demo must report
//! missing rows: this shows that it would detect a loss.

mod disaster;
mod load;
mod nodes;
mod sabotage;
mod shipping;
mod story;
mod switching;
mod verdict;

use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use twowarm_core::testbed::{BedError, StopMode};

use load::Load;
use nodes::Nodes;
use shipping::Shipped;
use story::{say, step};
use verdict::Verdict;

/// A demo that takes longer has failed. It normally takes about a third of this.
const LIMIT: Duration = Duration::from_secs(240);

/// The size of the load: more than a dozen segments, and a rest that does not fill one.
const SHIPPED_BATCHES: u32 = 24;
const SHIPPED_ROWS: u32 = 8000;
const UNSHIPPED_BATCHES: u32 = 3;
const UNSHIPPED_ROWS: u32 = 200;

const INTRODUCTION: &str = "\
twowarm demo: a primary (db1) ships its WAL to a standby (db2), which relays it to a DR node (db3). Primary and standby
exchange their roles and back; the standby is down for a while; the primary crashes, then the new primary too.
All are real PostgreSQL servers in a temporary directory. Lines with | are the output of our commands.";

fn main() -> ExitCode {
    let broken = env::var("BREAK").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    thread::spawn(|| {
        thread::sleep(LIMIT);
        say!("FAILED: the demo did not finish within {} s.", LIMIT.as_secs());
        // The testbed's janitor cleans up.
        std::process::exit(1);
    });
    match tell(broken) {
        Ok(verdict) => verdict.conclude(),
        Err(error) => {
            say!("FAILED: the demo could not continue.\n{error}");
            ExitCode::FAILURE
        }
    }
}

fn tell(broken: bool) -> Result<Verdict, BedError> {
    story::line(INTRODUCTION);
    step!(
        "Start three nodes: db1 with PostgreSQL, db2 and db3 without a cluster. Each has its own sshd and 2warm tree"
    );
    let mut nodes = Nodes::new()?;
    step!("Install the commands on db2 and db3, from db1");
    nodes.distribute()?;
    step!("Make db2 a standby: prepare it, make a base copy of db1, start the server");
    nodes.make_standby()?;
    if !broken {
        step!("Make db3 a DR node: prepare it, make a base copy of the standby, start the server");
        nodes.make_dr_node()?;
        switching::there_and_back(&nodes)?;
    }

    step!(
        "Write to db1: {SHIPPED_BATCHES} batches of {SHIPPED_ROWS} rows, each in one transaction"
    );
    let before = Shipped::look(&nodes.db1)?;
    let mut load = Load::start(&nodes.db1)?;
    load.run(SHIPPED_BATCHES / 2, SHIPPED_ROWS)?;
    let sabotage = if broken { Some(sabotage::stop_standby(&nodes)?) } else { None };
    load.run(SHIPPED_BATCHES - SHIPPED_BATCHES / 2, SHIPPED_ROWS)?;
    let last = load.finish_segment()?;
    let shipped = Shipped::wait_for(&nodes.db1, &last)?;

    step!("Look at db2");
    shipped.tell(&before, &nodes)?;
    let shipped = match broken {
        true => shipped,
        false => disaster::standby_is_down(&mut nodes, &mut load)?,
    };
    step!("Write a little more, which fills no segment");
    load.run(UNSHIPPED_BATCHES, UNSHIPPED_ROWS)?;
    say!(
        "The last {UNSHIPPED_BATCHES} batches are in a segment that is not complete, so it is not shipped."
    );
    if let Some(sabotage) = &sabotage {
        sabotage.take_a_segment_away(&nodes)?;
    }

    step!("Fail over: db1 crashes, db2 is promoted");
    nodes.db1.stop(StopMode::Immediate)?;
    say!("db1 is stopped in immediate mode, as in a crash. It ships nothing more.");
    let triggered = Instant::now();
    match &sabotage {
        Some(sabotage) => sabotage.promote(&nodes)?,
        None => nodes.run_on(&nodes.db2, "triggerStandby")?,
    }
    nodes.db2.sql("create table taken_over as select now() as at")?;
    let seconds = triggered.elapsed().as_secs_f64();
    say!(
        "db2 is the primary now: {seconds:.2} s from the start of triggerStandby to a committed write."
    );

    step!("Count the rows on db2");
    let verdict = Verdict::count(&load, &shipped, &nodes.db2)?;
    if broken || !verdict.nothing_shipped_is_lost() {
        return Ok(verdict);
    }
    verdict.tell();
    disaster::primary_and_standby_are_lost(&nodes, load, &shipped)
}
