//! A line across an ocean: 150 ms for a round trip, 1 Gbit/s.

use std::time::Duration;

use twowarm_core::testbed::{Direction, FaultProxy};

use super::archiver::{archive, call, measured};
use super::lab::Lab;
use super::ways::{Target, Way, other, pgbackrest, rsync, twowarm};
use super::{Printed, USUAL};
use crate::Outcome;
use crate::programs::Programs;

const SEGMENTS: usize = 32;
const DELAY_EACH_WAY: Duration = Duration::from_millis(75);
/// Bytes per second: 1 Gbit/s.
const BANDWIDTH: u64 = 125_000_000;

pub fn long_line(programs: &Programs) -> Printed {
    let mut lab = Lab::new(&programs.commands, USUAL, SEGMENTS)?;
    let proxy = FaultProxy::to_port(lab.port)?;
    lab.reach_through(&proxy)?;
    let plain = "[archive]\ncompression_level = 0";
    let mut ways = vec![
        twowarm("twowarm", ""),
        twowarm("twowarm, not compressed", plain),
        twowarm("the same, one channel", format!("channels = 1\n{plain}")),
        rsync(&lab, "rsync -cz, as 2warm", "-cz")?,
        rsync(&lab, "rsync -c", "-c")?,
        pgbackrest(&lab, "pgBackRest async", true, true)?,
    ];
    ways.push(other("ssh", "one ssh stream", stream(&lab)?));
    println!("S6. {SEGMENTS} segments over a line with a round trip of 150 ms and 125 MB/s");
    println!("  {:<34}{:>12}{:>12}{:>14}", "", "WAL MB/s", "line MB/s", "share of line");
    proxy.delay(DELAY_EACH_WAY);
    proxy.limit(BANDWIDTH);
    for (at, way) in ways.iter().enumerate() {
        if matches!(way.target, Target::Absent) {
            println!("  {:<34}{:>12}", way.name, "absent");
            continue;
        }
        match run(&lab, &proxy, way, at + 1 == ways.len()) {
            Ok((wal, sent)) => {
                let share = 100.0 * sent * 1e6 / BANDWIDTH as f64;
                println!("  {:<34}{wal:>12.2}{sent:>12.2}{share:>13.1}%", way.name);
            }
            Err(error) => println!("  {:<34}failed: {error}", way.name),
        }
    }
    println!("  target: 8 times the rate of one channel\n");
    Ok(Vec::new())
}

/// All segments in one stream that nothing answers.
fn stream(lab: &Lab) -> Outcome<String> {
    let files: Vec<String> = lab.loaded.iter().map(|name| format!("pg_wal/{name}")).collect();
    let (files, ssh) = (files.join(" "), lab.ssh()?.join(" "));
    Ok(format!("cat {files} | {ssh} {} 'cat > /dev/null'", lab.destination()))
}

/// The rates of WAL and of bytes on the line, in MB/s.
fn run(lab: &Lab, proxy: &FaultProxy, way: &Way, is_stream: bool) -> Outcome<(f64, f64)> {
    proxy.delay(Duration::ZERO);
    way.prepare(lab, &lab.loaded)?;
    proxy.delay(DELAY_EACH_WAY);
    let before = proxy.bytes(Direction::ToServer);
    let cost = if is_stream {
        measured(lab, || call(lab, &way.command))?
    } else {
        let cost = archive(lab, &way.command, &lab.loaded)?;
        way.check(lab, &lab.loaded, true)?;
        cost
    };
    let sent = proxy.bytes(Direction::ToServer) - before;
    let per_second = |bytes: u64| bytes as f64 / 1e6 / cost.wall.as_secs_f64();
    Ok((per_second(lab.loaded.len() as u64 * lab.segment), per_second(sent)))
}
