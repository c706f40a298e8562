use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

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
    /// What it said, on either stream.
    pub said: String,
}

impl Call {
    /// Starts it; its messages are kept.
    pub fn start(mut command: Command) -> Call {
        let log = NamedTempFile::new().expect("a file for its messages");
        let stream = || Stdio::from(log.reopen().expect("a file just made"));
        let child = command.stdin(Stdio::null()).stdout(stream()).stderr(stream()).spawn();
        Call { child: child.expect("the binary runs"), log }
    }

    /// pg_standby's process: ours, or the child of the tracer that we started.
    pub fn pid(&self) -> i32 {
        let own = self.child.id() as i32;
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        children.ok().and_then(|list| list.split(' ').next()?.parse().ok()).unwrap_or(own)
    }

    /// What it has said until now.
    pub fn said(&self) -> String {
        fs::read_to_string(self.log.path()).expect("a file just made")
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }

    /// Waits until it has looked at everything, begun to watch and fallen asleep.
    pub fn watches(&mut self) -> &mut Call {
        self.becomes("watch and sleep", |call| call.has_inotify() && call.sleeps())
    }

    /// Waits until it says these words.
    pub fn says(&mut self, words: &str) -> &mut Call {
        self.becomes(&format!("say \"{words}\""), |call| call.said().contains(words))
    }

    /// Waits until it has been woken by this and sleeps again.
    pub fn looks_again_after(&mut self, act: impl FnOnce()) -> &mut Call {
        let before = self.times_asleep();
        act();
        self.becomes("look again", |call| call.times_asleep() > before && call.sleeps())
    }

    fn times_asleep(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
    }

    fn becomes(&mut self, what: &str, reached: impl Fn(&Call) -> bool) -> &mut Call {
        let found = wait_until(what, LIMIT, || match reached(self) {
            true => Some(true),
            false => self.has_ended().then_some(false),
        });
        assert!(found.unwrap_or(false), "does not {what}; it said:\n{}", self.said());
        self
    }

    fn has_inotify(&self) -> bool {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid()));
        files.into_iter().flatten().flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:inotify")
        })
    }

    /// Whether it sleeps in a wait; one that is traced, or has just been woken, does not.
    pub fn sleeps(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S'))
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

    /// Waits for its end, which must be this exit code.
    pub fn exits(self, code: i32) -> String {
        let ended = self.end();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        ended.said
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
