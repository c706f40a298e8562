use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::link::{Link, LinkError};
use super::outgoing::{NotSent, Outgoing};
use super::rate_limit::RateLimit;
use super::wire::{FILE_CHUNK, Message, Stored, WireError};
use crate::file_error::FileError;
use crate::retry::Retryable;
use crate::wal::WalFileName;

/// Sends WAL files over a connection. Several may be on their way before the first is acknowledged.
#[derive(Debug)]
pub struct Sender {
    pub(super) link: Link,
    pub(super) options: SendOptions,
    /// Once a file has been sent.
    outgoing: Option<Outgoing>,
    last_id: u32,
    /// Sent and not yet answered.
    waiting: Vec<u32>,
    /// Answers that arrived before the call that sent their file had returned.
    early: VecDeque<Answer>,
    last_checksum: u32,
}

/// How files are sent.
#[derive(Debug, Clone)]
pub struct SendOptions {
    /// zstd's level, from -7 (fastest) to 19; 0 sends files uncompressed, as does a receiver that can't decompress
    /// them.
    pub compression_level: i32,
    /// The limit on the speed, if there is one.
    pub rate_limit: Option<RateLimit>,
    /// How long the far node may take to store a file, although it reports that it is still working. A disk that
    /// takes longer hangs.
    pub storing_limit: Duration,
}

impl SendOptions {
    /// The default of [`compression_level`](SendOptions::compression_level).
    pub const COMPRESSION_LEVEL: i32 = -1;

    /// The default of [`storing_limit`](SendOptions::storing_limit).
    pub const STORING_LIMIT: Duration = Duration::from_secs(120);
}

impl Default for SendOptions {
    fn default() -> SendOptions {
        SendOptions {
            compression_level: SendOptions::COMPRESSION_LEVEL,
            rate_limit: None,
            storing_limit: SendOptions::STORING_LIMIT,
        }
    }
}

/// The number of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u32);

/// The far node's answer to a request.
type Answer = (RequestId, Result<Stored, LinkError>);

/// Takes an answer that arrives while a file is sent.
pub(crate) type TakeAnswer<'a> = &'a mut dyn FnMut(RequestId, Result<Stored, LinkError>);

/// Why a file could not be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The connection failed, or the other node refused the file.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl Retryable for SendError {
    fn is_retryable(&self) -> bool {
        match self {
            SendError::File(_) => true,
            SendError::Link(error) => error.is_retryable(),
        }
    }
}

impl Sender {
    /// Sends over this connection, with the default options.
    #[must_use]
    pub fn new(link: Link) -> Sender {
        Sender::with_options(link, SendOptions::default())
    }

    /// Sends over this connection.
    #[must_use]
    pub fn with_options(link: Link, options: SendOptions) -> Sender {
        let waiting = Vec::new();
        let early = VecDeque::new();
        Sender { link, options, outgoing: None, last_id: 0, waiting, early, last_checksum: 0 }
    }

    /// The connection.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Sends a file and waits until it is durable on the far node.
    ///
    /// # Errors
    /// If the file can't be read, the connection fails, or the far node refuses the file.
    pub fn send(&mut self, name: WalFileName, path: &Path) -> Result<Stored, SendError> {
        let id = self.start(name, path)?;
        self.wait_for(id)
    }

    /// Makes the far node check that it can store files, and bind its archive to this node.
    ///
    /// # Errors
    /// If it can't, or the connection fails.
    pub fn probe(&mut self) -> Result<(), SendError> {
        self.request(|id| Message::Probe { id }).map(|_| ())
    }

    /// Sends a request that is answered by STORED, and waits for the answer.
    pub(super) fn request(
        &mut self,
        message: impl FnOnce(u32) -> Message,
    ) -> Result<Stored, SendError> {
        let id = self.next_id();
        self.link.send(&message(id))?;
        self.waiting.push(id);
        self.wait_for(RequestId(id))
    }

    /// Sends a file without waiting for the answer.
    ///
    /// # Errors
    /// If the file can't be read or the connection fails.
    pub fn start(&mut self, name: WalFileName, path: &Path) -> Result<RequestId, SendError> {
        self.start_file(name, path, None)
    }

    /// The same, and takes the answers to other requests that arrive meanwhile.
    pub(crate) fn start_and_take(
        &mut self,
        name: WalFileName,
        path: &Path,
        take: TakeAnswer<'_>,
    ) -> Result<RequestId, SendError> {
        self.start_file(name, path, Some(take))
    }

    fn start_file(
        &mut self,
        name: WalFileName,
        path: &Path,
        mut take: Option<TakeAnswer<'_>>,
    ) -> Result<RequestId, SendError> {
        let reading = || FileError::of::<io::Error>("read", path);
        let compressing = || FileError::of::<io::Error>("compress", path);
        let mut file = File::open(path).map_err(FileError::of("open", path))?;
        let metadata = file.metadata().map_err(reading())?;
        let id = self.next_id();
        let (link, options, waiting) = (&mut self.link, &self.options, &mut self.waiting);
        let outgoing = match &mut self.outgoing {
            Some(outgoing) => outgoing,
            none => {
                let frame = options.rate_limit.as_ref().map_or(FILE_CHUNK, RateLimit::frame);
                let receiver = link.welcome().understands;
                let new = Outgoing::new(receiver, options.compression_level, frame);
                none.insert(new.map_err(compressing())?)
            }
        };
        // It can be refused before its end is sent.
        waiting.push(id);
        let early = &mut self.early;
        let mut send = |kind, parts: &[&[u8]]| {
            if let Some(limit) = &options.rate_limit {
                limit.wait_for(parts.iter().map(|part| part.len()).sum());
            }
            link.send_frame(kind, parts)?;
            if let Some(take) = &mut take {
                while let Some(message) = link.arrived_message()? {
                    let (answered, result) = answer(link, waiting, message)?;
                    if answered == RequestId(id) {
                        early.push_back((answered, result));
                    } else {
                        take(answered, result);
                    }
                }
            }
            Ok(())
        };
        let sent = outgoing.send(id, name, (&mut file, &metadata), &mut send);
        self.last_checksum = sent.map_err(|error| match error {
            NotSent::Read(e) => reading()(e).into(),
            NotSent::Compress(e) => compressing()(e).into(),
            NotSent::Send(e) => SendError::Link(e),
        })?;
        Ok(RequestId(id))
    }

    /// CRC-32 of the content that [`start`](Sender::start) sent last, whole and decoded.
    pub(crate) fn last_checksum(&self) -> u32 {
        self.last_checksum
    }

    /// Tells the far node, which limits the time without any data, that this side is alive.
    pub(crate) fn send_heartbeat(&mut self) -> Result<(), SendError> {
        Ok(self.link.send(&Message::Working)?)
    }

    /// Waits for the answer to one request. Answers to other requests are discarded, so wait in the order in
    /// which they were sent.
    ///
    /// # Errors
    /// If the far node refuses the request or the connection fails.
    pub fn wait_for(&mut self, request: RequestId) -> Result<Stored, SendError> {
        loop {
            let (answered, result) = self.next_answer()?;
            if answered == request {
                return Ok(result?);
            }
        }
    }

    /// Waits for the next answer to any request.
    ///
    /// # Errors
    /// If the connection fails. A refusal is part of the answer.
    pub(crate) fn next_answer(&mut self) -> Result<Answer, SendError> {
        if let Some(answer) = self.early.pop_front() {
            return Ok(answer);
        }
        let message = self.link.receive_message_within(self.options.storing_limit)?;
        Ok(answer(&mut self.link, &mut self.waiting, message)?)
    }

    /// Ends the connection and waits until the far command has ended too.
    pub fn close(self) {
        self.link.close();
    }

    /// Ends the connection without waiting for the far command to end.
    pub fn leave(self) {
        self.link.leave();
    }

    pub(super) fn next_id(&mut self) -> u32 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

/// The answer that a message is, to one of the requests that wait for one.
fn answer(link: &mut Link, waiting: &mut Vec<u32>, message: Message) -> Result<Answer, LinkError> {
    let kind = message.kind();
    let (id, result) = match message {
        Message::Stored { id, outcome } => (id, Ok(outcome)),
        Message::Refused(refusal) => (refusal.id, Err(link.refused(refusal))),
        _ => return Err(link.failed(WireError::Unexpected(kind))),
    };
    match waiting.iter().position(|waiting| *waiting == id) {
        Some(at) => waiting.remove(at),
        // An answer to a request that was not sent acknowledges nothing.
        None => return Err(link.failed(WireError::Unexpected(kind))),
    };
    Ok((RequestId(id), result))
}
