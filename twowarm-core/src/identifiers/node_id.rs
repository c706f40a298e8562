use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use crate::file_error::{FileError, if_exists};

/// A node's random id, to which archives are bound: 1 to 64 ASCII letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeId(String);

impl NodeId {
    /// A new id: 128 random bits in hexadecimal.
    ///
    /// # Errors
    /// If the operating system's random numbers can't be read.
    pub fn random() -> Result<NodeId, FileError> {
        random_id().map(NodeId)
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// 128 random bits of the kernel as 32 hexadecimal digits.
pub(crate) fn random_id() -> Result<String, FileError> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(FileError::of("read", source))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// A machine's id (`/etc/machine-id`), which is not copied with a node's files. It has the same form as a
/// [`NodeId`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MachineId(String);

impl MachineId {
    /// The file that holds it on systems with systemd and on many others.
    pub const FILE: &str = "/etc/machine-id";

    /// Reads the id from such a file. None if there is no such file, or no id in it yet (on a system that
    /// was never booted).
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn read(file: &Path) -> Result<Option<MachineId>, FileError> {
        let text = if_exists(std::fs::read(file)).map_err(FileError::of("read", file))?;
        Ok(text.and_then(|text| String::from_utf8_lossy(&text).trim().parse().ok()))
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The text is not an id of a node or machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid id \"{}\": expected 1 to 64 letters, digits and hyphens", .0.escape_debug())]
pub struct NotAnId(pub String);

impl FromStr for NodeId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<NodeId, NotAnId> {
        if is_id(text) { Ok(NodeId(text.to_owned())) } else { Err(NotAnId(text.to_owned())) }
    }
}

impl FromStr for MachineId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<MachineId, NotAnId> {
        // systemd writes "uninitialized" into an image that was never booted.
        if is_id(text) && text != "uninitialized" {
            Ok(MachineId(text.to_owned()))
        } else {
            Err(NotAnId(text.to_owned()))
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_consists_of_letters_digits_and_hyphens() {
        let made = NodeId::random().unwrap();
        assert_eq!(made.as_str().parse(), Ok(made.clone()));
        assert_eq!(made.as_str().len(), 32);
        for good in ["a", "near-node-id", &"f".repeat(64)] {
            assert_eq!(good.parse::<NodeId>().unwrap().to_string(), good);
        }
        for bad in ["", " ", "a b", "a\n", "\r\r\r\r\r\r\r\r", "ä", "../x", &"f".repeat(65)] {
            let error = bad.parse::<NodeId>().unwrap_err().to_string();
            assert!(!error.contains(['\r', '\n']), "{error:?}");
        }
    }

    #[test]
    fn a_machine_without_an_id_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("machine-id");
        assert_eq!(MachineId::read(&file).unwrap(), None);
        for none in ["", "\n", "uninitialized\n"] {
            std::fs::write(&file, none).unwrap();
            assert_eq!(MachineId::read(&file).unwrap(), None);
        }
        std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
        let id = MachineId::read(&file).unwrap().unwrap();
        assert_eq!(id.as_str(), "0123456789abcdef0123456789abcdef");
        MachineId::read(dir.path()).unwrap_err();
    }
}
