use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

use super::{LIMIT, processes, wait_until};

/// A command that runs while the test continues. Its output is kept. Dropping it kills the command.
#[derive(Debug)]
pub struct Call {
    child: Child,
    output: NamedTempFile,
}

/// How a [`Call`] ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code, unless a signal ended the command.
    pub code: Option<i32>,
    /// The signal that ended the command.
    pub signal: Option<i32>,
    /// Standard output and standard error.
    pub said: String,
}

impl Ended {
    /// Asserts this exit code; returns the output.
    #[track_caller]
    pub fn exited(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.said
    }
}

impl Call {
    /// Starts a command with nothing on its standard input.
    #[must_use]
    #[track_caller]
    pub fn start(mut command: Command) -> Call {
        let output = NamedTempFile::new().expect("the temporary directory is writable");
        let stream = || Stdio::from(output.reopen().expect("the file was just created"));
        command.stdin(Stdio::null()).stdout(stream()).stderr(stream());
        Call { child: command.spawn().expect("the command can be run"), output }
    }

    /// The process id of the command.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The process that does the work: the command's first child (what strace runs, or the process in which
    /// restoreWALFile reads the archive), else the command itself.
    #[must_use]
    pub fn worker(&self) -> i32 {
        processes::worker_of(self.pid())
    }

    /// The output so far.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.output.path()).expect("the output is text")
    }

    /// Whether the command has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the child was not reaped").is_some()
    }

    /// Waits until the output contains these words.
    #[track_caller]
    pub fn says(&mut self, words: &str) -> &mut Call {
        self.becomes(&format!("say \"{words}\""), |call| call.said().contains(words))
    }

    /// Waits until the command has looked at everything, watches for changes and sleeps.
    #[track_caller]
    pub fn watches(&mut self) -> &mut Call {
        self.becomes("watch and sleep", |call| processes::watches(call.worker()))
    }

    /// Waits until the command has said why it waits, and waits.
    #[track_caller]
    pub fn waits_for(&mut self, words: &str) {
        self.says(words).watches();
    }

    /// Waits until `act` has woken the command and it sleeps again.
    #[track_caller]
    pub fn looks_again_after(&mut self, act: impl FnOnce()) -> &mut Call {
        let before = self.times_asleep();
        act();
        self.becomes("look again", |call| {
            call.times_asleep() > before && processes::sleeps(call.worker())
        })
    }

    /// Waits until the command has woken and gone back to sleep this often since now.
    #[track_caller]
    pub fn looks_again(&mut self, times: u64) -> &mut Call {
        let enough = self.times_asleep() + times;
        self.becomes("look again", |call| {
            call.times_asleep() >= enough && processes::sleeps(call.worker())
        })
    }

    #[track_caller]
    fn becomes(&mut self, what: &str, reached: impl Fn(&Call) -> bool) -> &mut Call {
        let found = wait_until(what, LIMIT, || {
            // Asked first: what a command does last, it does before it ends.
            let ended = self.has_ended();
            if reached(self) { Some(true) } else { ended.then_some(false) }
        });
        assert!(found.unwrap_or(false), "the command does not {what}; it said:\n{}", self.said());
        self
    }

    fn times_asleep(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.worker()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
    }

    /// Sends the command a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("the command has not been reaped");
    }

    /// Sends [`Call::worker`] a signal.
    pub fn signal_worker(&self, signal: Signal) {
        kill(Pid::from_raw(self.worker()), signal).expect("the command still runs");
    }

    /// Waits until the command ends.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let ended = wait_until("the command to end", LIMIT, || {
            self.child.try_wait().expect("the child was not reaped")
        });
        let said = self.said();
        let status = ended.unwrap_or_else(|error| panic!("{error}; it said:\n{said}"));
        Ended { code: status.code(), signal: status.signal(), said }
    }

    /// Waits until the command ends, and asserts its exit code; returns the output.
    #[track_caller]
    pub fn exits(self, code: i32) -> String {
        self.end().exited(code)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
