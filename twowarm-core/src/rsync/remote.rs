use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::identifiers::NodeName;
use crate::reach::{LocalUser, Reach, SshOptions};

/// How rsync reaches a node: by the ssh client, with the user's ssh configuration for all that the reach
/// leaves open.
#[derive(Debug, Clone)]
pub struct Remote {
    reach: Reach,
    options: SshOptions,
}

impl Remote {
    /// Logs in with the reach's key for base copies.
    #[must_use]
    pub fn new(reach: Reach) -> Remote {
        let local = LocalUser::current();
        let options = SshOptions::of(&reach, reach.key_for_copies(), local.as_ref());
        Remote { reach, options }
    }

    /// The node's name, for messages.
    pub fn name(&self) -> &NodeName {
        &self.reach.node
    }

    /// The directory that holds `2warm` on the node.
    pub fn pgroot(&self) -> &Path {
        &self.reach.pgroot
    }

    /// A silence of this length ends a transfer. It is longer than that of the network below, which ssh
    /// watches: a disk may take its time over the checksum of a large file.
    pub(super) fn silence(&self) -> Duration {
        self.reach.time_limit * 10
    }

    /// A directory on the node, as rsync's argument.
    pub(super) fn place(&self, path: &Path) -> OsString {
        let host = self.reach.node.host();
        // rsync takes the first colon for the end of the name.
        let mut place = OsString::from(if host.contains(':') {
            format!("[{host}]:")
        } else {
            format!("{host}:")
        });
        place.push(path);
        place
    }

    /// The ssh command, as rsync's `-e` splits it: at spaces, except in quotes.
    pub(super) fn shell(&self) -> String {
        let limit = self.reach.time_limit.as_secs().max(1);
        let mut words = vec!["ssh".to_owned()];
        let mut option = |text: String| words.extend(["-o".to_owned(), text]);
        option("BatchMode=yes".into());
        option("StrictHostKeyChecking=yes".into());
        option(format!("ConnectTimeout={limit}"));
        option(format!("ServerAliveInterval={}", limit.div_ceil(3)));
        option("ServerAliveCountMax=3".into());
        words.extend(self.options.arguments());
        words.iter().map(|word| rsync_word(word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word for rsync's splitter: in single quotes, where a quote is doubled.
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
        let shell = remote.shell();
        assert!(shell.starts_with("'ssh' '-o' 'BatchMode=yes' "), "{shell}");
        assert!(shell.contains("'ServerAliveInterval=10'"), "{shell}");
        assert!(shell.contains("'IdentityFile=\"/home/it''s here/100%%\"'"), "{shell}");
    }

    #[test]
    fn a_place_is_the_node_and_the_path() {
        assert_eq!(remote("db2").place(Path::new("/a b")), "db2:/a b");
        assert_eq!(remote("::1").place(Path::new("/d")), "[::1]:/d");
    }
}
