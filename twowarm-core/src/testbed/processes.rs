use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process of the testbed, from `/proc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: i32,
    parent: i32,
    /// Its command line, with spaces between the arguments.
    pub command: String,
    pub(super) cwd: Option<PathBuf>,
    exe: Option<PathBuf>,
}

impl Process {
    fn read(pid: i32) -> Option<Process> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let stat = fs::read_to_string(proc.join("stat")).ok()?;
        // The name in parentheses may contain any character. State and parent follow the last parenthesis.
        let mut after_name = stat.rsplit_once(") ")?.1.split(' ');
        let state = after_name.next()?;
        let parent = after_name.next()?.parse().ok()?;
        if state == "Z" {
            return None;
        }
        let words = fs::read(proc.join("cmdline")).ok()?;
        let words = words.strip_suffix(b"\0").unwrap_or(&words);
        let command = String::from_utf8_lossy(words).replace('\0', " ");
        let link = |name| fs::read_link(proc.join(name)).ok();
        Some(Process { pid, parent, command, cwd: link("cwd"), exe: link("exe") })
    }

    /// What its file descriptors refer to: a path, or a name such as `socket:[1]`.
    #[must_use]
    pub fn open_files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid)).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).collect()
    }

    /// Kills it.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Whether it has its working directory (servers) or its program (our commands) in this directory, or names it on its
    /// command line (sshd).
    fn touches(&self, dir: &Path) -> bool {
        let within = |path: &Option<PathBuf>| path.as_ref().is_some_and(|p| p.starts_with(dir));
        let named = self
            .command
            .as_bytes()
            .windows(dir.as_os_str().len())
            .any(|part| OsStr::from_bytes(part) == dir.as_os_str());
        within(&self.cwd) || within(&self.exe) || named
    }

    /// Sends a signal. It is not an error if the process has ended.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid), signal);
    }
}

/// The first child of a process, else the process itself.
pub(super) fn worker_of(pid: i32) -> i32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    children.ok().and_then(|list| list.split(' ').next()?.parse().ok()).unwrap_or(pid)
}

/// Whether a process sleeps. A stopped or traced process does not.
pub(super) fn sleeps(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S'))
}

/// Whether a process has an inotify descriptor and sleeps.
pub(super) fn watches(pid: i32) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
    targets.any(|target| target.as_os_str() == "anon_inode:inotify") && sleeps(pid)
}

fn all() -> Vec<Process> {
    let own = std::process::id() as i32;
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| pid != own)
        .filter_map(Process::read)
        .collect()
}

/// The processes that touch a directory, and their descendants, since sshd's sessions change directory, user and
/// command line.
pub(super) fn of_directory(dir: &Path) -> Vec<Process> {
    closure(|process| process.touches(dir))
}

/// A process and its descendants.
pub(super) fn tree_of(pid: i32) -> Vec<Process> {
    closure(|process| process.pid == pid)
}

fn closure(is_root: impl Fn(&Process) -> bool) -> Vec<Process> {
    let (mut found, mut rest): (Vec<_>, Vec<_>) = all().into_iter().partition(is_root);
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|process| process.pid) {
        let (children, others) = rest.into_iter().partition(|p| p.parent == parent);
        found.extend::<Vec<_>>(children);
        rest = others;
        next += 1;
    }
    found
}
