use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use super::message::Message;
use crate::archive::Gap;
use crate::child_task::{ChildTask, parent_has_exited};
use crate::restore::{Clock, Found, Order, Outcome, RealClock, Source};
use crate::trigger::Writing;

/// Asking the archive.
pub(in crate::restore) const ASK_ARCHIVE: ChildTask =
    ChildTask { parent: "TWOWARM_ARCHIVE_PROCESS_OF", depth: "TWOWARM_ARCHIVE_PROCESS_DEPTH" };

/// The child's connection to its parent: a socket, as its standard input.
#[derive(Debug)]
pub(in crate::restore) struct ToParent {
    socket: Option<File>,
    has_answered: bool,
}

impl ToParent {
    /// The connection, if this process was started for [`ASK_ARCHIVE`]; `None` if the server called it. From
    /// then on the process is killed when its parent dies, until it has answered.
    pub(in crate::restore) fn of_this_process() -> io::Result<Option<ToParent>> {
        let Some(socket) = ASK_ARCHIVE.connection()? else { return Ok(None) };
        set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before.
        match ASK_ARCHIVE.is_child() {
            true => Ok(Some(ToParent { socket: Some(socket), has_answered: false })),
            false => Err(parent_has_exited()),
        }
    }

    /// No connection, where the archive is asked without a child.
    pub(in crate::restore) fn none() -> ToParent {
        ToParent { socket: None, has_answered: false }
    }

    /// Whether the parent was told. A parent that has left does not read it any more.
    fn tell(&mut self, message: &Message) -> bool {
        let line = format!("{}\n", message.to_line());
        self.socket.as_mut().is_some_and(|socket| socket.write_all(line.as_bytes()).is_ok())
    }

    /// Gives the answer. The parent does not wait for what the child does afterwards.
    pub(in crate::restore) fn answer(&mut self, outcome: &Outcome) {
        let _ = set_pdeathsig(None);
        self.has_answered = self.tell(&Message::Outcome(outcome.clone()));
    }

    /// Says that the next call can begin: what the child still does does not concern it.
    pub(in crate::restore) fn next_may_begin(&mut self) {
        self.tell(&Message::Pruned);
    }

    /// Whether the parent has its answer.
    pub(in crate::restore) fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Whether this process is a child.
    pub(in crate::restore) fn is_connected(&self) -> bool {
        self.socket.is_some()
    }
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
