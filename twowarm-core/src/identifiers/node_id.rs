use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use super::random_id;
use crate::file_error::FileError;

/// The random name by which archives know a node: 1 to 64 ASCII letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeId(String);

impl NodeId {
    /// A new one: 128 random bits in hexadecimal.
    pub(crate) fn random() -> Result<NodeId, FileError> {
        random_id().map(NodeId)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a machine, which a copy of a node's files does not take along: `/etc/machine-id`. Of the
/// same form as a [`NodeId`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MachineId(String);

impl MachineId {
    /// Where systems with systemd, and many others, keep it.
    pub const FILE: &str = "/etc/machine-id";

    /// Reads the id from such a file. None where there is no such file, or no id in it yet (a system that
    /// has never been started).
    pub fn read(file: &Path) -> Result<Option<MachineId>, FileError> {
        match std::fs::read(file) {
            Ok(text) => Ok(String::from_utf8_lossy(&text).trim().parse().ok()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(FileError::of("read", file)(e)),
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The text is not the id of a node or of a machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not an id (1 to 64 letters, digits and hyphens)", .0.escape_debug())]
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
        // What systemd writes into an image that was never started.
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
    fn an_id_holds_no_nonsense() {
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
