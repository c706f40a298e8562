use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::{Progress, Remote};

/// How often the caller hears from a transfer that has nothing to say.
const TICK: Duration = Duration::from_secs(1);

/// How many of rsync's last complaints are kept.
const KEPT_LINES: usize = 20;

/// One run of rsync: a directory's content into a directory of another node.
#[derive(Debug, Clone)]
pub struct Transfer<'a> {
    /// The node.
    pub remote: &'a Remote,
    /// The directory here.
    pub from: &'a Path,
    /// The directory there; its parent must exist.
    pub to: &'a Path,
    /// Options on what to copy and how.
    pub options: &'a [&'static str],
    /// Filter rules, a line each, anchored at the directory.
    pub rules: &'a str,
}

/// What a running transfer has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// How far it is.
    Progress(Progress),
    /// A line of its output: a file's name, or a figure at the end.
    Line(&'a str),
    /// Another second has passed.
    Tick,
}

/// How a transfer ended that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All is there, but for files that vanished while it ran.
    Complete,
    /// Some files could not be copied whole; a live file that is cut short while it is read is one.
    /// What rsync said of them.
    Partial(Vec<String>),
}

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RsyncError {
    #[error(
        "{node} lets this key receive WAL files and nothing else: it is pinned to receiveWALFile in authorized_keys there. Set copy_key of [node.{node}] in 2warm/local/2warm.toml to a key that is not"
    )]
    PinnedKey { node: String },
    #[error("could not run rsync: {0}. Install it")]
    Start(#[source] io::Error),
    #[error("rsync to {node} failed: {meaning}{}", shown(said))]
    Failed { node: String, meaning: String, said: Vec<String> },
    #[error("the path {} can't be given to rsync: it has a line end in it", .0.display())]
    Path(PathBuf),
    #[error("{0}")]
    Stopped(Box<dyn std::error::Error + Send + Sync>),
}

/// The line that tells most: what rsync says after the first is that it therefore gives up.
fn shown(said: &[String]) -> String {
    let consequence = |line: &str| {
        line.starts_with("rsync error:") || line.contains("connection unexpectedly closed")
    };
    let told = said.iter().find(|line| !consequence(line));
    told.or(said.last()).map(|line| format!(" ({line})")).unwrap_or_default()
}

enum Heard {
    Output(String),
    Complaint(String),
}

impl Transfer<'_> {
    /// Runs it to its end; `hear` is called at least every second, and ends it by an error.
    pub fn run<E>(
        &self,
        hear: &mut dyn FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<Outcome, RsyncError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut child = self.command()?.spawn().map_err(RsyncError::Start)?;
        let ended = self.follow(&mut child, hear);
        if ended.is_err() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(RsyncError::Start)?;
        self.judge(status, ended?)
    }

    fn command(&self) -> Result<Command, RsyncError> {
        let has_line_end = |path: &Path| path.to_string_lossy().contains(['\n', '\r']);
        if let Some(path) = [self.from, self.to].into_iter().find(|path| has_line_end(path)) {
            return Err(RsyncError::Path(path.into()));
        }
        let mut from = OsString::from(self.from);
        from.push("/");
        let mut to = self.remote.place(self.to);
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

    fn follow<E>(
        &self,
        child: &mut Child,
        hear: &mut dyn FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<Vec<String>, RsyncError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let (sender, heard) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            read_lines(pipe, sender.clone(), Heard::Output);
        }
        if let Some(pipe) = child.stderr.take() {
            read_lines(pipe, sender, Heard::Complaint);
        }
        if let Some(mut pipe) = child.stdin.take() {
            // If it has ended already, its complaint tells more than this error would.
            let _ = pipe.write_all(self.rules.as_bytes());
        }
        let mut said = Vec::new();
        let mut tell = |event: Event<'_>| hear(event).map_err(|e| RsyncError::Stopped(Box::new(e)));
        let mut last_tick = Instant::now();
        loop {
            match heard.recv_timeout(TICK) {
                Ok(Heard::Output(line)) => tell(match Progress::parse(&line) {
                    Some(progress) => Event::Progress(progress),
                    None => Event::Line(&line),
                })?,
                Ok(Heard::Complaint(line)) => {
                    said.push(line);
                    if said.len() > KEPT_LINES {
                        said.remove(0);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(said),
            }
            if last_tick.elapsed() >= TICK {
                last_tick = Instant::now();
                tell(Event::Tick)?;
            }
        }
    }

    fn judge(&self, status: ExitStatus, said: Vec<String>) -> Result<Outcome, RsyncError> {
        match status.code() {
            // 24: files vanished before they could be sent, as a live server's do.
            Some(0 | 24) => Ok(Outcome::Complete),
            Some(23) => Ok(Outcome::Partial(said)),
            _ => Err(failed(self.remote, status, said)),
        }
    }
}

/// rsync by the node's remote shell. If we are killed, it is: it must not go on writing beside the next
/// run.
pub(super) fn rsync(remote: &Remote) -> Result<Command, RsyncError> {
    let rsync =
        on_path("rsync").ok_or_else(|| RsyncError::Start(io::ErrorKind::NotFound.into()))?;
    let mut command = dying_with_us(&rsync);
    command
        .args(["-s", "-e", &remote.shell()])
        .arg(format!("--timeout={}", remote.silence().as_secs()))
        .env("LC_ALL", "C")
        .env_remove("RSYNC_OLD_ARGS");
    Ok(command)
}

/// What an exit code means.
pub(super) fn failed(remote: &Remote, status: ExitStatus, said: Vec<String>) -> RsyncError {
    if said.iter().any(|line| line.starts_with("receiveWALFile: ")) {
        return RsyncError::PinnedKey { node: remote.name().to_string() };
    }
    let meaning = match status.code() {
        // It comes before the login is over, or from a command that runs in rsync's place.
        Some(2) => {
            "what answers there is not rsync; does a login script print something?".to_owned()
        }
        Some(11) => "a file could not be read or written; is the disk there full?".to_owned(),
        Some(12) => "the connection broke".to_owned(),
        Some(10 | 30 | 35) => "the connection stalled or broke".to_owned(),
        Some(127) => "rsync is not installed there".to_owned(),
        Some(255) => "ssh failed".to_owned(),
        Some(code) => format!("exit code {code}"),
        None => format!("{status}"),
    };
    // With a key that others can read ssh goes on without it, and says so between two lines of a box.
    let is_key = |line: &&String| line.contains("Permissions") && line.contains("too open");
    let meaning = match said.iter().find(is_key) {
        Some(line) => format!("ssh did not use the private key ({line} chmod 600 it)"),
        None => meaning,
    };
    // ssh draws a box of these around what it says of a changed host key.
    let said = said.into_iter().filter(|line| !line.trim().chars().all(|c| c == '@')).collect();
    RsyncError::Failed { node: remote.name().to_string(), meaning, said }
}

/// `setpriv --pdeathsig` where there is one that knows it (util-linux from 2.33 on); without it a
/// left-over rsync ends when it next has something to say.
fn dying_with_us(program: &Path) -> Command {
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

/// Reads lines beside the work; progress is a line that ends with a carriage return.
fn read_lines(
    mut pipe: impl Read + Send + 'static,
    sender: Sender<Heard>,
    kind: fn(String) -> Heard,
) {
    thread::spawn(move || {
        let mut pending = Vec::new();
        let mut buffer = [0; 4096];
        let hand_on = |bytes: &[u8]| {
            let line = String::from_utf8_lossy(bytes);
            line.trim().is_empty() || sender.send(kind(line.trim_end().to_owned())).is_ok()
        };
        while let Ok(got) = pipe.read(&mut buffer) {
            if got == 0 {
                break;
            }
            for &byte in &buffer[..got] {
                if matches!(byte, b'\n' | b'\r') {
                    if !hand_on(&pending) {
                        return;
                    }
                    pending.clear();
                } else {
                    pending.push(byte);
                }
            }
        }
        hand_on(&pending);
    });
}
