//! A primary, a warm standby and a failover, for real and on this machine: `make demo`.
//!
//! Ends with 0 only if every row whose WAL the standby had acknowledged is there after the failover.
//! With `BREAK=1` in the environment one shipped segment is taken away on the way, and the demo must
//! find rows missing: that shows that it would notice.

mod load;
mod nodes;
mod sabotage;
mod shipping;
mod story;
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

/// The whole demo takes a good half of this; one that hangs is one that failed.
const LIMIT: Duration = Duration::from_secs(115);

/// Sizes of the load: enough for more than a dozen segments, and a rest that fills none.
const SHIPPED_BATCHES: u32 = 24;
const SHIPPED_ROWS: u32 = 8000;
const UNSHIPPED_BATCHES: u32 = 3;
const UNSHIPPED_ROWS: u32 = 200;

fn main() -> ExitCode {
    let broken = env::var("BREAK").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    thread::spawn(|| {
        thread::sleep(LIMIT);
        say!("The demo did not end within {} s: FAILED.", LIMIT.as_secs());
        // The testbed's janitor notices our end and cleans up.
        std::process::exit(1);
    });
    match tell(broken) {
        Ok(verdict) => {
            verdict.tell();
            if verdict.nothing_shipped_is_lost() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            say!("The demo could not go on: FAILED.\n{error}");
            ExitCode::FAILURE
        }
    }
}

fn tell(broken: bool) -> Result<Verdict, BedError> {
    step!("Two nodes, db1 and db2, each with its own sshd, 2warm tree and data directory");
    let nodes = Nodes::new()?;
    step!("The 2warm commands go from db1 to db2");
    nodes.distribute()?;
    step!("db2 becomes a standby: prepared, then db1 copied over it, then started");
    nodes.make_standby()?;

    step!("A load on db1: {SHIPPED_BATCHES} batches of {SHIPPED_ROWS} rows, one transaction each");
    let before = Shipped::look(&nodes.db1)?;
    let mut load = Load::start(&nodes.db1)?;
    load.run(SHIPPED_BATCHES / 2, SHIPPED_ROWS)?;
    let sabotage = if broken { Some(sabotage::stop_standby(&nodes)?) } else { None };
    load.run(SHIPPED_BATCHES - SHIPPED_BATCHES / 2, SHIPPED_ROWS)?;
    let last = load.finish_segment()?;
    let shipped = Shipped::wait_for(&nodes.db1, &last)?;
    load.run(UNSHIPPED_BATCHES, UNSHIPPED_ROWS)?;
    say!("{UNSHIPPED_BATCHES} small batches more stand in a segment that is not finished.");

    step!("What db2 has got by now");
    shipped.tell(&before, &nodes)?;
    if let Some(sabotage) = sabotage {
        sabotage.take_a_segment_away(&nodes)?;
    }

    step!("db1 crashes; db2 takes over");
    nodes.db1.stop(StopMode::Immediate)?;
    say!("db1 was stopped with \"immediate\", as in a crash: nothing more comes from there.");
    let triggered = Instant::now();
    nodes.run_on(&nodes.db2, "triggerStandby")?;
    nodes.db2.sql("create table taken_over as select now() as at")?;
    let seconds = triggered.elapsed().as_secs_f64();
    say!("db2 is a primary; {seconds:.2} s from the trigger to the first committed write.");

    step!("The count");
    Verdict::count(&load, &shipped, &nodes.db2)
}
