use std::io;

use zstd::stream::raw::{self, DParameter, InBuffer, Operation, OutBuffer};

use super::Codec;
use super::capabilities::MAX_WINDOW_LOG;

/// How much is decoded at a time, in bytes.
const BUFFER: usize = 128 * 1024;

/// Decodes the content of files, one after the other, from the payloads of DATA and ZEROS. It never writes more than
/// the announced size, and its memory does not depend on the size.
#[derive(Default)]
pub struct Decoder {
    zstd: Option<raw::Decoder<'static>>,
    buffer: Vec<u8>,
    file: Current,
}

/// The file that is being decoded.
#[derive(Debug)]
struct Current {
    codec: Codec,
    size: u64,
    received: u64,
    crc: crc32fast::Hasher,
    zstd_frame: ZstdFrame,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ZstdFrame {
    NotBegun,
    Open,
    Complete,
}

impl Default for Current {
    fn default() -> Current {
        Current {
            codec: Codec::None,
            size: 0,
            received: 0,
            crc: crc32fast::Hasher::new(),
            zstd_frame: ZstdFrame::NotBegun,
        }
    }
}

/// The next bytes of a decoded file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// This many zeros.
    Zeros(u64),
}

/// Why data could not be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The codec is not known.
    #[error("unsupported codec {0}")]
    Codec(u8),
    /// The data is longer than the file's announced size.
    #[error("received more data than its announced size")]
    TooLong,
    /// The data is not a zstd frame, is damaged, or needs too large a window.
    #[error("the compressed data is invalid: {0}")]
    Zstd(io::Error),
    /// Data follows the end of the zstd frame.
    #[error("data follows the end of the compressed data")]
    AfterEnd,
    /// The zstd frame is incomplete.
    #[error("the compressed data is incomplete")]
    Incomplete,
    /// Size or checksum differ from those announced.
    #[error("size or checksum are not as announced")]
    Damaged,
}

impl Decoder {
    /// A decoder.
    #[must_use]
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Begins a file of this size in bytes, decoded.
    ///
    /// # Errors
    /// If the codec is unknown, or zstd can't allocate memory.
    pub fn begin(&mut self, codec: Codec, size: u64) -> Result<(), DecodeError> {
        match codec {
            Codec::None => {}
            Codec::Zstd => {
                let zstd = match self.zstd.take() {
                    Some(mut zstd) => zstd.reinit().map(|()| zstd),
                    None => decompressor(),
                };
                self.zstd = Some(zstd.map_err(DecodeError::Zstd)?);
                self.buffer.resize(BUFFER, 0);
            }
            Codec::Other(number) => return Err(DecodeError::Codec(number)),
        }
        self.file = Current { codec, size, ..Current::default() };
        Ok(())
    }

    /// Decodes the data of a DATA frame and passes it on, in pieces.
    ///
    /// # Errors
    /// If the data can't be decoded or is too long, or `write` fails.
    pub fn data<E: From<DecodeError>>(
        &mut self,
        bytes: &[u8],
        write: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let file = &mut self.file;
        let zstd = match (file.codec, &mut self.zstd) {
            (Codec::Zstd, Some(zstd)) => zstd,
            _ => return file.take(Piece::Bytes(bytes), write),
        };
        let mut input = InBuffer::around(bytes);
        loop {
            if input.pos() == bytes.len() && file.zstd_frame != ZstdFrame::Open {
                return Ok(());
            }
            if file.zstd_frame == ZstdFrame::Complete {
                return Err(DecodeError::AfterEnd.into());
            }
            let before = input.pos();
            let mut output = OutBuffer::around(self.buffer.as_mut_slice());
            let hint = zstd.run(&mut input, &mut output).map_err(DecodeError::Zstd)?;
            let decoded = output.pos();
            file.zstd_frame = if hint == 0 { ZstdFrame::Complete } else { ZstdFrame::Open };
            file.take(Piece::Bytes(&self.buffer[..decoded]), write)?;
            if decoded < BUFFER && (input.pos() == bytes.len() || input.pos() == before) {
                return Ok(());
            }
        }
    }

    /// Passes on the zeros of a ZEROS frame.
    ///
    /// # Errors
    /// If they exceed the file's size, or `write` fails.
    pub fn zeros<E: From<DecodeError>>(
        &mut self,
        length: u64,
        write: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.file.take(Piece::Zeros(length), write)
    }

    /// Ends the file: all of it has arrived, if this CRC-32 is its.
    ///
    /// # Errors
    /// If the file is incomplete, or its checksum differs.
    pub fn finish(&self, crc: u32) -> Result<(), DecodeError> {
        let file = &self.file;
        if file.zstd_frame == ZstdFrame::Open {
            return Err(DecodeError::Incomplete);
        }
        if file.received != file.size || file.crc.clone().finalize() != crc {
            return Err(DecodeError::Damaged);
        }
        Ok(())
    }
}

impl Current {
    fn take<E: From<DecodeError>>(
        &mut self,
        piece: Piece<'_>,
        write: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = match piece {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Zeros(length) => length,
        };
        if length > self.size - self.received {
            return Err(DecodeError::TooLong.into());
        }
        self.received += length;
        match piece {
            Piece::Bytes(bytes) => self.crc.update(bytes),
            Piece::Zeros(length) => self.crc.combine(&zeros_crc(length)),
        }
        if length == 0 { Ok(()) } else { write(piece) }
    }
}

fn decompressor() -> io::Result<raw::Decoder<'static>> {
    let mut zstd = raw::Decoder::new()?;
    zstd.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))?;
    Ok(zstd)
}

/// The checksum of this many zeros, by doubling.
fn zeros_crc(length: u64) -> crc32fast::Hasher {
    let mut crc = crc32fast::Hasher::new();
    let mut power = crc32fast::Hasher::new();
    power.update(&[0]);
    let mut left = length;
    while left > 0 {
        if left & 1 == 1 {
            crc.combine(&power);
        }
        left >>= 1;
        if left > 0 {
            power.combine(&power.clone());
        }
    }
    crc
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("file", &self.file).finish_non_exhaustive()
    }
}
