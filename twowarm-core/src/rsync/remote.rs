use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::identifiers::NodeName;
use crate::reach::Reach;

/// How rsync reaches a node: by the ssh client. What the [`Reach`] does not set comes from the user's ssh
/// configuration.
#[derive(Debug, Clone)]
pub struct Remote {
    reach: Reach,
    /// The user's ssh configuration file, if it is not where ssh looks for it.
    configuration: Option<PathBuf>,
}

impl Remote {
    /// Uses the node's key for base copies, if it has one.
    #[must_use]
    pub fn new(reach: Reach) -> Remote {
        Remote { reach, configuration: own_configuration() }
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

/// The same file that shipping over ssh uses.
#[cfg(feature = "ship")]
fn own_configuration() -> Option<PathBuf> {
    crate::ship::ssh::own_configuration()
}

#[cfg(not(feature = "ship"))]
fn own_configuration() -> Option<PathBuf> {
    None
}

/// A value of an ssh option: one word, with `%` escaped.
fn config_word(value: &str) -> String {
    format!("\"{}\"", value.replace('%', "%%"))
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
        Remote { reach, configuration: None }
    }

    #[test]
    fn each_setting_is_one_option_of_ssh() {
        let mut remote = remote("db2");
        remote.reach.host = Some("127.0.0.1".into());
        remote.reach.port = Some(2222);
        remote.reach.key = Some("/home/it's here/100%".into());
        let with_file = Remote { configuration: Some("/h/c".into()), ..remote.clone() };
        assert!(with_file.ssh_command().starts_with("'ssh' '-F' '/h/c' '-o' 'BatchMode=yes' "));
        let command = remote.ssh_command();
        assert!(command.starts_with("'ssh' '-o' 'BatchMode=yes' "), "{command}");
        assert!(command.contains("'ServerAliveInterval=10'"), "{command}");
        assert!(command.contains("'HostName=\"127.0.0.1\"' '-o' 'Port=2222'"), "{command}");
        assert!(command.contains("'IdentityFile=\"/home/it''s here/100%%\"'"), "{command}");
    }

    #[test]
    fn an_argument_is_the_host_and_the_path() {
        assert_eq!(remote("db2").argument(Path::new("/a b")), "db2:/a b");
        assert_eq!(remote("::1").argument(Path::new("/d")), "[::1]:/d");
    }
}
