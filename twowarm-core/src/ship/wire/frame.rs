use std::io::{self, Read, Write};

use super::WireError;
use super::error::cut;

/// The longest payload of a frame, in bytes.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// Kind and length.
const HEADER: usize = 5;
const CHECKSUM: usize = 4;

/// A frame: a kind and a payload. On the wire the payload's length is between them, and a CRC-32 of all that
/// follows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The kind of message; see [`Message`](super::Message).
    pub kind: u8,
    /// At most [`MAX_PAYLOAD`] bytes.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Parses a frame at the start of `bytes` and returns it with its length in bytes; `None` if it is not
    /// complete yet.
    ///
    /// # Errors
    /// If it is too long or its checksum is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Frame, usize)>, WireError> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
        let length = payload_length(header)?;
        if rest.len() < length + CHECKSUM {
            return Ok(None);
        }
        let (payload, rest) = rest.split_at(length);
        let checksum = rest.first_chunk().copied().unwrap_or_default();
        let frame = check(header, payload.to_vec(), checksum)?;
        Ok(Some((frame, HEADER + length + CHECKSUM)))
    }
}

fn payload_length(header: &[u8; HEADER]) -> Result<usize, WireError> {
    let [_, length @ ..] = *header;
    let length = u32::from_be_bytes(length);
    match usize::try_from(length) {
        Ok(length) if length <= MAX_PAYLOAD => Ok(length),
        _ => Err(WireError::Oversize(length.into())),
    }
}

fn check(
    header: &[u8; HEADER],
    payload: Vec<u8>,
    checksum: [u8; CHECKSUM],
) -> Result<Frame, WireError> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(&payload);
    if crc.finalize() != u32::from_be_bytes(checksum) {
        return Err(WireError::Checksum);
    }
    Ok(Frame { kind: header[0], payload })
}

/// Writes a frame whose payload is given in parts.
///
/// # Errors
/// If the payload is too long or the output fails.
pub fn write_frame<W: Write + ?Sized>(out: &mut W, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length > MAX_PAYLOAD {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the frame is too long"));
    }
    let mut bytes = Vec::with_capacity(HEADER + length + CHECKSUM);
    bytes.push(kind);
    bytes.extend((length as u32).to_be_bytes());
    for part in parts {
        bytes.extend_from_slice(part);
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_be_bytes());
    // In one call: every write over ssh is a packet.
    out.write_all(&bytes)?;
    out.flush()
}

/// Reads a frame.
///
/// # Errors
/// [`WireError::Closed`] if the stream ends before its first byte; others if it ends later or fails, or the
/// frame is invalid.
pub fn read_frame<R: Read + ?Sized>(input: &mut R) -> Result<Frame, WireError> {
    let mut header = [0; HEADER];
    let got = loop {
        match input.read(&mut header) {
            Ok(0) => return Err(WireError::Closed),
            Ok(n) => break n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(WireError::Io(e)),
        }
    };
    input.read_exact(&mut header[got..]).map_err(cut)?;
    let mut payload = vec![0; payload_length(&header)?];
    input.read_exact(&mut payload).map_err(cut)?;
    let mut checksum = [0; CHECKSUM];
    input.read_exact(&mut checksum).map_err(cut)?;
    check(&header, payload, checksum)
}
