use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{close, dup2_stdin};

use super::backlog::Backlog;
use super::endpoint::Endpoint;
use super::memory::Memory;
use super::message::{Answer, Request};
use super::{LookAhead, NODE, SHIP_AHEAD};
use crate::ship::shipper::{Acknowledged, IN_FLIGHT, Next, Queue, ShipQueue};
use crate::ship::wire::Welcome;
use crate::ship::{SendError, Sender, Shipper, ShutdownBudget, Transport};

/// How often the process looks after its end.
const TICK: Duration = Duration::from_millis(100);

/// How often a waiting call is told that the process is alive.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// How long a call may take to ask.
const ASKING: Duration = Duration::from_secs(2);

/// How long the connections may take to end in order.
const LEAVING: Duration = Duration::from_millis(500);

/// From this round trip on several connections are used.
const LONG_LINE: Duration = Duration::from_millis(20);

/// This process, if it is the one that ships ahead.
#[derive(Debug)]
pub struct LookAheadProcess {
    starter: UnixStream,
    node: String,
}

impl LookAheadProcess {
    /// Whether this process was started to ship ahead. To be called before anything is opened: files that
    /// were inherited are closed, since the process outlives the call that has started it.
    ///
    /// # Errors
    /// If the call has exited.
    pub fn of_this_process() -> io::Result<Option<LookAheadProcess>> {
        let Some(socket) = SHIP_AHEAD.connection()? else { return Ok(None) };
        dup2_stdin(File::open("/dev/null")?)?;
        close_inherited(&socket)?;
        let node = std::env::var(NODE).unwrap_or_default();
        Ok(Some(LookAheadProcess { starter: OwnedFd::from(socket).into(), node }))
    }

    /// The name of the node to ship to.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Ships the file of the call that has started this process and those behind it, and answers calls, until
    /// there is nothing to do, the limit is reached or the server shuts down.
    pub fn run<T: Transport + Clone + Send + 'static>(
        self,
        look_ahead: &LookAhead,
        shipper: &Shipper<T>,
    ) {
        let memory = Memory::new(look_ahead.files as usize, Instant::now());
        let shared = Arc::new(Shared {
            memory: Mutex::new(memory),
            backlog: Mutex::new(None),
            changed: Condvar::new(),
            destination: shipper.destination(),
            storing_limit: shipper.send.storing_limit,
        });
        // Without it, later calls could not ask. The call ships its file itself.
        let Ok(served) = Endpoint::of(&look_ahead.directory).serve() else { return };
        shared.answer(self.starter);
        let connections = Connections {
            shared: Arc::clone(&shared),
            shipper: shipper.with_transport(shipper.transport.clone()),
            channels: look_ahead.channels,
        };
        if connections.open(0).is_err() {
            return;
        }
        let deadline = Instant::now() + look_ahead.limit;
        while !must_end(shipper.shutdown.as_ref()) {
            if Instant::now() >= deadline {
                shared.memory().close();
            }
            if shared.memory().is_over(Instant::now()) {
                break;
            }
            match served.listener.accept() {
                Ok((stream, _)) => shared.answer(stream),
                Err(_) => wait_for_call(&served.listener),
            }
        }
        drop(served);
        shared.leave();
    }
}

fn must_end(budget: Option<&ShutdownBudget>) -> bool {
    budget.is_some_and(|budget| budget.is_over())
}

fn wait_for_call(listener: &impl AsFd) {
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut fds, PollTimeout::try_from(TICK).unwrap_or(PollTimeout::MAX));
}

/// Closes all files that the program did not open: before 16, servers let their commands inherit some.
fn close_inherited(but: &File) -> io::Result<()> {
    let names = fs::read_dir("/proc/self/fd")?;
    let numbers: Vec<i32> =
        names.filter_map(|name| name.ok()?.file_name().to_str()?.parse().ok()).collect();
    for number in numbers {
        if number > 2 && number != but.as_raw_fd() {
            // The directory's own is closed already.
            let _ = close(number);
        }
    }
    Ok(())
}

struct Shared {
    memory: Mutex<Memory>,
    backlog: Mutex<Option<Backlog>>,
    changed: Condvar,
    destination: String,
    /// How long a file may take.
    storing_limit: Duration,
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one call, on another thread.
    fn answer(self: &Arc<Shared>, stream: UnixStream) {
        let shared = Arc::clone(self);
        // Without a thread the call sees that the connection ends, and ships its file itself.
        let _ = thread::Builder::new().spawn(move || shared.converse(stream));
    }

    fn converse(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(ASKING))?;
        stream.set_write_timeout(Some(ASKING))?;
        while let Ok(request) = Request::read(&mut stream) {
            let answer = self.answer_to(&request, &mut stream)?;
            answer.write(&mut stream)?;
            if answer != Answer::NeedsChecksum {
                break;
            }
        }
        Ok(())
    }

    fn answer_to(&self, request: &Request, stream: &mut UnixStream) -> io::Result<Answer> {
        if request.destination != self.destination {
            self.memory().end();
            return Ok(Answer::ShipIt);
        }
        *self.backlog.lock().unwrap_or_else(PoisonError::into_inner) = Backlog::of(&request.file);
        let mut memory = self.memory();
        let mut answer = memory.ask(request, Instant::now());
        self.changed.notify_all();
        let storing_limit = self.storing_limit;
        while answer.is_none() {
            if memory.has_hung_for(storing_limit, Instant::now()) {
                // The disk there may hang, although the far command reports that it is working. The call finds out.
                memory.give_up(request, Instant::now());
                memory.end();
                break;
            }
            let (woken, timeout) = self
                .changed
                .wait_timeout(memory, HEARTBEAT)
                .unwrap_or_else(PoisonError::into_inner);
            memory = woken;
            answer = memory.result(request, Instant::now());
            if answer.is_none() && timeout.timed_out() {
                drop(memory);
                let alive = Answer::Working.write(stream);
                memory = self.memory();
                if alive.is_err() {
                    memory.give_up(request, Instant::now());
                }
                alive?;
            }
        }
        Ok(answer.unwrap_or(Answer::ShipIt))
    }

    fn list_backlog(&self, memory: &mut Memory) {
        let backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        let files = backlog.as_ref().and_then(|backlog| backlog.files().ok());
        memory.listed(files.unwrap_or_default(), Instant::now());
    }

    /// Lets the connections end in order.
    fn leave(&self) {
        let until = Instant::now() + LEAVING;
        let mut memory = self.memory();
        memory.end();
        self.changed.notify_all();
        while memory.has_connections() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(memory, left);
            memory = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Opens the process' connections, each on a thread of its own.
struct Connections<T> {
    shared: Arc<Shared>,
    shipper: Shipper<T>,
    channels: Option<u32>,
}

impl<T: Transport + Clone + Send + 'static> Connections<T> {
    fn open(&self, number: usize) -> io::Result<()> {
        let (shared, channels) = (Arc::clone(&self.shared), self.channels);
        let shipper = self.shipper.with_transport(self.shipper.transport.clone());
        self.shared.memory().connection_begins();
        let work = move || {
            let connections = Connections { shared: Arc::clone(&shared), shipper, channels };
            let mut queue = Channel { connections: &connections, number, is_measured: number > 0 };
            let result = connections.shipper.ship_queue(&mut queue);
            shared.memory().connection_ended(number, result);
            shared.changed.notify_all();
        };
        let started = thread::Builder::new().spawn(work);
        started.map(drop).inspect_err(|_| self.shared.memory().connection_ended(number, Ok(())))
    }
}

/// One connection's view of the files.
struct Channel<'a, T> {
    connections: &'a Connections<T>,
    number: usize,
    is_measured: bool,
}

impl<T: Transport + Clone + Send + 'static> Queue for Channel<'_, T> {
    fn next(&mut self, wait: bool) -> Next {
        let shared = &self.connections.shared;
        let until = Instant::now() + HEARTBEAT;
        let mut memory = shared.memory();
        loop {
            if let Some(file) = memory.take(self.number) {
                return Next::File(file);
            }
            let now = Instant::now();
            if memory.needs_listing(now) {
                shared.list_backlog(&mut memory);
                continue;
            }
            if memory.is_closed() {
                return Next::End;
            }
            if !wait || now >= until {
                return Next::Nothing;
            }
            let waited = shared.changed.wait_timeout(memory, TICK);
            memory = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Only one until the line is measured, and while a call waits one besides its file: its answer comes at the latest
    /// after that one is sent.
    fn at_most(&mut self) -> usize {
        match self.connections.shared.memory().is_awaited(self.number) {
            _ if !self.is_measured => 1,
            true => 2,
            false => IN_FLIGHT,
        }
    }

    fn connected(&mut self, welcome: &Welcome) {
        self.connections.shared.memory().connected(welcome);
    }

    fn acknowledged(&mut self, file: Acknowledged) {
        self.connections.shared.memory().acknowledged(file, Instant::now());
        self.connections.shared.changed.notify_all();
    }

    fn pause(&mut self, sender: &mut Sender) -> Result<(), SendError> {
        if self.is_measured {
            return Ok(());
        }
        self.is_measured = true;
        let channels = match self.connections.channels {
            Some(channels) => channels as usize,
            None => channels_for(round_trip(sender)?),
        };
        let shared = &self.connections.shared;
        let waiting = {
            let mut memory = shared.memory();
            shared.list_backlog(&mut memory);
            memory.waiting()
        };
        for number in 1..channels.min(waiting) {
            if self.connections.open(number).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// As the transport has measured it. If that is long, or it has not, the shortest of some requests decides: a busy
/// machine answers late too.
fn round_trip(sender: &mut Sender) -> Result<Duration, SendError> {
    let mut shortest = sender.link().round_trip().unwrap_or(Duration::MAX);
    for _ in 0..3 {
        if shortest < LONG_LINE {
            break;
        }
        let start = Instant::now();
        sender.probe()?;
        shortest = shortest.min(start.elapsed());
    }
    Ok(shortest)
}

/// How many connections fill a line with this round trip.
fn channels_for(round_trip: Duration) -> usize {
    match round_trip {
        short if short < LONG_LINE => 1,
        long if long < 4 * LONG_LINE => 8,
        _ => 12,
    }
}
