//! Files whose data has arrived are checked and made durable, in order, while the data of the next one arrives on
//! another thread.

use std::io::{self, Read, Write};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver as Messages, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use log::Level;

use super::{FileInFlight, Receiver, ServeError, Served, answer, binding, refusal, refusal_of};
use crate::archive::{Archive, check_mark};
use crate::durable;
use crate::limits::with_heartbeat;
use crate::ship::wire::{Hello, Message, Refusal, RefusalCode, Stored};
use crate::ship::working::INTERVAL;
use crate::wal::{SegmentName, WalFileName};

/// How many files may wait while one is finished. More would only use the disk's cache.
const WAITING: usize = 1;

/// What the sender waits for an answer to.
pub(super) enum Request {
    /// The file, with all of its data.
    File(Box<FileInFlight>),
    /// A check that files can be stored.
    Probe(u32),
    /// A receipt of a clean shutdown, with its text.
    Receipt(u32, String),
    /// The receipt with this id is void.
    Void(u32, String),
    /// The question which receipt is here.
    AskReceipt(u32),
    /// The question which segment is missing, from the one with this name on.
    AskMissing(u32, String),
}

/// Answers requests in the order in which they came.
pub(super) struct Finisher<'a, W> {
    pub(super) receiver: &'a Receiver,
    pub(super) archive: &'a Archive,
    pub(super) hello: &'a Hello,
    pub(super) output: &'a Mutex<W>,
    pub(super) progress: &'a Progress,
    /// How refusals are logged.
    pub(super) refusals: Level,
}

/// How many requests have come and were answered.
#[derive(Debug, Default)]
pub(super) struct Progress {
    came: AtomicU32,
    answered: AtomicU32,
}

impl Progress {
    fn answered(&self) -> u32 {
        self.answered.load(Ordering::SeqCst)
    }

    fn is_busy(&self) -> bool {
        self.came.load(Ordering::SeqCst) != self.answered()
    }
}

/// Where received requests go.
pub(super) struct Requests<'a> {
    requests: SyncSender<Request>,
    progress: &'a Progress,
}

impl Requests<'_> {
    /// Waits while too many wait already. False if no answer could be sent any more.
    pub(super) fn add(&self, request: Request) -> bool {
        self.progress.came.fetch_add(1, Ordering::SeqCst);
        self.requests.send(request).is_ok()
    }
}

impl<W: Write + Send> Finisher<'_, W> {
    /// Runs `receive` on another thread, and returns its result once all of its requests are answered. Sends WORKING while requests wait:
    /// without it the near end could not tell a slow disk from one that hangs.
    ///
    /// # Errors
    /// If an answer can't be sent.
    pub(super) fn during<T: Send>(
        &self,
        receive: impl FnOnce(Requests<'_>) -> T + Send,
    ) -> Result<(Served, T), ServeError> {
        let beat = || !self.progress.is_busy() || self.answer(&Message::Working).is_ok();
        with_heartbeat(INTERVAL, beat, || {
            thread::scope(|scope| {
                let (requests, received) = sync_channel(WAITING);
                let requests = Requests { requests, progress: self.progress };
                let receiving = scope.spawn(move || receive(requests));
                let served = self.finish_all(received);
                let result = receiving.join().unwrap_or_else(|panic| resume_unwind(panic));
                Ok((served?, result))
            })
        })
    }

    fn finish_all(&self, requests: Messages<Request>) -> Result<Served, ServeError> {
        let mut served = Served::default();
        for request in requests {
            let stored = |id| move |outcome| Message::Stored { id, outcome };
            let (receiver, archive) = (self.receiver, self.archive);
            let (id, outcome) = match request {
                Request::File(file) => {
                    let id = file.id();
                    (id, self.store(*file).map(stored(id)))
                }
                Request::Probe(id) => (id, self.probe().map(stored(id))),
                Request::Receipt(id, text) => {
                    let done = receiver.store_receipt(&text, archive, self.hello);
                    (id, done.and_then(|done| self.mounted(done)).map(stored(id)))
                }
                Request::Void(id, receipt) => {
                    (id, receiver.void_receipt(&receipt, archive).map(stored(id)))
                }
                Request::AskMissing(id, from) => {
                    (id, self.first_missing(&from).map(|first| Message::Missing { id, first }))
                }
                Request::AskReceipt(id) => (
                    id,
                    receiver.held(archive, self.hello).map(|held| Message::ReceiptHeld {
                        id,
                        text: held.text,
                        missing: held.missing,
                    }),
                ),
            };
            let message = match outcome {
                Ok(message) => {
                    served.stored += 1;
                    message
                }
                Err(refusal) => {
                    served.refused += 1;
                    log::log!(self.refusals, "refused {}: {}", self.hello.label, refusal.message);
                    Message::Refused(Refusal { id, ..refusal })
                }
            };
            self.progress.answered.fetch_add(1, Ordering::SeqCst);
            self.answer(&message)?;
        }
        Ok(served)
    }

    fn store(&self, file: FileInFlight) -> Result<Stored, Refusal> {
        let stored = file.finish(self.archive, self.receiver, self.hello)?;
        self.mounted(stored)
    }

    /// The archive's disk may have been unmounted since the session began: a file in the empty mount point is not
    /// acknowledged.
    fn mounted<T>(&self, done: T) -> Result<T, Refusal> {
        check_mark(self.archive.path(), &self.receiver.local_replication)
            .map_err(|e| refusal_of(&e))?;
        Ok(done)
    }

    /// The first segment that is missing. Those before it are on disk, also if their receivers were interrupted.
    fn first_missing(&self, from: &str) -> Result<String, Refusal> {
        let from: SegmentName =
            from.parse().map_err(|e| refusal(RefusalCode::UNSOUND, false, format!("{e}")))?;
        let layout = self.hello.layout();
        let is_there =
            |segment: &SegmentName| self.archive.path_of(WalFileName::Segment(*segment)).exists();
        let mut segments = std::iter::successors(Some(from), |&segment| layout.next(segment));
        let first = segments.find(|segment| !is_there(segment)).unwrap_or(from);
        let synced = durable::sync_directory(self.archive.path());
        synced.map_err(|e| refusal(RefusalCode::ARCHIVE, true, e))?;
        self.mounted(first.to_string())
    }

    fn probe(&self) -> Result<Stored, Refusal> {
        // Bound too: the archive must not be another sender's when the first file arrives.
        let probe = || {
            check_mark(self.archive.path(), &self.receiver.local_replication)?;
            self.archive.probe()?;
            self.archive.bind(&binding(self.hello), self.receiver.machines)
        };
        probe().map(|()| Stored::New).map_err(|e| refusal_of(&e))
    }

    fn answer(&self, message: &Message) -> Result<(), ServeError> {
        answer(&mut *self.output.lock().unwrap_or_else(PoisonError::into_inner), message)
    }
}

/// An input whose time limit does not apply while the sender waits for an answer.
pub(super) struct Patient<'a, R> {
    pub(super) input: R,
    pub(super) progress: &'a Progress,
}

impl<R: Read> Read for Patient<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let answered = self.progress.answered();
            match self.input.read(buffer) {
                Err(e)
                    if e.kind() == io::ErrorKind::TimedOut
                        && (self.progress.is_busy() || self.progress.answered() != answered) => {}
                read => return read,
            }
        }
    }
}
