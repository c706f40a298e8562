use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use twowarm_core::testbed::{LIMIT, Node, wait_until};

/// A running command, and the lines that it prints on standard output and standard error.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    said: String,
}

impl Running {
    pub fn start(node: &Node, name: &str, arguments: &[&str]) -> Running {
        let mut command = node.program("sh");
        let place = node.global().join("replication").join(name);
        command.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(place).args(arguments);
        command.current_dir(node.pgdata()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Running { child, lines, said: String::new() }
    }

    /// Reads until a line contains one of these words; false if the command ended before.
    pub fn says(&mut self, words: &[&str]) -> bool {
        while let Ok(line) = self.lines.recv_timeout(LIMIT * 2) {
            self.said += &format!("{line}\n");
            if words.iter().any(|words| line.contains(words)) {
                return true;
            }
        }
        false
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits until it has ended; returns whether it succeeded, and all that it said.
    pub fn end(mut self) -> (bool, String) {
        self.says(&[]);
        let status = wait_until("the command to end", LIMIT, || self.child.try_wait().unwrap());
        (status.unwrap().success(), self.said)
    }
}
