//! This program once more, started by itself for one task, with the same arguments.

use std::env;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::unistd::getppid;

/// More than the one start that is needed: the variables may have been left in a server's environment.
const MAX_DEPTH: u32 = 4;

/// A task for which this program starts itself.
#[derive(Debug)]
pub(crate) struct ChildTask {
    /// The environment variable that makes a call of this program the child: its parent's process id.
    pub(crate) parent: &'static str,
    /// The environment variable that counts how often this program has started itself.
    pub(crate) depth: &'static str,
}

impl ChildTask {
    /// This program with the same arguments; the caller makes a socket its standard input. By `/proc/self/exe`,
    /// since another version may have been installed meanwhile; argv[0] stays, since it may tell where the
    /// program's configuration is.
    ///
    /// # Errors
    /// If this process is the child of a child of a child: a program that replaces its standard input, or
    /// becomes a daemon, before it recognizes that it is the child would start itself without end.
    pub(crate) fn command(&self) -> io::Result<Command> {
        let depth = env::var(self.depth).ok().and_then(|depth| depth.parse().ok()).unwrap_or(0);
        if depth >= MAX_DEPTH {
            let problem = "this program did not recognize that it is a child process";
            return Err(io::Error::other(problem));
        }
        let mut arguments = env::args_os();
        let mut command = Command::new("/proc/self/exe");
        if let Some(called) = arguments.next() {
            command.arg0(called);
        }
        command.args(arguments).env(self.parent, process::id().to_string());
        command.env(self.depth, (depth + 1).to_string());
        Ok(command)
    }

    /// Whether the parent of this process is the one that has started it for this task.
    pub(crate) fn is_child(&self) -> bool {
        env::var(self.parent).is_ok_and(|parent| parent == getppid().to_string())
    }

    /// The connection to the parent, a socket as standard input, if this process was started by
    /// [`command`](ChildTask::command).
    ///
    /// The variable alone does not decide: it may have been left in a server's environment.
    ///
    /// # Errors
    /// If the parent has exited, or standard input can't be duplicated.
    pub(crate) fn connection(&self) -> io::Result<Option<File>> {
        if env::var_os(self.parent).is_none() {
            return Ok(None);
        }
        let socket = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        if !socket.metadata()?.file_type().is_socket() {
            return Ok(None);
        }
        match self.is_child() {
            true => Ok(Some(socket)),
            false if is_hung_up(&socket)? => Err(parent_has_exited()),
            false => Ok(None),
        }
    }
}

/// Ends this process with exit code 0, at once. exit would run the destructors of libraries that a thread is using;
/// another program in its place ends the threads without them. A signal is the last resort: where the server is the
/// first process of a container, it inherits this process and takes that for a crash of a process of its own.
pub(crate) fn end_this_process() {
    let _ = Command::new("/bin/sh").args(["-c", "exit 0"]).exec();
    let _ = raise(Signal::SIGKILL);
}

pub(crate) fn parent_has_exited() -> io::Error {
    io::Error::other("the parent process has exited")
}

fn is_hung_up(socket: &File) -> io::Result<bool> {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO)?;
    Ok(fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)))
}
