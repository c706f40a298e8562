use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::identifiers::NodeName;
use crate::reach::Reach;

/// How rsync reaches a node: by the ssh client, with the user's own ssh configuration for what
/// `2warm.toml` does not say.
#[derive(Debug, Clone)]
pub struct Remote {
    reach: Reach,
    /// The user's ssh configuration, where ssh would not look for it.
    configuration: Option<PathBuf>,
}

impl Remote {
    /// Of a node's keys the one for copying.
    pub fn new(reach: Reach) -> Remote {
        Remote { reach, configuration: own_configuration() }
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
        let mut words: Vec<String> = vec!["ssh".into()];
        if let Some(file) = &self.configuration {
            words.extend(["-F".to_owned(), file.display().to_string()]);
        }
        let mut option = |text: String| words.extend(["-o".to_owned(), text]);
        option("BatchMode=yes".into());
        option("StrictHostKeyChecking=yes".into());
        option(format!("ConnectTimeout={limit}"));
        option(format!("ServerAliveInterval={}", limit.div_ceil(3)));
        option("ServerAliveCountMax=3".into());
        if let Some(host) = &self.reach.host {
            option(format!("HostName={}", config_word(host)));
        }
        if let Some(port) = self.reach.port {
            option(format!("Port={port}"));
        }
        if let Some(user) = &self.reach.user {
            option(format!("User={}", config_word(user)));
        }
        if let Some(key) = self.reach.copy_key.as_ref().or(self.reach.key.as_ref()) {
            option(format!("IdentityFile={}", config_word(&key.display().to_string())));
            option("IdentitiesOnly=yes".into());
        }
        if let Some(file) = &self.reach.known_hosts {
            option(format!("UserKnownHostsFile={}", config_word(&file.display().to_string())));
        }
        words.iter().map(|word| rsync_word(word)).collect::<Vec<_>>().join(" ")
    }
}

/// The same file that shipping over ssh goes by.
#[cfg(feature = "ship")]
fn own_configuration() -> Option<PathBuf> {
    crate::ship::ssh::own_configuration()
}

#[cfg(not(feature = "ship"))]
fn own_configuration() -> Option<PathBuf> {
    None
}

/// A value in ssh's configuration: one word, and no `%` of it means anything.
fn config_word(value: &str) -> String {
    format!("\"{}\"", value.replace('%', "%%"))
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
        Remote { reach, configuration: None }
    }

    #[test]
    fn what_the_settings_say_reaches_ssh_in_one_piece_each() {
        let mut remote = remote("db2");
        remote.reach.host = Some("127.0.0.1".into());
        remote.reach.port = Some(2222);
        remote.reach.key = Some("/home/it's here/100%".into());
        let with_file = Remote { configuration: Some("/h/c".into()), ..remote.clone() };
        assert!(with_file.shell().starts_with("'ssh' '-F' '/h/c' '-o' 'BatchMode=yes' "));
        let shell = remote.shell();
        assert!(shell.starts_with("'ssh' '-o' 'BatchMode=yes' "), "{shell}");
        assert!(shell.contains("'ServerAliveInterval=10'"), "{shell}");
        assert!(shell.contains("'HostName=\"127.0.0.1\"' '-o' 'Port=2222'"), "{shell}");
        assert!(shell.contains("'IdentityFile=\"/home/it''s here/100%%\"'"), "{shell}");
    }

    #[test]
    fn a_place_is_the_node_and_the_path() {
        assert_eq!(remote("db2").place(Path::new("/a b")), "db2:/a b");
        assert_eq!(remote("::1").place(Path::new("/d")), "[::1]:/d");
    }
}
