use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::control_file;
use crate::wal::ClusterState;

/// The server of a data directory, as its `postmaster.pid` named it when we looked first.
///
/// A restore_command outlives a server that was killed, and then keeps the next one from starting:
/// whoever waits has to notice.
#[derive(Debug)]
pub struct Postmaster {
    pid_file: PathBuf,
    seen: Option<Seen>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    pid: i32,
    /// Seconds since the epoch; the third line, from 9.1 on.
    started: Option<u64>,
    /// When the process of that number started, in the kernel's clock ticks.
    ticks: Option<u64>,
}

impl Postmaster {
    /// The server of this data directory; a directory without a pid file has none.
    pub fn of(data_directory: &Path) -> Postmaster {
        let pid_file = data_directory.join("postmaster.pid");
        let seen = fs::read_to_string(&pid_file).ok().and_then(|text| Seen::parse(&text));
        Postmaster { pid_file, seen }
    }

    /// Its process, where there is a pid file.
    pub fn pid(&self) -> Option<i32> {
        self.seen.as_ref().map(|seen| seen.pid)
    }

    /// Whether there was a server and its process is running now.
    pub fn is_running(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| {
            // A number that says nothing of its start is taken for the same process: of the two errors,
            // stopping a server that runs is the worse.
            let same = |now: Option<u64>| now.zip(seen.ticks).is_none_or(|(now, then)| now == then);
            process_ticks(seen.pid).is_some_and(same)
        })
    }

    /// Whether the server takes connections, which a standby does once it is consistent. From 10 on the
    /// last line of its pid file says so; before, nothing does.
    pub fn takes_connections(&self) -> bool {
        let text = fs::read_to_string(&self.pid_file).unwrap_or_default();
        text.lines().nth(7).is_some_and(|status| status.trim() == "ready") && self.is_running()
    }

    /// Whether there was a server and there is no more, or another one took its place.
    pub fn is_gone(&self) -> bool {
        let Some(seen) = &self.seen else { return false };
        let replaced = match fs::read_to_string(&self.pid_file) {
            Ok(text) => Seen::parse(&text).is_some_and(|now| now.pid != seen.pid),
            Err(e) => e.kind() == io::ErrorKind::NotFound,
        };
        replaced || !self.is_running()
    }

    /// Which run of a server this is: no other has the same, also where it has the same process id.
    pub fn identity(&self) -> Option<String> {
        let seen = self.seen.as_ref()?;
        let (ticks, started) = (seen.ticks.unwrap_or(0), seen.started.unwrap_or(0));
        Some(format!("{} {ticks} {started}", seen.pid))
    }

    /// When this server began to shut down, if it does. From 10 on the last line of its pid file says so
    /// from the first moment on. Before, pg_control does from the shutdown checkpoint on, and by the time
    /// of the archiver's last pass it says that the cluster is shut down.
    pub fn stopping_since(&self) -> Option<SystemTime> {
        let seen = self.seen.as_ref()?;
        let text = fs::read_to_string(&self.pid_file).ok()?;
        if Seen::parse(&text)?.pid != seen.pid || !self.is_running() {
            return None;
        }
        let changed = |file: &Path| fs::metadata(file).and_then(|found| found.modified()).ok();
        if let Some(status) = text.lines().nth(7) {
            return if status.trim() == "stopping" { changed(&self.pid_file) } else { None };
        }
        use ClusterState::{ShutDown, ShutDownInRecovery, ShuttingDown};
        let pgdata = self.pid_file.parent()?;
        let state = control_file(pgdata).ok()??.state;
        let stopping = matches!(state, ShutDown | ShutDownInRecovery | ShuttingDown);
        if stopping { changed(&pgdata.join("global/pg_control")) } else { None }
    }

    /// Whether the file `promote`, written at this time, is meant for this server. It survives a
    /// promotion, so an older one says nothing. Without a server there is nothing to compare with.
    pub fn may_be_promoted_since(&self, written: SystemTime) -> bool {
        let Some(started) = self.seen.as_ref().and_then(|seen| seen.started) else { return true };
        // Both in whole seconds: the pid file has no finer time.
        let written = written.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        written.as_secs() >= started
    }
}

/// The files by which a server is told to promote, in its data directory: `promote` from 9.1 on,
/// `fallback_promote` besides in 9.3 to 12.
pub const PROMOTE_FILES: [&str; 2] = ["promote", "fallback_promote"];

/// Asks the server of a data directory, which must be in standby mode, to promote: what `pg_ctl promote`
/// does from 9.1 on. The server replays what restore_command still gives it, opens, and deletes the file.
///
/// # Errors
/// When the file can't be made, no server runs there, or it may not be signalled.
pub fn request_promotion(data_directory: &Path) -> io::Result<()> {
    let postmaster = Postmaster::of(data_directory);
    let running = postmaster.pid().filter(|_| postmaster.is_running());
    let pid = running.ok_or_else(|| io::Error::other("no server is running"))?;
    let file = data_directory.join(PROMOTE_FILES[0]);
    fs::OpenOptions::new().create(true).append(true).open(file)?;
    Ok(kill(Pid::from_raw(pid), Signal::SIGUSR1)?)
}

impl Seen {
    fn parse(pid_file: &str) -> Option<Seen> {
        let mut lines = pid_file.lines();
        // A single-user server writes its number negative.
        let pid = lines.next()?.trim().parse::<i32>().ok()?.abs();
        let started = lines.nth(1).and_then(|line| line.trim().parse().ok());
        Some(Seen { pid, started, ticks: process_ticks(pid).flatten() })
    }
}

/// When the living process of this number started, in clock ticks; `Some(None)` where the kernel does
/// not tell, `None` when there is no such process or it is dead and not yet reaped.
pub(crate) fn process_ticks(pid: i32) -> Option<Option<u64>> {
    if pid <= 0 || kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH) {
        return None;
    }
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return Some(None) };
    // The name, in parentheses, may hold anything; the state follows it, the start is 19 further on.
    let after_name = stat.rfind(')').map_or("", |end| &stat[end + 1..]);
    let mut fields = after_name.split_whitespace();
    match fields.next() {
        Some("Z" | "X") => None,
        _ => Some(fields.nth(18).and_then(|ticks| ticks.parse().ok())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_pid_file(content: &str) -> (tempfile::TempDir, Postmaster) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("postmaster.pid"), content).unwrap();
        let postmaster = Postmaster::of(dir.path());
        (dir, postmaster)
    }

    #[test]
    fn a_living_process_is_there_and_a_dead_one_is_gone_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let (_dir, postmaster) = with_pid_file(&format!("{}\n/data\n1700000000\n", child.id()));
        assert!(postmaster.is_running() && !postmaster.is_gone());
        child.kill().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !postmaster.is_gone() {
            assert!(std::time::Instant::now() < deadline, "a zombie counts as gone");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(postmaster.is_gone());
    }

    #[test]
    fn without_a_pid_file_nobody_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let postmaster = Postmaster::of(dir.path());
        assert!(!postmaster.is_gone() && !postmaster.is_running());
        assert!(postmaster.may_be_promoted_since(SystemTime::UNIX_EPOCH));
    }

    #[test]
    fn a_promote_file_from_before_the_server_started_is_not_for_it() {
        let (_dir, postmaster) =
            with_pid_file(&format!("{}\n/d\n1700000000\n", std::process::id()));
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(!postmaster.may_be_promoted_since(at(1_699_999_999)));
        assert!(postmaster.may_be_promoted_since(at(1_700_000_000)));
    }

    #[test]
    fn a_pid_file_that_names_another_process_now_means_that_ours_is_gone() {
        let (dir, postmaster) = with_pid_file(&format!("{}\n/d\n1\n", std::process::id()));
        assert!(!postmaster.is_gone());
        fs::write(dir.path().join("postmaster.pid"), "1\n/d\n2\n").unwrap();
        assert!(postmaster.is_gone());
        fs::remove_file(dir.path().join("postmaster.pid")).unwrap();
        assert!(postmaster.is_gone());
    }

    #[test]
    fn a_pid_file_that_cannot_be_read_for_once_says_nothing() {
        let (dir, postmaster) = with_pid_file(&format!("{}\n/d\n1\n", std::process::id()));
        let file = dir.path().join("postmaster.pid");
        fs::write(&file, "").unwrap();
        assert!(!postmaster.is_gone());
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(!postmaster.is_gone());
    }
}
