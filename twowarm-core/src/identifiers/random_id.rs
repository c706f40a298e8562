use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::file_error::FileError;

/// 128 random bits of the kernel as 32 hexadecimal digits.
pub(crate) fn random_id() -> Result<String, FileError> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(FileError::of("read", source))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
