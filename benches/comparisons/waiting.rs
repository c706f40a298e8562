//! The processor time of one minute of waiting.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use twowarm_benches::{Samples, Table};

use crate::Outcome;
use crate::programs::Programs;
use crate::scratch::{Scratch, segment_name};

const SETTLE: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Killed when dropped.
struct Waiting(Child);

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn compare(programs: &Programs) -> Outcome<Vec<Table>> {
    let scratch = Scratch::new()?;
    // With a postmaster.pid, so that the postmaster is checked at each poll.
    let pid_file = format!("{}\n{}\n0\n", std::process::id(), scratch.path().display());
    fs::write(scratch.path().join("postmaster.pid"), pid_file)?;
    let original = programs.original.as_deref();
    let wanted = [
        ("twowarm, -s 60", Some(programs.pg_standby.as_path()), "60"),
        ("twowarm, -s 5", Some(&programs.pg_standby), "5"),
        ("twowarm, -s 1", Some(&programs.pg_standby), "1"),
        ("the C program, -s 60", original, "60"),
        ("the C program, -s 5", original, "5"),
        ("the C program, -s 1", original, "1"),
    ];
    let mut all = Vec::new();
    for (name, program, interval) in wanted {
        if let Some(program) = program {
            all.push((name, start(&scratch, program, interval)?));
        }
    }
    sleep(SETTLE);
    let before = times(&all)?;
    sleep(MINUTE);
    let after = times(&all)?;
    let mut table = Table::new("5. Processor time of a minute's waiting");
    for ((name, _), (before, after)) in all.iter().zip(before.into_iter().zip(after)) {
        let mut samples = Samples::default();
        samples.push(after - before);
        table.row(name, samples);
    }
    table.note("target: below 10 ms");
    Ok(vec![table])
}

fn start(scratch: &Scratch, program: &Path, interval: &str) -> Outcome<Waiting> {
    let mut command = scratch.command(program);
    command.args(["-s", interval, "-t"]).arg(scratch.path().join("trigger"));
    command.arg(scratch.archive()).arg(segment_name(0x1234)).arg(scratch.target());
    Ok(Waiting(command.stdin(Stdio::null()).spawn()?))
}

fn times(all: &[(&str, Waiting)]) -> Outcome<Vec<Duration>> {
    all.iter().map(|(_, waiting)| on_processor(waiting.0.id())).collect()
}

/// User and system time together, which /proc/PID/stat counts in hundredths of a second.
fn on_processor(pid: u32) -> Outcome<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let nanos = text.split(' ').next().ok_or("an empty schedstat")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}
