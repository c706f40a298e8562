use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::link::{Link, LinkError};
use super::wire::{Codec, FILE_CHUNK, FileStart, Message, Stored, WireError};
use crate::file_error::FileError;
use crate::wal::WalFileName;

/// Sends WAL files over a connection. Many may be on their way before the first is acknowledged.
#[derive(Debug)]
pub struct Sender {
    link: Link,
    last_id: u32,
    /// Sent and not yet answered, oldest first.
    waiting: Vec<u32>,
}

/// A request that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u32);

/// Why a file did not arrive.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SendError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl SendError {
    /// Whether the same again may go well.
    pub fn is_retryable(&self) -> bool {
        match self {
            SendError::File(_) => true,
            SendError::Link(error) => error.is_retryable(),
        }
    }
}

impl Sender {
    /// Sends over a connection whose far end has accepted our hello.
    pub fn new(link: Link) -> Sender {
        Sender { link, last_id: 0, waiting: Vec::new() }
    }

    /// The connection.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Sends a file and waits until it is durable on the far node.
    pub fn send(&mut self, name: WalFileName, path: &Path) -> Result<Stored, SendError> {
        let id = self.start(name, path)?;
        self.wait_for(id)
    }

    /// Has the far node prove that it can receive files, and bind its archive to this node.
    pub fn probe(&mut self) -> Result<(), SendError> {
        let id = self.next_id();
        self.link.send(&Message::Probe { id })?;
        self.waiting.push(id);
        self.wait_for(RequestId(id)).map(|_| ())
    }

    /// Sends a file whole, without waiting for what the far node makes of it.
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
        // The kind of frame is the same for every piece.
        let data = Message::Data { id, bytes: Vec::new() }.kind();
        while left > 0 {
            let wanted = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            file.read_exact(&mut chunk[..wanted]).map_err(reading())?;
            crc.update(&chunk[..wanted]);
            self.link.send_frame(data, &[&id.to_be_bytes(), &chunk[..wanted]])?;
            left -= wanted as u64;
        }
        self.link.send(&Message::End { id, crc: crc.finalize() })?;
        self.waiting.push(id);
        Ok(RequestId(id))
    }

    /// Waits for the far node's answer to one request; those to others on the way are lost, so ask for
    /// them in the order in which they were sent.
    pub fn wait_for(&mut self, request: RequestId) -> Result<Stored, SendError> {
        loop {
            let (answered, result) = self.next_answer()?;
            if answered == request {
                return Ok(result?);
            }
        }
    }

    /// Waits for the next answer to any request that was sent.
    pub fn next_answer(&mut self) -> Result<(RequestId, Result<Stored, LinkError>), SendError> {
        let message = self.link.receive_message()?;
        let kind = message.kind();
        let (id, result) = match message {
            Message::Stored { id, outcome } => (id, Ok(outcome)),
            Message::Refused(refusal) => (refusal.id, Err(self.link.refused(refusal))),
            _ => return Err(self.link.failed(WireError::Unexpected(kind)).into()),
        };
        match self.waiting.iter().position(|waiting| *waiting == id) {
            Some(at) => self.waiting.remove(at),
            // An acknowledgement of something that was not asked acknowledges nothing.
            None => return Err(self.link.failed(WireError::Unexpected(kind)).into()),
        };
        Ok((RequestId(id), result))
    }

    /// Ends the connection in good order, and waits until the far command has ended too.
    pub fn close(self) {
        self.link.close();
    }

    /// Ends the connection in good order and waits for nothing.
    pub fn leave(self) {
        self.link.leave();
    }

    fn next_id(&mut self) -> u32 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}
