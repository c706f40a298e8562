use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Install;
use crate::identifiers::NodeName;

/// Variables that are read-only in a shell.
const READ_ONLY: [&str; 6] = ["BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"];

impl Install {
    /// Assignments for a shell, one on each line: first those of `environment.sh`, then PGROOT, PGDATA and the
    /// others, which override them. Values are in single quotes, so that `eval` does not expand them.
    #[must_use]
    pub fn shell_assignments(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let settable = |name: &str| !READ_ONLY.contains(&name);
        for (name, value) in self.environment.iter().filter(|(name, _)| settable(name)) {
            assign(&mut text, name, OsStr::new(value));
            if self.environment.is_exported(name) {
                text.extend_from_slice(format!("export {name}\n").as_bytes());
            }
        }
        let directory = |path: &Path| path.join("");
        let node = |node: &Option<NodeName>| node.as_ref().map(NodeName::to_string);
        for (name, value) in [
            ("PGROOT", self.pgroot.as_os_str()),
            ("PGDATA", self.pgdata.as_deref().map(Path::as_os_str).unwrap_or_default()),
            ("GLOBAL", directory(&self.global()).as_os_str()),
            ("LOCAL", directory(&self.local()).as_os_str()),
            ("ARCHIVE", self.archive.as_deref().map(Path::as_os_str).unwrap_or_default()),
            ("OTHERNODE", OsStr::new(&node(&self.other_node).unwrap_or_default())),
            ("DRNODE", OsStr::new(&node(&self.dr_node).unwrap_or_default())),
        ] {
            assign(&mut text, name, value);
        }
        text
    }
}

fn assign(text: &mut Vec<u8>, name: &str, value: &OsStr) {
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b"='");
    for &byte in value.as_bytes() {
        match byte {
            b'\'' => text.extend_from_slice(b"'\\''"),
            _ => text.push(byte),
        }
    }
    text.extend_from_slice(b"'\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_any_bytes_is_one_word() {
        let mut text = Vec::new();
        assign(&mut text, "A", OsStr::from_bytes(b"it's $HOME `x` \\ \"\n\xff"));
        assert_eq!(text, b"A='it'\\''s $HOME `x` \\ \"\n\xff'\n");
    }
}
