use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::time::SystemTime;

use super::wire::{
    Capabilities, EncodeError, Encoder, FILE_CHUNK, Features, FileStart, Message, SendFrame,
};
use crate::wal::WalFileName;

/// Sends the content of files in the way that a receiver understands.
#[derive(Debug)]
pub(super) struct Outgoing {
    encoder: Encoder,
    takes_modified: bool,
    /// For reading a file.
    chunk: Vec<u8>,
}

/// Why a file could not be sent.
pub(super) enum NotSent<E> {
    Read(io::Error),
    Compress(io::Error),
    Send(E),
}

impl Outgoing {
    /// With zstd's compression `level` and at most `frame` bytes of data in a frame.
    pub(super) fn new(receiver: Capabilities, level: i32, frame: usize) -> io::Result<Outgoing> {
        Ok(Outgoing {
            encoder: Encoder::new(receiver, level, frame)?,
            takes_modified: receiver.has(Features::MODIFIED),
            chunk: vec![0; FILE_CHUNK],
        })
    }

    /// Sends a file, read from its current position, with the frames FILE to END, and returns its CRC-32.
    pub(super) fn send<E>(
        &mut self,
        id: u32,
        name: WalFileName,
        (file, metadata): (&mut File, &Metadata),
        send: SendFrame<'_, E>,
    ) -> Result<u32, NotSent<E>> {
        self.encoder.begin(id).map_err(NotSent::Compress)?;
        let start = Message::File(FileStart {
            id,
            codec: self.encoder.codec(),
            size: metadata.len(),
            name: name.to_string(),
            modified: if self.takes_modified { modified(metadata) } else { None },
        });
        send(start.kind(), &[&start.payload()]).map_err(NotSent::Send)?;
        let mut left = metadata.len();
        while left > 0 {
            let wanted = self.chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let chunk = &mut self.chunk[..wanted];
            file.read_exact(chunk).map_err(NotSent::Read)?;
            self.encoder.add(chunk, send)?;
            left -= wanted as u64;
        }
        Ok(self.encoder.finish(send)?)
    }
}

impl<E> From<EncodeError<E>> for NotSent<E> {
    fn from(error: EncodeError<E>) -> NotSent<E> {
        match error {
            EncodeError::Compress(error) => NotSent::Compress(error),
            EncodeError::Send(error) => NotSent::Send(error),
        }
    }
}

/// When a file was last modified, in nanoseconds since 1970.
fn modified(metadata: &Metadata) -> Option<i64> {
    let at = metadata.modified().ok()?;
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).ok(),
        Err(before) => i64::try_from(before.duration().as_nanos()).ok().map(|ns| -ns),
    }
}
