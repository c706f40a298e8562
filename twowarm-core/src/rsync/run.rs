use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use super::{Progress, Remote};
use crate::limits::each_message;
use crate::reach::SshFailure;
use crate::retry::Retryable;

/// How often the caller is called during a transfer that prints nothing.
const TICK: Duration = Duration::from_secs(1);

/// How many of the last lines of rsync's standard error are kept.
const KEPT_LINES: usize = 20;

/// One run of rsync: copies the content of a directory into a directory of another node.
#[derive(Debug, Clone)]
pub struct Transfer<'a> {
    /// The node.
    pub remote: &'a Remote,
    /// The directory on this node.
    pub from: &'a Path,
    /// The directory on the other node; its parent must exist.
    pub to: &'a Path,
    /// rsync's options: what is copied, and how.
    pub options: &'a [&'a str],
    /// Filter rules, one per line, anchored at the directory.
    pub rules: &'a str,
}

/// What happened during a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// rsync reported its progress.
    Progress(Progress),
    /// rsync printed a line: the name of a file, or a total at the end.
    Line(&'a str),
    /// Another second has passed.
    Tick,
}

/// How a transfer ended that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was copied, except files that vanished meanwhile.
    Complete,
    /// Some files could not be copied completely, for example because they were truncated while they were
    /// read. Holds rsync's messages.
    Partial(Vec<String>),
}

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RsyncError {
    /// The other node's authorized_keys restricts the key to receiveWALFile.
    #[error(
        "{node} accepts this key only for receiveWALFile: authorized_keys there restricts it to that command. HINT: set copy_key of [node.{node}] in 2warm/local/2warm.toml (for carrier \"rsync\" its key) to a key without this restriction"
    )]
    PinnedKey {
        /// The other node.
        node: String,
    },
    /// rsync could not be started.
    #[error("could not run rsync: {0}. HINT: install rsync")]
    Start(io::Error),
    /// rsync exited with an error.
    #[error("rsync to {node} failed: {meaning}{}", most_telling(messages))]
    Failed {
        /// The other node.
        node: String,
        /// What its exit code means.
        meaning: String,
        /// The last lines that it wrote to standard error.
        messages: Vec<String>,
    },
    /// ssh could not run rsync there.
    #[error(transparent)]
    Ssh(SshFailure),
    /// The path contains a line break, which rsync's rules can't express.
    #[error("path \"{}\" cannot be passed to rsync: it contains a line break", .0.display())]
    Path(PathBuf),
    /// The caller ended the transfer by this error.
    #[error("{0}")]
    Stopped(Box<dyn std::error::Error + Send + Sync>),
}

impl RsyncError {
    /// Whether one of the two rsyncs does not know an option.
    #[cfg(feature = "ship")]
    pub(crate) fn is_unknown_option(&self) -> bool {
        self.says("unknown option")
    }

    /// Whether the disk of the other node is full.
    #[cfg(feature = "ship")]
    pub(crate) fn is_disk_full(&self) -> bool {
        self.says("No space left on device") || self.says("Disk quota exceeded")
    }

    #[cfg(feature = "ship")]
    fn says(&self, text: &str) -> bool {
        matches!(self, RsyncError::Failed { messages, .. } if messages.iter().any(|line| line.contains(text)))
    }
}

impl Retryable for RsyncError {
    /// True for failures of the network, of the other node and of its disk.
    fn is_retryable(&self) -> bool {
        match self {
            RsyncError::Ssh(failure) => failure.is_retryable(),
            RsyncError::Failed { .. } => true,
            RsyncError::PinnedKey { .. }
            | RsyncError::Start(_)
            | RsyncError::Path(_)
            | RsyncError::Stopped(_) => false,
        }
    }
}

/// The most informative line: the first that does not merely say that rsync therefore gave up.
fn most_telling(messages: &[String]) -> String {
    let is_consequence = |line: &str| {
        line.starts_with("rsync error:") || line.contains("connection unexpectedly closed")
    };
    let line = messages.iter().find(|line| !is_consequence(line)).or(messages.last());
    line.map(|line| format!(" ({line})")).unwrap_or_default()
}

/// A line that rsync printed.
enum Printed {
    Output(String),
    Message(String),
}

impl Transfer<'_> {
    /// Runs rsync until it exits. Calls `observe` at least once per second; its error ends the transfer.
    ///
    /// # Errors
    /// If rsync can't be started, fails or is stopped. Files that could not be copied are not an error but
    /// [`Outcome::Partial`].
    pub fn run<E>(
        &self,
        observe: &mut dyn FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<Outcome, RsyncError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut child = self.command()?.spawn().map_err(RsyncError::Start)?;
        let messages = self.follow(&mut child, observe);
        if messages.is_err() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(RsyncError::Start)?;
        self.outcome(status, messages?)
    }

    fn command(&self) -> Result<Command, RsyncError> {
        let has_line_break = |path: &Path| path.to_string_lossy().contains(['\n', '\r']);
        if let Some(path) = [self.from, self.to].into_iter().find(|path| has_line_break(path)) {
            return Err(RsyncError::Path(path.into()));
        }
        let mut from = OsString::from(self.from);
        from.push("/");
        let mut to = self.remote.argument(self.to);
        to.push("/");
        let mut command = rsync(self.remote)?;
        command
            .arg("--filter=merge -")
            .args(self.options)
            .arg("--")
            .args([from, to])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }

    /// Reads rsync's output to its end; returns the last lines of its standard error.
    fn follow<E>(
        &self,
        child: &mut Child,
        observe: &mut dyn FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<Vec<String>, RsyncError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let (sender, printed) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            read_lines(pipe, sender.clone(), Printed::Output);
        }
        if let Some(pipe) = child.stderr.take() {
            read_lines(pipe, sender, Printed::Message);
        }
        if let Some(mut pipe) = child.stdin.take() {
            // If rsync has exited already, its own message says more than this error.
            let _ = pipe.write_all(self.rules.as_bytes());
        }
        let mut messages = Vec::new();
        each_message(&printed, TICK, &mut |line| {
            let event = match &line {
                Some(Printed::Output(line)) => match Progress::parse(line) {
                    Some(progress) => Event::Progress(progress),
                    None => Event::Line(line),
                },
                Some(Printed::Message(line)) => {
                    messages.push(line.clone());
                    if messages.len() > KEPT_LINES {
                        messages.remove(0);
                    }
                    return Ok(());
                }
                None => Event::Tick,
            };
            observe(event).map_err(|e| RsyncError::Stopped(Box::new(e)))
        })?;
        Ok(messages)
    }

    fn outcome(&self, status: ExitStatus, messages: Vec<String>) -> Result<Outcome, RsyncError> {
        match status.code() {
            // 24: files vanished before they could be sent, which is normal for a running server.
            Some(0 | 24) => Ok(Outcome::Complete),
            Some(23) => Ok(Outcome::Partial(messages)),
            _ => Err(failed(self.remote, status, messages)),
        }
    }
}

/// rsync over the node's ssh command. It is killed if this process is: it must not write beside the next
/// run's rsync.
pub(super) fn rsync(remote: &Remote) -> Result<Command, RsyncError> {
    let rsync =
        on_path("rsync").ok_or_else(|| RsyncError::Start(io::ErrorKind::NotFound.into()))?;
    let mut command = dying_with_parent(&rsync);
    command
        .args(["-s", "-e", &remote.ssh_command()])
        .arg(format!("--timeout={}", remote.transfer_limit().as_secs()))
        .env("LC_ALL", "C")
        .env_remove("RSYNC_OLD_ARGS");
    Ok(command)
}

/// The error for an exit code.
pub(super) fn failed(remote: &Remote, status: ExitStatus, messages: Vec<String>) -> RsyncError {
    let node = remote.name().to_string();
    if messages.iter().any(|line| line.starts_with("receiveWALFile: ")) {
        return RsyncError::PinnedKey { node };
    }
    // rsync exits with ssh's code, or with 12 if it learned first that the connection was closed.
    if matches!(status.code(), Some(12 | 255))
        && let Some(failure) = SshFailure::of(&node, &messages)
    {
        return RsyncError::Ssh(failure);
    }
    let missing = |line: &String| {
        (line.contains("mkdir ") || line.contains("change_dir"))
            && line.contains("No such file or directory")
    };
    let meaning = match status.code() {
        Some(3 | 11 | 12) if messages.iter().any(missing) => format!(
            "the target directory does not exist there. HINT: create it or mount its disk, or correct the paths under [node.{node}] in 2warm/local/2warm.toml"
        ),
        Some(2) => {
            "unexpected output from the other node. HINT: make sure that login scripts there print nothing".to_owned()
        }
        Some(11) => {
            "a file could not be read or written. HINT: check whether the disk there is full".to_owned()
        }
        Some(12) => "the connection was lost".to_owned(),
        Some(10 | 30 | 35) => "the connection was lost or timed out".to_owned(),
        Some(127) => "rsync is not installed there".to_owned(),
        Some(255) => "ssh failed".to_owned(),
        Some(code) => format!("exit code {code}"),
        None => format!("{status}"),
    };
    RsyncError::Failed { node, meaning, messages }
}

/// Runs a program by `setpriv --pdeathsig`, which util-linux has from 2.33 on. Without it, rsync outlives
/// this process until it next writes to it.
fn dying_with_parent(program: &Path) -> Command {
    let wrapped = |program: &Path| {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]).arg(program);
        command
    };
    let mut trial = wrapped(Path::new("true"));
    trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if trial.status().is_ok_and(|status| status.success()) {
        wrapped(program)
    } else {
        Command::new(program)
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|d| d.join(program)).find(|candidate| candidate.is_file())
}

/// Reads lines on another thread. rsync ends its lines of progress by a carriage return.
fn read_lines(
    mut pipe: impl Read + Send + 'static,
    sender: Sender<Printed>,
    kind: fn(String) -> Printed,
) {
    thread::spawn(move || {
        let mut pending = Vec::new();
        let mut buffer = [0; 4096];
        let send = |bytes: &[u8]| {
            let line = String::from_utf8_lossy(bytes);
            line.trim().is_empty() || sender.send(kind(line.trim_end().to_owned())).is_ok()
        };
        while let Ok(read) = pipe.read(&mut buffer) {
            if read == 0 {
                break;
            }
            for &byte in &buffer[..read] {
                if matches!(byte, b'\n' | b'\r') {
                    if !send(&pending) {
                        return;
                    }
                    pending.clear();
                } else {
                    pending.push(byte);
                }
            }
        }
        send(&pending);
    });
}
