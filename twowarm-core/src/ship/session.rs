use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::thread;

use super::check::{Checks, Defect, check};
use super::fingerprint::Fingerprint;
use super::shipper::{Acknowledged, Next, Queue};
use super::wire::{Hello, SESSION, Stored};
use super::{LinkError, RequestId, Sender, ShipError, WalFile};

/// A connection over which the files of a queue are sent.
pub(super) struct Session<'a> {
    sender: Sender,
    hello: Hello,
    checks: Checks,
    /// Sent and not yet acknowledged, oldest first.
    in_flight: VecDeque<InFlight>,
    /// The next file, checked while the one before it was sent.
    next: Option<(WalFile, Result<Option<Defect>, ShipError>)>,
    queue: &'a mut dyn Queue,
}

struct InFlight {
    request: RequestId,
    file: WalFile,
    defect: Option<Defect>,
    content: Fingerprint,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        sender: Sender,
        hello: Hello,
        checks: Checks,
        queue: &'a mut dyn Queue,
    ) -> Session<'a> {
        Session { sender, hello, checks, in_flight: VecDeque::new(), next: None, queue }
    }

    /// Sends a file or waits for an answer; false at the end of the queue.
    pub(super) fn step(&mut self) -> Result<bool, ShipError> {
        if let Some((file, checked)) = self.next.take() {
            self.send(file, checked?)?;
            return Ok(true);
        }
        let idle = self.in_flight.is_empty();
        let has_room = self.in_flight.len() < self.queue.at_most();
        match if has_room { self.queue.next(idle) } else { Next::Nothing } {
            Next::File(file) => {
                let defect = check(&file, &self.hello, self.checks)?;
                self.send(file, defect)?;
            }
            Next::End if idle => return Ok(false),
            Next::Nothing if idle => self.sender.send_heartbeat()?,
            Next::Nothing | Next::End => {
                self.receive_answer()?;
                if self.in_flight.is_empty() {
                    self.queue.pause(&mut self.sender)?;
                }
            }
        }
        Ok(true)
    }

    /// Sends a file, and checks the next one meanwhile, which takes another thread a sixth of the time.
    pub(super) fn send(&mut self, file: WalFile, defect: Option<Defect>) -> Result<(), ShipError> {
        let has_room = self.in_flight.len() + 1 < self.queue.at_most();
        let next = if has_room { self.queue.next(false) } else { Next::Nothing };
        let Next::File(next) = next else { return self.send_only(file, defect) };
        let (hello, checks) = (self.hello.clone(), self.checks);
        thread::scope(|scope| {
            let work = || check(&next, &hello, checks);
            let checking = thread::Builder::new().spawn_scoped(scope, work);
            let sent = self.send_only(file, defect);
            let checked = match checking {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(_) => work(),
            };
            self.next = Some((next.clone(), checked));
            sent
        })
    }

    fn send_only(&mut self, file: WalFile, defect: Option<Defect>) -> Result<(), ShipError> {
        let state = Fingerprint::state_of(&file.path)?;
        let is_settled = state.is_settled();
        // An answer that a call waits for is not held back while this file is sent.
        let (in_flight, queue) = (&mut self.in_flight, &mut *self.queue);
        let mut refused = Ok(());
        let mut take = |answered, result| {
            let taken = settle(in_flight, queue, answered, result);
            refused = std::mem::replace(&mut refused, Ok(())).and(taken);
        };
        let request = self.sender.start_and_take(file.name, &file.path, &mut take)?;
        let checksum = self.sender.last_checksum();
        let content = if is_settled { state } else { state.with_checksum(checksum) };
        self.in_flight.push_back(InFlight { request, file, defect, content });
        refused
    }

    fn receive_answer(&mut self) -> Result<(), ShipError> {
        let (answered, result) = self.sender.next_answer()?;
        settle(&mut self.in_flight, self.queue, answered, result)
    }

    /// Waits for all answers; the first refusal is the result.
    pub(super) fn finish(mut self) -> Result<(), ShipError> {
        let mut result = Ok(());
        while !self.in_flight.is_empty() {
            match self.receive_answer() {
                Err(ShipError::Link(error)) if !is_refusal(&error) => return Err(error.into()),
                answer => result = result.and(answer),
            }
        }
        self.sender.leave();
        result
    }
}

/// Passes on the answer to a file in flight; a refusal is the result.
fn settle(
    in_flight: &mut VecDeque<InFlight>,
    queue: &mut dyn Queue,
    answered: RequestId,
    result: Result<Stored, LinkError>,
) -> Result<(), ShipError> {
    let at = in_flight.iter().position(|sent| sent.request == answered);
    let Some(sent) = at.and_then(|at| in_flight.remove(at)) else { return Ok(()) };
    let (stored, InFlight { file, defect, content, .. }) = (result?, sent);
    queue.acknowledged(Acknowledged { file, stored, defect, content });
    Ok(())
}

/// A refusal, after which the connection can be used further.
pub(super) fn is_refusal(error: &LinkError) -> bool {
    matches!(error, LinkError::Refused { refusal, .. } if refusal.id != SESSION)
}
