use std::io::{self, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::duplex::Duplex;
use crate::limits::Every;
use crate::reach::{LocalUser, Reach, SshFailure, SshOptions, last_line};
use crate::ship::ssh::SshError;
use crate::ship::transport::{ConnectError, Connection, FarCommand, Transport};

/// ssh's exit code for its own failures.
const SSH_FAILED: i32 = 255;

/// The longest messages that are kept, in bytes.
const MAX_MESSAGES: usize = 64 * 1024;

/// For this long after ssh has ended its last messages are waited for. A connection that ControlPersist keeps
/// open has the same standard error, which therefore does not end.
const LAST_MESSAGES: Duration = Duration::from_millis(50);

/// How often it is checked whether ssh has ended.
const POLL: Duration = Duration::from_millis(2);

/// Starts one far command on one node by the ssh program, which supports everything in the user's ssh
/// configuration: ProxyJump, ProxyCommand, ControlMaster, certificates.
#[derive(Debug, Clone)]
pub struct OpenSshTransport {
    reach: Reach,
    command: FarCommand,
    /// The command's path there and its arguments; no shell gives them another meaning.
    program: String,
    node: String,
}

impl OpenSshTransport {
    /// A transport to this node.
    ///
    /// # Errors
    /// [`SshError::UnsafePath`] if a shell could give the command's path on that node another meaning.
    pub fn new(reach: &Reach, command: FarCommand) -> Result<OpenSshTransport, SshError> {
        let program = command.command_line(&reach.pgroot)?;
        let node = reach.node.to_string();
        Ok(OpenSshTransport { reach: reach.clone(), command, program, node })
    }

    fn ssh(&self) -> Command {
        let local = LocalUser::current();
        let options = SshOptions::of(&self.reach, self.command.key(&self.reach), local.as_ref());
        let mut ssh = Command::new("ssh");
        ssh.args(options.unattended(self.reach.time_limit));
        // A port that the configuration forwards may be in use by another connection.
        ssh.args(["-T", "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none"]);
        if !self.command.has_input() {
            ssh.arg("-n");
        }
        ssh.args(["--", self.reach.node.host(), &self.program]);
        ssh.env("LC_ALL", "C");
        ssh
    }
}

impl Transport for OpenSshTransport {
    fn connect(&self) -> Result<Box<dyn Connection>, ConnectError> {
        let failed = |error| ConnectError::Local { program: "ssh".into(), error };
        let mut ssh = self.ssh();
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = ssh.spawn().map_err(failed)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(stderr)) = pipes else {
            unreachable!("all three are piped")
        };
        let limit = self.reach.time_limit;
        let process = Process { child, messages: Messages::collect(stderr), limit };
        let pipes = Duplex::new(output, input, limit).map_err(failed)?;
        let (node, command) = (self.node.clone(), self.command);
        Ok(Box::new(OpenSshConnection {
            pipes: Some(pipes),
            process,
            node,
            command,
            answered: false,
        }))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn command(&self) -> FarCommand {
        self.command
    }
}

struct OpenSshConnection {
    /// None once they are closed.
    pipes: Option<Duplex<ChildStdout, ChildStdin>>,
    process: Process,
    node: String,
    command: FarCommand,
    /// Whether anything has arrived from the far command.
    answered: bool,
}

impl Read for OpenSshConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(pipes) = &mut self.pipes else { return Ok(0) };
        let read = pipes.read(buffer)?;
        self.answered |= read > 0;
        Ok(read)
    }
}

impl Write for OpenSshConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.pipes {
            Some(pipes) => pipes.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for OpenSshConnection {
    fn last_words(&mut self) -> Option<String> {
        self.pipes = None;
        let status = self.process.ended()?;
        self.command.ending(status.code(), last_line(&self.process.messages.text()))
    }

    fn has_arrived(&mut self) -> bool {
        self.pipes.as_ref().is_some_and(Duplex::has_arrived)
    }

    fn connect_failure(&mut self) -> Option<ConnectError> {
        if self.answered {
            return None;
        }
        self.pipes = None;
        let status = self.process.ended()?;
        if status.code() != Some(SSH_FAILED) {
            return None;
        }
        let text = self.process.messages.text();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        Some(SshFailure::of(&self.node, &lines)?.into())
    }
}

/// The ssh client. It is killed when this is dropped.
struct Process {
    child: Child,
    messages: Messages,
    limit: Duration,
}

impl Process {
    /// Waits for it to end, at most for the time limit.
    fn ended(&mut self) -> Option<ExitStatus> {
        let mut late = Every::new(self.limit);
        loop {
            match self.child.try_wait() {
                Ok(None) if !late.is_due() => thread::sleep(POLL),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What ssh writes to its standard error. A thread reads it, so that ssh never waits for a full pipe.
struct Messages {
    text: Arc<Mutex<Vec<u8>>>,
    reader: thread::JoinHandle<()>,
}

impl Messages {
    fn collect(mut stderr: ChildStderr) -> Messages {
        let text = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut buffer) {
                let mut text = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let space = MAX_MESSAGES.saturating_sub(text.len());
                text.extend_from_slice(&buffer[..read.min(space)]);
            }
        });
        Messages { text, reader }
    }

    /// All of them, once ssh has ended.
    fn text(&self) -> String {
        let end = Instant::now() + LAST_MESSAGES;
        while !self.reader.is_finished() && Instant::now() < end {
            thread::sleep(POLL);
        }
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }
}
