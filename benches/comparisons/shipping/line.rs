//! A line across an ocean: 150 ms for a round trip, 2.5 Gbit/s.

use std::time::Duration;

use twowarm_core::testbed::{Direction, FaultProxy};

use super::archiver::{archive, call, measured};
use super::lab::Lab;
use super::ways::{Target, Way, other, pgbackrest, rsync, twowarm};
use super::{Printed, USUAL};
use crate::Outcome;
use crate::programs::Programs;

const SEGMENTS: usize = 128;
/// For programs with one connection, whose rate does not depend on it.
const FEWER: usize = 16;
const DELAY_EACH_WAY: Duration = Duration::from_millis(75);
/// Bytes per second. A line of 1 Gbit/s would limit the programs with several connections.
const BANDWIDTH: u64 = 312_500_000;

pub fn long_line(programs: &Programs) -> Printed {
    let mut lab = Lab::new(&programs.commands, USUAL, SEGMENTS)?;
    let proxy = FaultProxy::to_port(lab.port)?;
    lab.reach_through(&proxy)?;
    let plain = "[archive]\ncompression_level = 0";
    let all = lab.loaded.as_slice();
    let few = &all[..FEWER];
    let ways = [
        (twowarm("twowarm", ""), all),
        (twowarm("twowarm, one channel", "channels = 1"), few),
        (twowarm("twowarm, not compressed", plain), all),
        (twowarm("the same, one channel", format!("channels = 1\n{plain}")), few),
        (rsync(&lab, "rsync -cz, as 2warm", "-cz")?, few),
        (rsync(&lab, "rsync -c", "-c")?, few),
        (pgbackrest(&lab, "pgBackRest async", true, true)?, all),
        (other("ssh", "one ssh stream", stream(&lab, few)?), few),
    ];
    println!("S6. A backlog over a line with a round trip of 150 ms and 2.5 Gbit/s");
    println!("  {:<34}{:>12}{:>12}{:>14}", "", "WAL MB/s", "line MB/s", "share of line");
    proxy.delay(DELAY_EACH_WAY);
    proxy.limit(BANDWIDTH);
    for (at, (way, names)) in ways.iter().enumerate() {
        if matches!(way.target, Target::Absent) {
            println!("  {:<34}{:>12}", way.name, "absent");
            continue;
        }
        match run(&lab, &proxy, way, names, at + 1 == ways.len()) {
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
fn stream(lab: &Lab, names: &[String]) -> Outcome<String> {
    let files: Vec<String> = names.iter().map(|name| format!("pg_wal/{name}")).collect();
    let (files, ssh) = (files.join(" "), lab.ssh()?.join(" "));
    Ok(format!("cat {files} | {ssh} {} 'cat > /dev/null'", lab.destination()))
}

/// The rates of WAL and of bytes on the line, in MB/s.
fn run(
    lab: &Lab,
    proxy: &FaultProxy,
    way: &Way,
    names: &[String],
    is_stream: bool,
) -> Outcome<(f64, f64)> {
    proxy.delay(Duration::ZERO);
    way.prepare(lab, names)?;
    proxy.delay(DELAY_EACH_WAY);
    let before = proxy.bytes(Direction::ToServer);
    let cost = if is_stream {
        measured(lab, || call(lab, &way.command))?
    } else {
        let cost = archive(lab, &way.command, names)?;
        way.check(lab, names, true)?;
        cost
    };
    let sent = proxy.bytes(Direction::ToServer) - before;
    let per_second = |bytes: u64| bytes as f64 / 1e6 / cost.wall.as_secs_f64();
    Ok((per_second(names.len() as u64 * lab.segment), per_second(sent)))
}
