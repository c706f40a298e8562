//! triggerStandby beside `pg_ctl promote`, with nothing left to replay.

use std::process::Command;
use std::time::{Duration, Instant};

use twowarm_benches::{Samples, Table};
use twowarm_core::testbed::{Node, StopMode, finish, wait_until};

use super::nodes::{LIMIT, Nodes, caught_up, replace};
use crate::Outcome;
use crate::programs::Programs;

const PROMOTIONS: usize = 10;

pub fn failover(programs: &Programs) -> Outcome<Vec<Table>> {
    let nodes = Nodes::new(&programs.commands, &[], "create table rows as select 1 as n")?;
    let standby = &nodes.db2;
    standby.start_warm()?;
    caught_up(&nodes.db1, standby)?;
    nodes.db1.stop(StopMode::Immediate)?;
    standby.stop(StopMode::Fast)?;
    let pristine = standby.home().join("pristine");
    replace(standby, &standby.pgroot(), &pristine)?;
    let [mut ours, mut theirs] = [(); 2].map(|()| [(); 2].map(|()| Samples::default()));
    for _ in 0..PROMOTIONS {
        for is_ours in [true, false] {
            replace(standby, &pristine, &standby.pgroot())?;
            let command = match is_ours {
                true => standby.command("triggerStandby"),
                false => promote(standby),
            };
            let samples = if is_ours { &mut ours } else { &mut theirs };
            let (open, whole) = run(standby, command)?;
            samples[0].push(open);
            samples[1].push(whole);
        }
    }
    let mut tables = Vec::new();
    let both = ours.into_iter().zip(theirs);
    for ((ours, theirs), title) in both.zip([
        "T2. From the start of the command to a server that takes writes",
        "T2. From the start of the command to its end",
    ]) {
        let beyond = ours.median().as_secs_f64() - theirs.median().as_secs_f64();
        let mut table = Table::new(title);
        table.row("triggerStandby", ours);
        table.row("pg_ctl promote -w", theirs);
        table.note(format!("triggerStandby takes {beyond:.3} s more; target: 0.1 s"));
        tables.push(table);
    }
    Ok(tables)
}

fn promote(node: &Node) -> Command {
    let mut command = node.program(node.install().program("pg_ctl"));
    command.arg("promote").arg("-w").arg("-D").arg(node.pgdata());
    command
}

/// Promotes the standby: the time until it takes writes, and until the command ends.
fn run(standby: &Node, mut command: Command) -> Outcome<(Duration, Duration)> {
    standby.start_warm()?;
    let is_waiting = || standby.runs("restoreWALFile") && standby.is_in_recovery().is_ok();
    wait_until("the standby to wait for a segment", LIMIT, is_waiting)?;
    let start = Instant::now();
    let running = std::thread::spawn(move || finish(&mut command).map(|_| start.elapsed()));
    wait_until("the server to take writes", LIMIT, || {
        standby.sql("create table written (n int)").is_ok()
    })
    .map_err(|error| format!("{error}\n{}", standby.log()))?;
    let open = start.elapsed();
    let whole = running.join().map_err(|_| "the command panicked")??;
    standby.stop(StopMode::Immediate)?;
    Ok((open, whole))
}
