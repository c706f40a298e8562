//! From the rename of a segment into the archive to the exit of the process that waited for it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use twowarm_benches::{Samples, Table};
use twowarm_core::testbed::wait_until;

use crate::Outcome;
use crate::interleaved::timed;
use crate::programs::Programs;
use crate::scratch::{Scratch, segment_name, write_segment};

const ARRIVALS: u32 = 200;
/// Rounds of the C program, which take half a second each.
const ARRIVALS_ORIGINAL: u32 = 40;

pub fn compare(programs: &Programs) -> Outcome<Vec<Table>> {
    let scratch = Scratch::new()?;
    let segment = scratch.path().join("arriving");
    write_segment(&segment)?;
    let mut table = Table::new("2. From the segment's arrival to the end of the process");
    let (mut ours, mut copying) = (Samples::default(), Samples::default());
    for number in 0..ARRIVALS {
        ours.push(arrive(&scratch, &programs.pg_standby, "60", number, true)?);
        scratch.taken()?;
        let mut copy = scratch.command(&programs.copy_only);
        copying.push(timed(copy.arg(&segment).arg(scratch.target()))?);
    }
    table.row("twowarm, -s 60", ours);
    table.row("a program that only copies", copying);
    if let Some(original) = &programs.original {
        let mut theirs = Samples::default();
        for number in 0..ARRIVALS_ORIGINAL {
            theirs.push(arrive(&scratch, original, "1", number, false)?);
        }
        table.row("the C program, -s 1", theirs);
    }
    table.note("target: a median below 10 ms for any -s");
    Ok(vec![table])
}

fn arrive(
    scratch: &Scratch,
    program: &Path,
    interval: &str,
    number: u32,
    events: bool,
) -> Outcome<Duration> {
    scratch.taken()?;
    let name = segment_name(0x1000 + number);
    let (aside, place) = (scratch.path().join("arriving"), scratch.archive().join(&name));
    let mut command = scratch.command(program);
    command.args(["-s", interval]).arg(scratch.archive()).arg(&name).arg(scratch.target());
    let mut child = command.stdin(Stdio::null()).spawn()?;
    if events {
        wait_until("it to wait for events", Duration::from_secs(10), || has_events(&child))?;
    }
    // Evenly spread over one second, so that no program has only good or bad moments of its poll interval.
    let spread = Duration::from_millis(u64::from(number * 377 % 1000));
    sleep(if events { spread / 50 } else { spread });
    File::options().write(true).open(&aside)?.set_modified(SystemTime::now())?;
    let start = Instant::now();
    fs::rename(&aside, &place)?;
    let status = child.wait()?;
    let took = start.elapsed();
    fs::rename(&place, &aside)?;
    if status.success() { Ok(took) } else { Err(format!("{}: {status}", program.display()).into()) }
}

fn has_events(child: &Child) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", child.id()));
    descriptors.into_iter().flatten().flatten().any(|descriptor| {
        fs::read_link(descriptor.path()).is_ok_and(|link| link.as_os_str() == "anon_inode:inotify")
    })
}
