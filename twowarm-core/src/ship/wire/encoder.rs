use std::io;

use zstd::stream::raw::{self, CParameter, InBuffer, Operation, OutBuffer};

use super::{Capabilities, Codec, FILE_CHUNK, Features, Message};

/// Zeros are searched in blocks of this size, in bytes: that of a page of most file systems.
const BLOCK: usize = 4096;

/// The shortest run of zeros in the middle of a file that is worth a frame of its own, in bytes.
const MIN_RUN: u64 = 32 * 1024;

static ZERO_BYTES: [u8; MIN_RUN as usize] = [0; MIN_RUN as usize];

/// The largest window, and the largest tables of the slow levels, as powers of two: these levels would use more than
/// 64 MB with zstd's own.
const WINDOW_LOG: u32 = 20;

/// Encodes the content of files, one after the other, as frames of DATA, ZEROS and END.
pub struct Encoder {
    zstd: Option<raw::Encoder<'static>>,
    sends_zeros: bool,
    /// The request's id.
    id: u32,
    crc: crc32fast::Hasher,
    /// How much of the file has been added, in bytes.
    position: u64,
    /// Zeros at the end of what was added, not sent yet.
    pending_zeros: u64,
    /// Whether the file's zstd frame has begun.
    has_begun: bool,
    /// The next frame's data. It is sent when its capacity is used up.
    data: Vec<u8>,
}

/// Why a file could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError<E> {
    /// The file could not be compressed.
    #[error("{0}")]
    Compress(io::Error),
    /// A frame could not be sent.
    #[error("{0}")]
    Send(E),
}

/// Sends a frame whose payload is given in parts.
pub type SendFrame<'a, E> = &'a mut dyn FnMut(u8, &[&[u8]]) -> Result<(), E>;

impl Encoder {
    /// An encoder for this receiver, with zstd's compression `level` (0: none) and frames with at most `frame` bytes of
    /// data, at most [`FILE_CHUNK`].
    ///
    /// # Errors
    /// If zstd does not accept the level or can't allocate memory.
    pub fn new(receiver: Capabilities, level: i32, frame: usize) -> io::Result<Encoder> {
        let compresses = level != 0 && receiver.knows(Codec::Zstd);
        Ok(Encoder {
            zstd: if compresses { Some(compressor(level)?) } else { None },
            sends_zeros: receiver.has(Features::ZEROS),
            id: 0,
            crc: crc32fast::Hasher::new(),
            position: 0,
            pending_zeros: 0,
            has_begun: false,
            data: Vec::with_capacity(frame.clamp(1, FILE_CHUNK)),
        })
    }

    /// How files are encoded.
    #[must_use]
    pub fn codec(&self) -> Codec {
        if self.zstd.is_some() { Codec::Zstd } else { Codec::None }
    }

    /// Begins a file, sent with this request.
    ///
    /// # Errors
    /// If zstd can't be reset after an earlier file that was not finished.
    pub fn begin(&mut self, id: u32) -> io::Result<()> {
        if let Some(zstd) = &mut self.zstd {
            zstd.reinit()?;
        }
        self.id = id;
        self.crc.reset();
        (self.position, self.pending_zeros, self.has_begun) = (0, 0, false);
        self.data.clear();
        Ok(())
    }

    /// Adds the next bytes of the file, and sends the frames that they complete.
    ///
    /// # Errors
    /// If the bytes can't be compressed or a frame can't be sent.
    pub fn add<E>(&mut self, bytes: &[u8], send: SendFrame<'_, E>) -> Result<(), EncodeError<E>> {
        self.crc.update(bytes);
        if !self.sends_zeros {
            return self.encode(bytes, send);
        }
        let mut rest = bytes;
        while let Some(first) = block(rest, self.position) {
            let is_zero = all_zero(first);
            let mut run = first.len();
            while let Some(next) = block(&rest[run..], self.position + run as u64)
                && all_zero(next) == is_zero
            {
                run += next.len();
            }
            if is_zero {
                self.pending_zeros += run as u64;
            } else {
                self.end_run(send)?;
                self.encode(&rest[..run], send)?;
            }
            self.position += run as u64;
            rest = &rest[run..];
        }
        Ok(())
    }

    /// Ends the file and returns its CRC-32, which the last frame contains.
    ///
    /// # Errors
    /// If the rest can't be compressed or a frame can't be sent.
    pub fn finish<E>(&mut self, send: SendFrame<'_, E>) -> Result<u32, EncodeError<E>> {
        if self.has_begun {
            self.drain(|zstd, data| zstd.finish(data, true), send)?;
        }
        self.send_data(send)?;
        self.send_zeros(send)?;
        let crc = self.crc.clone().finalize();
        let end = Message::End { id: self.id, crc };
        send(end.kind(), &[&end.payload()]).map_err(EncodeError::Send)?;
        Ok(crc)
    }

    /// Sends the zeros before other bytes: a long run as ZEROS, a short one as data.
    fn end_run<E>(&mut self, send: SendFrame<'_, E>) -> Result<(), EncodeError<E>> {
        if self.pending_zeros < MIN_RUN {
            let zeros = &ZERO_BYTES[..self.pending_zeros as usize];
            self.pending_zeros = 0;
            return self.encode(zeros, send);
        }
        if self.has_begun {
            // So that the receiver can decode all that comes before the zeros.
            self.drain(raw::Encoder::flush, send)?;
        }
        self.send_data(send)?;
        self.send_zeros(send)
    }

    fn encode<E>(&mut self, bytes: &[u8], send: SendFrame<'_, E>) -> Result<(), EncodeError<E>> {
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            let used = self.data.len();
            match &mut self.zstd {
                Some(zstd) => {
                    self.has_begun = true;
                    let mut output = OutBuffer::around_pos(&mut self.data, used);
                    zstd.run(&mut input, &mut output).map_err(EncodeError::Compress)?;
                }
                None => {
                    let rest = &bytes[input.pos()..];
                    let taken = rest.len().min(self.data.capacity() - used);
                    self.data.extend_from_slice(&rest[..taken]);
                    input.set_pos(input.pos() + taken);
                }
            }
            if self.data.len() == self.data.capacity() {
                self.send_data(send)?;
            }
        }
        Ok(())
    }

    /// Repeats a step of zstd until it has nothing left to write.
    fn drain<E>(
        &mut self,
        mut step: impl FnMut(
            &mut raw::Encoder<'static>,
            &mut OutBuffer<'_, Vec<u8>>,
        ) -> io::Result<usize>,
        send: SendFrame<'_, E>,
    ) -> Result<(), EncodeError<E>> {
        while let Some(zstd) = &mut self.zstd {
            let used = self.data.len();
            let mut output = OutBuffer::around_pos(&mut self.data, used);
            let left = step(zstd, &mut output).map_err(EncodeError::Compress)?;
            if left == 0 {
                break;
            }
            self.send_data(send)?;
        }
        Ok(())
    }

    fn send_data<E>(&mut self, send: SendFrame<'_, E>) -> Result<(), EncodeError<E>> {
        if !self.data.is_empty() {
            let parts = [&self.id.to_be_bytes()[..], &self.data];
            send(Message::DATA, &parts).map_err(EncodeError::Send)?;
            self.data.clear();
        }
        Ok(())
    }

    fn send_zeros<E>(&mut self, send: SendFrame<'_, E>) -> Result<(), EncodeError<E>> {
        if self.pending_zeros > 0 {
            let zeros = Message::Zeros { id: self.id, length: self.pending_zeros };
            send(zeros.kind(), &[&zeros.payload()]).map_err(EncodeError::Send)?;
            self.pending_zeros = 0;
        }
        Ok(())
    }
}

fn compressor(level: i32) -> io::Result<raw::Encoder<'static>> {
    let mut zstd = raw::Encoder::new(level)?;
    if level >= 3 {
        zstd.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    }
    if level >= 6 {
        zstd.set_parameter(CParameter::HashLog(WINDOW_LOG))?;
        zstd.set_parameter(CParameter::ChainLog(WINDOW_LOG))?;
    }
    Ok(zstd)
}

/// The bytes up to the next block of the file, if there are any.
fn block(bytes: &[u8], position: u64) -> Option<&[u8]> {
    let to_next = BLOCK - (position % BLOCK as u64) as usize;
    bytes.get(..to_next.min(bytes.len())).filter(|block| !block.is_empty())
}

fn all_zero(block: &[u8]) -> bool {
    block == &ZERO_BYTES[..block.len()]
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("codec", &self.codec()).field("id", &self.id).finish()
    }
}
