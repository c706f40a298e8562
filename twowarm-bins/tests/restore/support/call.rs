use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;
use twowarm_core::testbed::wait_until;

use super::LIMIT;

/// A call that runs. It is killed when it is dropped.
pub struct Call {
    child: Child,
    log: NamedTempFile,
}

/// How a call ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// The signal that it died of.
    pub signal: Option<i32>,
    /// What it said.
    pub said: String,
}

impl Call {
    /// Starts it; its messages go to the log.
    pub fn start(mut command: Command, log: NamedTempFile) -> Call {
        let out = log.reopen().expect("a file just made");
        let child = command.stdout(std::process::Stdio::null()).stderr(out).spawn();
        Call { child: child.expect("the binary runs"), log }
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// What it has said until now.
    pub fn said(&self) -> String {
        fs::read_to_string(self.log.path()).expect("a file just made")
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }

    /// Waits until it has looked at everything, decided to wait and fallen asleep for these words.
    pub fn waits_for(&mut self, words: &str) {
        self.says(words);
        let what = format!("the call to sleep; it said:\n{}", self.said());
        wait_until(&what, LIMIT, || self.has_ended() || self.watches() && self.sleeps())
            .expect("it waits");
        assert!(!self.has_ended(), "it ended instead of waiting: {}", self.said());
    }

    /// Waits until it says these words.
    pub fn says(&mut self, words: &str) {
        let heard = |call: &Call| call.said().contains(words);
        let found = wait_until(words, LIMIT, || heard(self) || self.has_ended());
        assert!(found.is_ok() && heard(self), "no \"{words}\" in what it said:\n{}", self.said());
    }

    /// Whether it has begun to watch, which it does before each wait.
    fn watches(&self) -> bool {
        let files = fs::read_dir(format!("/proc/{}/fd", self.asker()));
        files.into_iter().flatten().flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:inotify")
        })
    }

    fn sleeps(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.asker())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S'))
    }

    /// The process that asks the archive: a child of the call's own, while there is one.
    pub fn asker(&self) -> i32 {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let child = children.ok().and_then(|all| all.split(' ').next()?.parse().ok());
        child.unwrap_or(pid)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("a child of ours");
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        let ended = wait_until("the call to end", LIMIT, || {
            self.child.try_wait().expect("a child of ours")
        });
        let said = self.said();
        let status = ended.unwrap_or_else(|e| panic!("{e}; it said:\n{said}"));
        Ended { code: status.code(), signal: status.signal(), said }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
