//! A fast shutdown of a server with a backlog, by its own archiver.

use std::time::Instant;

use super::Printed;
use super::lab::Lab;
use super::ways::{Target, Way, pgbackrest, rsync, twowarm, twowarm_local};
use crate::Outcome;
use crate::programs::Programs;

const WAITING: usize = 200;

pub fn shutdown(programs: &Programs) -> Printed {
    let lab = Lab::new(&programs.commands, 1, WAITING)?;
    let ways = [
        twowarm("twowarm", ""),
        twowarm_local(&lab, "twowarm, carrier local"),
        rsync(&lab, "rsync -cz, as 2warm", "-cz")?,
        pgbackrest(&lab, "pgBackRest", false, true)?,
        pgbackrest(&lab, "pgBackRest async", true, true)?,
    ];
    println!("S7. pg_ctl stop -m fast with {WAITING} segments of 1 MB waiting");
    println!("  {:<34}{:>10}{:>16}", "", "s", "still waiting");
    for way in &ways {
        match (&way.target, stop(&lab, way)) {
            (Target::Absent, _) => println!("  {:<34}{:>10}", way.name, "absent"),
            (_, Ok((seconds, left))) => println!("  {:<34}{seconds:>10.2}{left:>16}", way.name),
            (_, Err(error)) => println!("  {:<34}failed: {error}", way.name),
        }
    }
    println!();
    Ok(Vec::new())
}

/// The seconds that the shutdown took, and how many files then still waited.
fn stop(lab: &Lab, way: &Way) -> Outcome<(f64, usize)> {
    if matches!(way.target, Target::Absent) {
        return Ok((0.0, 0));
    }
    if lab.db1.pid().is_none() {
        set_archive_command(lab, "")?;
        lab.db1.start()?;
    }
    way.prepare(lab, &lab.loaded)?;
    set_archive_command(lab, &way.command)?;
    let start = Instant::now();
    lab.db1.sql("select pg_reload_conf()")?;
    lab.db1.pg_ctl(&["stop", "-w", "-m", "fast", "-t", "600"])?;
    Ok((start.elapsed().as_secs_f64(), lab.waiting()))
}

fn set_archive_command(lab: &Lab, command: &str) -> Outcome<()> {
    Ok(lab.db1.append_conf(&format!("archive_command = '{}'", command.replace('\'', "''")))?)
}
