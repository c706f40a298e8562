use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::identifiers::NodeName;
use crate::reach::{LocalUser, Reach, SshOptions};

/// How rsync reaches a node: by the ssh client. What the [`Reach`] does not set comes from the user's ssh
/// configuration.
#[derive(Debug, Clone)]
pub struct Remote {
    reach: Reach,
    options: SshOptions,
}

impl Remote {
    /// Uses the node's key for base copies, if it has one.
    #[must_use]
    pub fn new(reach: Reach) -> Remote {
        let local = LocalUser::current();
        let options = SshOptions::of(&reach, reach.key_for_copies(), local.as_ref());
        Remote { reach, options }
    }

    /// Uses the node's key for shipping WAL.
    #[must_use]
    pub fn for_wal(reach: Reach) -> Remote {
        let local = LocalUser::current();
        let options = SshOptions::of(&reach, reach.key.as_ref(), local.as_ref());
        Remote { reach, options }
    }

    /// The node's name, for messages.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.reach.node
    }

    /// The directory that contains `2warm` on the node.
    #[must_use]
    pub fn pgroot(&self) -> &Path {
        &self.reach.pgroot
    }

    /// A transfer fails if nothing is sent for this long. ssh detects a broken network sooner; this limit
    /// allows for the time that the checksum of a large file takes.
    pub(super) fn transfer_limit(&self) -> Duration {
        self.reach.time_limit * 10
    }

    /// A path on the node, as rsync's argument.
    pub(super) fn argument(&self, path: &Path) -> OsString {
        let host = self.reach.node.host();
        // The host's name ends at the first colon.
        let mut argument = OsString::from(if host.contains(':') {
            format!("[{host}]:")
        } else {
            format!("{host}:")
        });
        argument.push(path);
        argument
    }

    /// The value of rsync's option `-e`, which rsync splits at spaces, except in quotes.
    pub(super) fn ssh_command(&self) -> String {
        let options = self.options.unattended(self.reach.time_limit);
        let words = std::iter::once("ssh".to_owned()).chain(options);
        words.map(|word| rsync_word(&word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word of rsync's option `-e`: in single quotes, with quotes doubled.
fn rsync_word(word: &str) -> String {
    format!("'{}'", word.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(name: &str) -> Remote {
        let reach = Reach::new(name.parse().unwrap(), "/pg".into());
        Remote { reach, options: SshOptions::default() }
    }

    #[test]
    fn each_argument_of_ssh_is_one_quoted_word() {
        let mut remote = remote("db2");
        remote.options.key = Some("/home/it's here/100%".into());
        let command = remote.ssh_command();
        assert!(command.starts_with("'ssh' '-o' 'BatchMode=yes' "), "{command}");
        assert!(command.contains("'ServerAliveInterval=10'"), "{command}");
        assert!(command.contains("'IdentityFile=\"/home/it''s here/100%%\"'"), "{command}");
    }

    #[test]
    fn an_argument_is_the_host_and_the_path() {
        assert_eq!(remote("db2").argument(Path::new("/a b")), "db2:/a b");
        assert_eq!(remote("::1").argument(Path::new("/d")), "[::1]:/d");
    }
}
