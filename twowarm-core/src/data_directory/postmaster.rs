use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::process::process_ticks;
#[cfg(feature = "ship")]
use super::running_server;
use super::{PidFile, control_file};
#[cfg(feature = "ship")]
use crate::file_error::FileError;
use crate::wal::ClusterState;

/// One run of a data directory's server: the one that `postmaster.pid` named when this was made.
///
/// A restore_command outlives a server that was killed, and then keeps the next one from starting. So it has
/// to notice that its server is gone.
#[derive(Debug)]
pub struct Postmaster {
    data_directory: PathBuf,
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    file: PidFile,
    /// When the process with that id started, in the kernel's clock ticks.
    ticks: Option<u64>,
}

impl Postmaster {
    /// The server of this data directory; without a pid file there is none.
    #[must_use]
    pub fn of(data_directory: &Path) -> Postmaster {
        let file = PidFile::read(data_directory).ok().flatten();
        let seen = file.map(|file| Seen { ticks: process_ticks(file.pid).flatten(), file });
        Postmaster { data_directory: data_directory.to_owned(), seen }
    }

    /// Its process id, if there is a pid file.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.seen.as_ref().map(|seen| seen.file.pid)
    }

    /// Whether there was a server and its process is running now.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| {
            // Without a start time the process is taken to be the same one: to stop a server that runs would
            // be the worse mistake.
            let same = |now: Option<u64>| now.zip(seen.ticks).is_none_or(|(now, then)| now == then);
            process_ticks(seen.file.pid).is_some_and(same)
        })
    }

    /// Whether the server takes connections, as a standby does once it is consistent. Its pid file says so
    /// from 10 on; before, this is always false.
    pub(crate) fn takes_connections(&self) -> bool {
        let now = PidFile::read(&self.data_directory).ok().flatten();
        let is_ready = now.and_then(|file| file.status).is_some_and(|status| status == "ready");
        is_ready && self.is_running()
    }

    /// Whether there was a server and it is gone, or another one has taken its place.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let Some(seen) = &self.seen else { return false };
        let is_replaced = match PidFile::read(&self.data_directory) {
            Ok(Some(now)) => now.pid != seen.file.pid,
            Ok(None) => true,
            Err(_) => false,
        };
        is_replaced || !self.is_running()
    }

    /// Text that identifies this run of a server: another run has another one, even with the same process id.
    #[must_use]
    pub fn identity(&self) -> Option<String> {
        let seen = self.seen.as_ref()?;
        let (ticks, started) = (seen.ticks.unwrap_or(0), seen.file.started.unwrap_or(0));
        Some(format!("{} {ticks} {started}", seen.file.pid))
    }

    /// When this server began to shut down, if it does. From 10 on its pid file says so from the first moment
    /// on. Before, pg_control does from the shutdown checkpoint on, and during the archiver's last pass it
    /// says that the cluster is shut down.
    #[must_use]
    pub fn stopping_since(&self) -> Option<SystemTime> {
        let now = PidFile::read(&self.data_directory).ok()??;
        if Some(now.pid) != self.pid() || !self.is_running() {
            return None;
        }
        let changed = |file: &str| {
            fs::metadata(self.data_directory.join(file)).and_then(|found| found.modified()).ok()
        };
        if let Some(status) = now.status {
            return if status == "stopping" { changed("postmaster.pid") } else { None };
        }
        use ClusterState::{ShutDown, ShutDownInRecovery, ShuttingDown};
        let state = control_file(&self.data_directory).ok()??.state;
        let is_stopping = matches!(state, ShutDown | ShutDownInRecovery | ShuttingDown);
        if is_stopping { changed("global/pg_control") } else { None }
    }

    /// Whether the file `promote`, written at this time, is meant for this server. The file survives a
    /// promotion, so one that is older than the server is ignored. Without a server there is nothing to
    /// compare with.
    #[must_use]
    pub fn may_be_promoted_since(&self, written: SystemTime) -> bool {
        let Some(started) = self.seen.as_ref().and_then(|seen| seen.file.started) else {
            return true;
        };
        // In whole seconds, because the pid file has no finer time.
        let written = written.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        written.as_secs() >= started
    }
}

/// The file by which the running server of a data directory was told to promote, if it has not obeyed yet.
#[cfg(feature = "ship")]
pub(crate) fn promotion_file(data_directory: &Path) -> Result<Option<PathBuf>, FileError> {
    if running_server(data_directory)?.is_none() {
        return Ok(None);
    }
    let postmaster = Postmaster::of(data_directory);
    let is_valid = |file: &PathBuf| {
        let written = fs::metadata(file).and_then(|found| found.modified());
        written.is_ok_and(|at| postmaster.may_be_promoted_since(at))
    };
    Ok(PROMOTE_FILES.map(|name| data_directory.join(name)).into_iter().find(is_valid))
}

/// The files in the data directory by which a server is told to promote: `promote` from 9.1 on, and
/// `fallback_promote` in 9.3 to 12.
pub(crate) const PROMOTE_FILES: [&str; 2] = ["promote", "fallback_promote"];

/// Asks the server of a data directory, which must be in standby mode, to promote: what `pg_ctl promote`
/// does from 9.1 on. The server replays what restore_command still gives it, opens, and deletes the file.
pub(crate) fn request_promotion(data_directory: &Path) -> io::Result<()> {
    let postmaster = Postmaster::of(data_directory);
    let running = postmaster.pid().filter(|_| postmaster.is_running());
    let pid = running.ok_or_else(|| io::Error::other("no server is running"))?;
    let file = data_directory.join(PROMOTE_FILES[0]);
    fs::OpenOptions::new().create(true).append(true).open(file)?;
    Ok(kill(Pid::from_raw(pid), Signal::SIGUSR1)?)
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
    fn a_dead_process_is_gone_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let (_dir, postmaster) = with_pid_file(&format!("{}\n/data\n1700000000\n", child.id()));
        assert!(postmaster.is_running() && !postmaster.is_gone());
        child.kill().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !postmaster.is_gone() {
            assert!(std::time::Instant::now() < deadline, "a zombie process is treated as exited");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(postmaster.is_gone());
    }

    #[test]
    fn without_a_pid_file_no_server_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let postmaster = Postmaster::of(dir.path());
        assert!(!postmaster.is_gone() && !postmaster.is_running());
        assert!(postmaster.may_be_promoted_since(SystemTime::UNIX_EPOCH));
    }

    #[test]
    fn a_promote_file_older_than_the_server_is_ignored() {
        let (_dir, postmaster) =
            with_pid_file(&format!("{}\n/d\n1700000000\n", std::process::id()));
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(!postmaster.may_be_promoted_since(at(1_699_999_999)));
        assert!(postmaster.may_be_promoted_since(at(1_700_000_000)));
    }

    #[test]
    fn a_pid_file_with_another_process_id_means_that_the_server_is_gone() {
        let (dir, postmaster) = with_pid_file(&format!("{}\n/d\n1\n", std::process::id()));
        assert!(!postmaster.is_gone());
        fs::write(dir.path().join("postmaster.pid"), "1\n/d\n2\n").unwrap();
        assert!(postmaster.is_gone());
        fs::remove_file(dir.path().join("postmaster.pid")).unwrap();
        assert!(postmaster.is_gone());
    }

    #[test]
    fn a_pid_file_that_cannot_be_read_changes_nothing() {
        let (dir, postmaster) = with_pid_file(&format!("{}\n/d\n1\n", std::process::id()));
        let file = dir.path().join("postmaster.pid");
        fs::write(&file, "").unwrap();
        assert!(!postmaster.is_gone());
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(!postmaster.is_gone());
    }
}
