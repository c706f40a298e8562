use std::io::{self, Read, Write};

use super::WireError;
use super::error::cut;

/// The version of the protocol.
pub const VERSION: u16 = 1;

const MAGIC: [u8; 6] = *b"2warm\0";

/// Writes the eight bytes with which both sides begin: the magic and the version. Their layout is the same in
/// every version of the protocol.
///
/// # Errors
/// If the output fails.
pub fn write_greeting<W: Write + ?Sized>(out: &mut W) -> io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_be_bytes());
    out.write_all(&bytes)?;
    out.flush()
}

/// Reads the other side's greeting.
///
/// # Errors
/// If it is not a greeting, or one of another version.
pub fn read_greeting<R: Read + ?Sized>(input: &mut R) -> Result<(), WireError> {
    let mut bytes = [0; 8];
    let mut got = 0;
    while got < bytes.len() {
        match input.read(&mut bytes[got..]) {
            Ok(0) if got == 0 => return Err(WireError::Closed),
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(cut(e)),
        }
    }
    let [magic @ .., high, low] = bytes;
    if got < bytes.len() || magic != MAGIC {
        return Err(WireError::NotTheProtocol(first_line(&bytes[..got], input)));
    }
    match u16::from_be_bytes([high, low]) {
        VERSION => Ok(()),
        theirs => Err(WireError::Version { theirs, ours: VERSION }),
    }
}

/// The first line of the other output, fit for a log.
fn first_line<R: Read + ?Sized>(start: &[u8], input: &mut R) -> String {
    const MAX_BYTES: usize = 120;
    let mut bytes = start.to_vec();
    let mut next = [0];
    while bytes.len() < MAX_BYTES
        && !bytes.contains(&b'\n')
        && matches!(input.read(&mut next), Ok(1))
    {
        bytes.extend(next);
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default();
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
