//! archive_command as PostgreSQL's archiver runs it, and what it costs.

use std::fs::{self, File};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::lab::Lab;
use crate::Outcome;

/// How long processes that archive_command left behind may run after the last file.
const LEFT_BEHIND: Duration = Duration::from_secs(90);

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// From before the first call to after the last.
    pub wall: Duration,
    /// Processor time of archive_command, of sshd's sessions and of all their processes.
    pub processor: Duration,
}

/// Runs archive_command once for each file, one after the other, until all have succeeded.
pub fn archive(lab: &Lab, command: &str, names: &[String]) -> Outcome<Cost> {
    measured(lab, || {
        for name in names {
            let line = command.replace("%p", &format!("pg_wal/{name}")).replace("%f", name);
            call(lab, &line)?;
            lab.set_archived(name)?;
        }
        Ok(())
    })
}

/// Runs a command line in the data directory, as the server does.
pub fn call(lab: &Lab, line: &str) -> Outcome<()> {
    let log = lab.db1.home().join("archiver.log");
    let mut sh = lab.db1.program("sh");
    sh.arg("-c").arg(line).current_dir(lab.db1.pgdata());
    sh.stdout(Stdio::null()).stderr(File::create(&log)?);
    let status = sh.status()?;
    if status.success() {
        return Ok(());
    }
    let said = fs::read_to_string(&log)?;
    Err(format!("{line}: {status}: {}", said.lines().last().unwrap_or("no message")).into())
}

/// Runs something and waits for the processes that it leaves behind, which is not part of the wall time.
pub fn measured(lab: &Lab, run: impl FnOnce() -> Outcome<()>) -> Outcome<Cost> {
    // Processes that are left behind become children of this one.
    set_child_subreaper(true)?;
    let known = children();
    let before = processor_time(lab)?;
    let start = Instant::now();
    let outcome = run();
    let wall = start.elapsed();
    settle(lab, &known)?;
    outcome?;
    Ok(Cost { wall, processor: processor_time(lab)? - before })
}

fn settle(lab: &Lab, known: &[i32]) -> Outcome<()> {
    let limit = Instant::now() + LEFT_BEHIND;
    loop {
        let left: Vec<i32> = children().into_iter().filter(|pid| !known.contains(pid)).collect();
        for &pid in left.iter().filter(|&&pid| is_zombie(pid)) {
            waitpid(Pid::from_raw(pid), None)?;
        }
        if left.is_empty() && children_of(lab.sshd).is_empty() {
            return Ok(());
        }
        if Instant::now() > limit {
            return Err(format!("processes {left:?} did not end").into());
        }
        sleep(Duration::from_millis(5));
    }
}

fn children() -> Vec<i32> {
    children_of(std::process::id() as i32)
}

fn children_of(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn is_zombie(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z'))
}

/// Processor time of this process's and of sshd's children that have ended. A far end that is still running when its
/// session ends becomes a child of this process.
fn processor_time(lab: &Lab) -> Outcome<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let stat = fs::read_to_string(format!("/proc/{}/stat", lab.sshd))?;
    let after_name = stat.rsplit_once(") ").ok_or("an unknown format of /proc/PID/stat")?.1;
    // cutime and cstime, in hundredths of a second, are fields 16 and 17; the state is field 3.
    let fields = after_name.split(' ').skip(13).take(2).map(str::parse::<u64>);
    let hundredths = fields.sum::<Result<u64, _>>()?;
    Ok(Duration::from_micros(micros as u64 + 10_000 * hundredths))
}
