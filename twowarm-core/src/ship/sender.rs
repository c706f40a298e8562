use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::link::{Link, LinkError};
use super::wire::{Codec, FILE_CHUNK, FileStart, Message, Stored, WireError};
use crate::file_error::FileError;
use crate::retry::Retryable;
use crate::wal::WalFileName;

/// Sends WAL files over a connection. Several may be on their way before the first is acknowledged.
#[derive(Debug)]
pub struct Sender {
    link: Link,
    last_id: u32,
    /// Sent and not yet answered.
    waiting: Vec<u32>,
    /// CRC-32 of the content of the file that was sent last.
    last_checksum: u32,
}

/// The number of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u32);

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
    /// Sends over this connection.
    #[must_use]
    pub fn new(link: Link) -> Sender {
        Sender { link, last_id: 0, waiting: Vec::new(), last_checksum: 0 }
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
        let id = self.next_id();
        self.link.send(&Message::Probe { id })?;
        self.waiting.push(id);
        self.wait_for(RequestId(id)).map(|_| ())
    }

    /// Sends a file without waiting for the answer.
    ///
    /// # Errors
    /// If the file can't be read or the connection fails.
    pub fn start(&mut self, name: WalFileName, path: &Path) -> Result<RequestId, SendError> {
        let reading = || FileError::of::<io::Error>("read", path);
        let mut file = File::open(path).map_err(reading())?;
        let size = file.metadata().map_err(reading())?.len();
        let id = self.next_id();
        let start = FileStart { id, codec: Codec::None, size, name: name.to_string() };
        self.link.send(&Message::File(start))?;
        let mut crc = crc32fast::Hasher::new();
        let mut left = size;
        let mut chunk = vec![0; FILE_CHUNK];
        let data = Message::Data { id, bytes: Vec::new() }.kind();
        while left > 0 {
            let wanted = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            file.read_exact(&mut chunk[..wanted]).map_err(reading())?;
            crc.update(&chunk[..wanted]);
            self.link.send_frame(data, &[&id.to_be_bytes(), &chunk[..wanted]])?;
            left -= wanted as u64;
        }
        self.last_checksum = crc.finalize();
        self.link.send(&Message::End { id, crc: self.last_checksum })?;
        self.waiting.push(id);
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
    pub(crate) fn next_answer(
        &mut self,
    ) -> Result<(RequestId, Result<Stored, LinkError>), SendError> {
        let message = self.link.receive_message()?;
        let kind = message.kind();
        let (id, result) = match message {
            Message::Stored { id, outcome } => (id, Ok(outcome)),
            Message::Refused(refusal) => (refusal.id, Err(self.link.refused(refusal))),
            _ => return Err(self.link.failed(WireError::Unexpected(kind)).into()),
        };
        match self.waiting.iter().position(|waiting| *waiting == id) {
            Some(at) => self.waiting.remove(at),
            // An answer to a request that was not sent acknowledges nothing.
            None => return Err(self.link.failed(WireError::Unexpected(kind)).into()),
        };
        Ok((RequestId(id), result))
    }

    /// Ends the connection and waits until the far command has ended too.
    pub fn close(self) {
        self.link.close();
    }

    /// Ends the connection without waiting for the far command to end.
    pub fn leave(self) {
        self.link.leave();
    }

    fn next_id(&mut self) -> u32 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}
