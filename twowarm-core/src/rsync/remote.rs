use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::install::{Install, NodeName};

/// How rsync reaches a node: by the ssh client, with the user's own ssh configuration for what
/// `2warm.toml` does not say.
#[derive(Debug, Clone)]
pub struct Remote {
    name: NodeName,
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    key: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
    pgroot: Option<PathBuf>,
    tablespaces: BTreeMap<PathBuf, PathBuf>,
    /// The user's ssh configuration, where ssh would not look for it.
    configuration: Option<PathBuf>,
    time_limit: Duration,
}

impl Remote {
    /// By the node's section in `2warm.toml`; of its keys the one for copying.
    pub fn of(install: &Install, node: &NodeName) -> Remote {
        let sections = &install.settings.node;
        let own = sections.get(&node.to_string()).or_else(|| sections.get(node.host()));
        let own = own.cloned().unwrap_or_default();
        Remote {
            name: node.clone(),
            host: own.host,
            port: own.port,
            user: own.user.or_else(|| node.user().map(str::to_owned)),
            key: own.copy_key.or(own.key),
            known_hosts: own.known_hosts,
            pgroot: own.pgroot,
            tablespaces: own.tablespaces,
            configuration: own_configuration(),
            time_limit: install.settings.time_limit,
        }
    }

    /// The node's name, for messages.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// The node's PGROOT: as configured, else the same as here.
    pub fn pgroot(&self, install: &Install) -> PathBuf {
        self.pgroot.clone().unwrap_or_else(|| install.pgroot.clone())
    }

    /// Where a tablespace's directory here goes on the node.
    pub fn tablespaces(&self) -> &BTreeMap<PathBuf, PathBuf> {
        &self.tablespaces
    }

    /// A silence of this length ends a transfer. It is longer than that of the network below, which ssh
    /// watches: a disk may take its time over the checksum of a large file.
    pub(super) fn silence(&self) -> Duration {
        self.time_limit * 10
    }

    /// A directory on the node, as rsync's argument.
    pub(super) fn place(&self, path: &Path) -> OsString {
        let host = self.name.host();
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
        let limit = self.time_limit.as_secs().max(1);
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
        if let Some(host) = &self.host {
            option(format!("HostName={}", config_word(host)));
        }
        if let Some(port) = self.port {
            option(format!("Port={port}"));
        }
        if let Some(user) = &self.user {
            option(format!("User={}", config_word(user)));
        }
        if let Some(key) = &self.key {
            option(format!("IdentityFile={}", config_word(&key.display().to_string())));
            option("IdentitiesOnly=yes".into());
        }
        if let Some(file) = &self.known_hosts {
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
        Remote {
            name: name.parse().unwrap(),
            host: None,
            port: None,
            user: None,
            key: None,
            known_hosts: None,
            pgroot: None,
            tablespaces: BTreeMap::new(),
            configuration: None,
            time_limit: Duration::from_secs(30),
        }
    }

    #[test]
    fn what_the_settings_say_reaches_ssh_in_one_piece_each() {
        let remote = Remote {
            host: Some("127.0.0.1".into()),
            port: Some(2222),
            key: Some("/home/it's here/100%".into()),
            ..remote("db2")
        };
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
