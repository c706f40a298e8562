use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use super::ssh::{SshError, shell_safe};
use crate::archive::ArchiveError;
use crate::reach::{Reach, SshFailure, last_line};
use crate::retry::Retryable;
use crate::rsync::RsyncError;

/// A command that is started on a far node. Its arguments are fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FarCommand {
    /// Adds WAL files to the node's archive.
    ReceiveWalFile,
    /// Receives a base copy.
    ReceiveBaseCopy,
    /// Sends WAL files from the node's archive.
    SendWalFile,
    /// Promotes the node's standby, if it has all WAL of a flushed primary.
    TriggerStandby,
    /// Checks that the node's standby is running.
    CheckStandby,
}

impl FarCommand {
    /// The command's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FarCommand::ReceiveWalFile => "receiveWALFile",
            FarCommand::ReceiveBaseCopy => "receiveBaseCopy",
            FarCommand::SendWalFile => "sendWALFile",
            FarCommand::TriggerStandby | FarCommand::CheckStandby => "triggerStandby",
        }
    }

    /// Its arguments, in words that have no meaning to a shell.
    fn arguments(self) -> &'static str {
        match self {
            FarCommand::ReceiveWalFile | FarCommand::ReceiveBaseCopy | FarCommand::SendWalFile => {
                ""
            }
            FarCommand::TriggerStandby => " smart --require-receipt",
            FarCommand::CheckStandby => " --check",
        }
    }

    /// Whether it reads its standard input. Otherwise that is closed at once: the command to which a key is restricted, which
    /// runs instead, then ends instead of waiting for input.
    pub(super) fn has_input(self) -> bool {
        match self {
            FarCommand::ReceiveWalFile | FarCommand::ReceiveBaseCopy | FarCommand::SendWalFile => {
                true
            }
            FarCommand::TriggerStandby | FarCommand::CheckStandby => false,
        }
    }

    /// The command line for the shell of the far node.
    pub(super) fn command_line(self, pgroot: &Path) -> Result<String, SshError> {
        Ok(shell_safe(&self.path(pgroot))? + self.arguments())
    }

    /// What to do if a node does not have the command.
    pub(super) fn if_missing(self) -> &'static str {
        match self {
            FarCommand::ReceiveWalFile => {
                "run distrib2warm. If that node still has 2warm's scripts, replace the commands in this order: on the standby receiveWALFile, pg_standby, restoreWALFile and triggerStandby, then archiveWALFile on the primary"
            }
            FarCommand::ReceiveBaseCopy
            | FarCommand::SendWalFile
            | FarCommand::TriggerStandby
            | FarCommand::CheckStandby => "run distrib2warm",
        }
    }

    /// The private key that a node's configuration has for it.
    pub(super) fn key(self, reach: &Reach) -> Option<&PathBuf> {
        match self {
            FarCommand::ReceiveWalFile => reach.key.as_ref(),
            FarCommand::ReceiveBaseCopy | FarCommand::TriggerStandby | FarCommand::CheckStandby => {
                reach.key_for_copies()
            }
            FarCommand::SendWalFile => reach.fetch_key.as_ref().or(reach.key.as_ref()),
        }
    }

    /// What an exit code of the command means, with the last line of its messages; `None` if it succeeded
    /// without messages.
    pub(super) fn ending(self, code: Option<i32>, line: Option<String>) -> Option<String> {
        match (code, line) {
            // The shell's codes for a command that is missing or not executable.
            (Some(code @ (126 | 127)), line) => Some(format!(
                "{} is missing or cannot be run ({}): {}",
                self.name(),
                line.unwrap_or_else(|| format!("exit code {code}")),
                self.if_missing()
            )),
            (_, Some(line)) => Some(line),
            (Some(0), None) => None,
            (Some(code), None) => Some(format!("exit code {code}")),
            (None, None) => Some("it was killed".to_owned()),
        }
    }

    /// The name of the command that speaks our protocol and has written this message. It runs instead of another one if
    /// authorized_keys restricts the key to it.
    #[cfg(feature = "server")]
    pub(crate) fn of_message(line: &str) -> Option<&'static str> {
        let (name, _) = line.split_once(": ")?;
        let commands =
            [FarCommand::ReceiveWalFile, FarCommand::SendWalFile, FarCommand::ReceiveBaseCopy];
        commands.map(FarCommand::name).into_iter().find(|command| *command == name)
    }

    /// Its path in the 2warm tree of this PGROOT.
    #[must_use]
    pub fn path(self, pgroot: &Path) -> PathBuf {
        pgroot.join("2warm/global/replication").join(self.name())
    }
}

/// A way to start a far command.
pub trait Transport: fmt::Debug {
    /// Starts it. The connection writes to its standard input and reads its standard output.
    ///
    /// # Errors
    /// If it can't be started.
    fn connect(&self) -> Result<Box<dyn Connection>, ConnectError>;

    /// The far node's name, for messages.
    fn node(&self) -> &str;

    /// The command.
    fn command(&self) -> FarCommand;
}

/// The far command's standard input and output.
///
/// A read or write that makes no progress within the time limit fails with
/// [`TimedOut`](io::ErrorKind::TimedOut).
pub trait Connection: Read + Write {
    /// Closes the command's input, waits for it to end and returns the last line of its standard error, or
    /// how it ended; `None` if it succeeded without messages. Takes at most a time limit.
    fn last_words(&mut self) -> Option<String>;

    /// Whether data has arrived that was not read yet. `false` if that is not known.
    fn has_arrived(&mut self) -> bool {
        false
    }

    /// How long a message to the other node and its answer take, if that was measured when the connection was
    /// made.
    fn round_trip(&self) -> Option<Duration> {
        None
    }

    /// Why the command was never started, if that becomes known only when no answer comes. Takes at most a
    /// time limit.
    fn connect_failure(&mut self) -> Option<ConnectError> {
        None
    }
}

/// Why a far command could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Over ssh.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// By the ssh program.
    #[error(transparent)]
    OpenSsh(#[from] SshFailure),
    /// By rsync.
    #[error(transparent)]
    Rsync(#[from] RsyncError),
    /// The archive directory of the other node, which is mounted on this one, can't be used.
    #[error("archive of {node}, mounted here: {error}")]
    Mounted {
        /// The other node.
        node: String,
        /// The problem.
        error: Box<ArchiveError>,
    },
    /// The mounted archive of the other node is this node's own.
    #[error(
        "\"{}\" is the archive of this node, not of {node}. HINT: correct archive of [node.{node}] in 2warm/local/2warm.toml", archive.display()
    )]
    OwnArchive {
        /// The other node.
        node: String,
        /// The directory.
        archive: PathBuf,
    },
    /// A thread, pipe or temporary file could not be created.
    #[error("could not prepare the connection to {node}: {error}")]
    Resources {
        /// The other node.
        node: String,
        /// The system's error.
        error: io::Error,
    },
    /// As a process of this machine.
    #[error("could not start \"{}\": {error}", program.display())]
    Local {
        /// The program.
        program: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

impl Retryable for ConnectError {
    fn is_retryable(&self) -> bool {
        match self {
            ConnectError::Ssh(error) => error.is_retryable(),
            ConnectError::OpenSsh(error) => error.is_retryable(),
            ConnectError::Rsync(error) => error.is_retryable(),
            ConnectError::Mounted { error, .. } => error.is_retryable(),
            ConnectError::Resources { .. } => true,
            ConnectError::OwnArchive { .. } | ConnectError::Local { .. } => false,
        }
    }
}

/// Starts the far command as a process of this machine, connected by pipes, without a time limit. For tests.
#[derive(Debug, Clone)]
pub struct LocalTransport {
    /// The command.
    pub command: FarCommand,
    /// The program to run.
    pub program: PathBuf,
    /// Arguments, for a program that wraps the far command.
    pub arguments: Vec<String>,
    /// Environment variables to set.
    pub environment: Vec<(String, String)>,
}

impl Transport for LocalTransport {
    fn connect(&self) -> Result<Box<dyn Connection>, ConnectError> {
        let start = |error| ConnectError::Local { program: self.program.clone(), error };
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        // Read on another thread, so that the command never blocks on a full pipe.
        let stderr = child.stderr.take().map(|mut pipe| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = pipe.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        });
        Ok(Box::new(LocalConnection { child, stderr }))
    }

    fn node(&self) -> &str {
        "this machine"
    }

    fn command(&self) -> FarCommand {
        self.command
    }
}

struct LocalConnection {
    child: Child,
    stderr: Option<JoinHandle<String>>,
}

impl Read for LocalConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.child.stdout.as_mut().map_or(Ok(0), |pipe| pipe.read(buffer))
    }
}

impl Write for LocalConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.child.stdin {
            Some(pipe) => pipe.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for LocalConnection {
    fn last_words(&mut self) -> Option<String> {
        self.child.stdin = None;
        self.child.stdout = None;
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let status = self.child.wait().ok()?;
        match last_line(&stderr) {
            Some(line) => Some(line),
            None if status.success() => None,
            None => Some(format!("it ended with {status}")),
        }
    }
}

impl Drop for LocalConnection {
    /// Waits for the process, whose input ends.
    fn drop(&mut self) {
        self.last_words();
    }
}
