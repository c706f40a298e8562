use std::io::{self, Read, Write};

use super::WireError;
use super::error::cut;

/// The protocol's version that this code speaks.
pub const VERSION: u16 = 1;

const MAGIC: [u8; 6] = *b"2warm\0";

/// Writes the eight bytes that both sides begin with: the magic and the version. They are the same in
/// every version of the protocol.
pub fn write_greeting<W: Write + ?Sized>(out: &mut W) -> io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_be_bytes());
    out.write_all(&bytes)?;
    out.flush()
}

/// Reads the other side's greeting; another version is an error.
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
        return Err(WireError::NotTheProtocol(shown(&bytes[..got])));
    }
    match u16::from_be_bytes([high, low]) {
        VERSION => Ok(()),
        theirs => Err(WireError::Version { theirs, ours: VERSION }),
    }
}

/// What came instead, fit for one line of a log.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
