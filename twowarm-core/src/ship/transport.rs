use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use super::ssh::SshError;

/// A command that may be started on a far node. There are no others, and they take no arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FarCommand {
    /// Adds WAL files to the node's archive.
    ReceiveWalFile,
    /// Receives a base copy.
    ReceiveBaseCopy,
}

impl FarCommand {
    /// The command's name.
    pub fn name(self) -> &'static str {
        match self {
            FarCommand::ReceiveWalFile => "receiveWALFile",
            FarCommand::ReceiveBaseCopy => "receiveBaseCopy",
        }
    }

    /// What to do about a node that has none.
    pub(super) fn if_missing(self) -> &'static str {
        match self {
            FarCommand::ReceiveWalFile => {
                "run distrib2warm; if that node still has 2warm's scripts, replace the commands in this order: on the standby receiveWALFile, pg_standby, restoreWALFile and triggerStandby, then archiveWALFile on the primary"
            }
            FarCommand::ReceiveBaseCopy => "run distrib2warm",
        }
    }

    /// Its path below a PGROOT.
    pub fn path(self, pgroot: &Path) -> PathBuf {
        pgroot.join("2warm/global/replication").join(self.name())
    }
}

/// A way to start a far command.
pub trait Transport: fmt::Debug {
    /// Starts it; what is written to the connection is its standard input, what is read its output.
    fn connect(&self) -> Result<Box<dyn Connection>, ConnectError>;

    /// The far node's name, for messages.
    fn node(&self) -> &str;

    /// Which command it starts.
    fn command(&self) -> FarCommand;
}

/// The far command's standard input and output.
///
/// A read or write that makes no progress within the time limit fails with
/// [`TimedOut`](io::ErrorKind::TimedOut).
pub trait Connection: Read + Write {
    /// Ends the input, waits for the command to end and returns what it said last on its standard
    /// error, or how it ended; none if it ended well and silently. Takes at most a time limit.
    fn last_words(&mut self) -> Option<String>;
}

/// The far command could not be started.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ConnectError {
    #[error(transparent)]
    Ssh(#[from] SshError),
    #[error("could not start {}: {source}", program.display())]
    Local { program: PathBuf, source: io::Error },
}

impl ConnectError {
    /// Whether the same again may go well.
    pub fn is_retryable(&self) -> bool {
        match self {
            ConnectError::Ssh(error) => error.is_retryable(),
            ConnectError::Local { .. } => false,
        }
    }
}

/// Starts the far command as a process of this machine, connected by pipes. It has no time limit: its
/// use is in tests.
#[derive(Debug, Clone)]
pub struct LocalTransport {
    /// Which command this is.
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
        let start = |source| ConnectError::Local { program: self.program.clone(), source };
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        // Read beside the work, so that a command with much to say never stops for it.
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
        let said = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let status = self.child.wait().ok()?;
        match last_line(&said) {
            Some(line) => Some(line),
            None if status.success() => None,
            None => Some(format!("it ended with {status}")),
        }
    }
}

impl Drop for LocalConnection {
    /// Waits for the process, which sees its input end.
    fn drop(&mut self) {
        self.last_words();
    }
}

/// The last line of a text that says anything, fit for a log.
pub(super) fn last_line(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    let plain = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    Some(plain.take(500).collect())
}
