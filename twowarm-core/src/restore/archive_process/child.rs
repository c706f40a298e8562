use std::cell::RefCell;
use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Command};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

use super::message::Message;
use crate::archive::Gap;
use crate::restore::{Clock, Found, Order, Outcome, RealClock, Source};
use crate::trigger::Writing;

/// The environment variable that makes a call of this program the one that asks the archive: its parent's
/// process id.
const PARENT: &str = "TWOWARM_ARCHIVE_PROCESS_OF";

/// The environment variable that counts how often this program has started itself.
const DEPTH: &str = "TWOWARM_ARCHIVE_PROCESS_DEPTH";
/// More than the one start that is needed: these variables may have been left in a server's environment.
const MAX_DEPTH: u32 = 4;

/// This program again, with the same arguments, to ask the archive. By `/proc/self/exe`, since another
/// version may have been installed meanwhile; argv[0] stays, since it may tell where the program's
/// configuration is.
///
/// # Errors
/// If this process is the child of a child of a child: a program that replaces its standard input, or becomes a
/// daemon, before it restores does not recognize that it is the child, and would start itself without end.
pub(in crate::restore) fn this_program() -> io::Result<Command> {
    let depth = env::var(DEPTH).ok().and_then(|depth| depth.parse().ok()).unwrap_or(0);
    if depth >= MAX_DEPTH {
        return Err(io::Error::other("this program did not recognize that it is a child process"));
    }
    let mut arguments = env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(called) = arguments.next() {
        command.arg0(called);
    }
    command.args(arguments).env(PARENT, process::id().to_string());
    command.env(DEPTH, (depth + 1).to_string());
    Ok(command)
}

/// The child's connection to its parent: a socket, as its standard input.
#[derive(Debug)]
pub(in crate::restore) struct ToParent {
    socket: Option<File>,
}

impl ToParent {
    /// The connection, if this process was started by [`this_program`]; `None` if the server called it. From
    /// then on the process is killed when its parent dies, until it has answered.
    ///
    /// The variable alone does not decide: it may have been left in a server's environment.
    pub(in crate::restore) fn of_this_process() -> io::Result<Option<ToParent>> {
        let Some(parent) = env::var_os(PARENT) else { return Ok(None) };
        let is_parent = || parent.to_str() == Some(&getppid().to_string());
        let socket = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        if !socket.metadata()?.file_type().is_socket() {
            return Ok(None);
        }
        if is_parent() {
            set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before.
            if is_parent() {
                return Ok(Some(ToParent { socket: Some(socket) }));
            }
        }
        match is_hung_up(&socket)? {
            true => Err(io::Error::other("the parent process has exited")),
            false => Ok(None),
        }
    }

    /// No connection, where the archive is asked without a child.
    pub(in crate::restore) fn none() -> ToParent {
        ToParent { socket: None }
    }

    fn tell(&mut self, message: &Message) {
        if let Some(socket) = &mut self.socket {
            // A parent that has left does not read it any more.
            let _ = socket.write_all(format!("{}\n", message.to_line()).as_bytes());
        }
    }

    /// Gives the answer. The parent does not wait for what the child does afterwards.
    pub(in crate::restore) fn answer(&mut self, outcome: &Outcome) {
        let _ = set_pdeathsig(None);
        self.tell(&Message::Outcome(outcome.clone()));
    }

    /// Says that the next call can begin: what the child still does does not concern it.
    pub(in crate::restore) fn next_may_begin(&mut self) {
        self.tell(&Message::Pruned);
    }

    /// Whether this process is a child.
    pub(in crate::restore) fn is_connected(&self) -> bool {
        self.socket.is_some()
    }
}

fn is_hung_up(socket: &File) -> io::Result<bool> {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO)?;
    Ok(fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)))
}

/// A source and a clock that tell the parent when a call into the archive begins and ends.
#[derive(Debug)]
pub(in crate::restore) struct Reporting<'a, T> {
    pub(in crate::restore) inner: T,
    pub(in crate::restore) parent: &'a RefCell<&'a mut ToParent>,
}

impl<T> Reporting<'_, T> {
    fn while_asking<A>(&mut self, ask: impl FnOnce(&mut T) -> A) -> A {
        self.parent.borrow_mut().tell(&Message::Asking);
        let answer = ask(&mut self.inner);
        self.parent.borrow_mut().tell(&Message::Answered);
        answer
    }
}

impl<S: Source> Source for Reporting<'_, &mut S> {
    fn look(&mut self, clock: &dyn Clock) -> Found {
        self.while_asking(|source| source.look(clock))
    }

    fn restore(&mut self, as_it_is: bool) -> Result<(), Found> {
        self.while_asking(|source| source.restore(as_it_is))
    }

    fn set_aside(&mut self, why: &str) -> bool {
        self.while_asking(|source| source.set_aside(why))
    }

    fn gap(&mut self) -> Option<Gap> {
        self.while_asking(|source| source.gap())
    }

    fn fetch(&mut self, order: &Order) -> Found {
        self.while_asking(|source| source.fetch(order))
    }
}

impl Clock for Reporting<'_, RealClock> {
    fn elapsed(&self) -> Duration {
        self.inner.elapsed()
    }

    fn arm(&mut self) -> bool {
        self.while_asking(Clock::arm)
    }

    fn wait(&mut self, at_most: Duration) {
        self.inner.wait(at_most);
    }

    fn disarm(&mut self) {
        self.inner.disarm();
    }

    fn writing(&self, path: &Path) -> Writing {
        self.inner.writing(path)
    }
}
