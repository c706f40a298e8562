use std::path::PathBuf;
use std::time::Duration;

use super::{LocalUser, Reach};

/// What takes precedence over the user's ssh configuration when a node is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SshOptions {
    /// The user's ssh configuration file, where ssh does not look for it by itself.
    pub config_file: Option<PathBuf>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    /// The only private key to offer; absolute.
    pub key: Option<PathBuf>,
    /// Whether the key is not the one for shipping WAL. A connection that is shared (ControlMaster) may have been
    /// made with that one, which can be restricted to another command.
    pub has_other_key: bool,
    /// Absolute.
    pub known_hosts: Option<PathBuf>,
}

impl SshOptions {
    /// With a private key of the reach, if there is one for the purpose.
    pub(crate) fn of(
        reach: &Reach,
        key: Option<&PathBuf>,
        local: Option<&LocalUser>,
    ) -> SshOptions {
        let absolute = |path: &PathBuf| match local {
            Some(local) => local.expand(path),
            None => path.clone(),
        };
        SshOptions {
            config_file: local.and_then(LocalUser::ssh_config_file),
            host: reach.host.clone(),
            port: reach.port,
            user: reach.user.clone().or_else(|| reach.node.user().map(str::to_owned)),
            key: key.map(absolute),
            has_other_key: key.is_some_and(|key| Some(key) != reach.key.as_ref()),
            known_hosts: reach.known_hosts.as_ref().map(absolute),
        }
    }

    /// Arguments for an ssh client that never prompts, checks the host key and gives up when the network
    /// hangs for the time limit.
    pub(crate) fn unattended(&self, limit: Duration) -> Vec<String> {
        let limit = limit.as_secs().max(1);
        let options = [
            "BatchMode=yes".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            format!("ConnectTimeout={limit}"),
            format!("ServerAliveInterval={}", limit.div_ceil(3)),
            "ServerAliveCountMax=3".to_owned(),
        ];
        let words = options.into_iter().flat_map(|option| ["-o".to_owned(), option]);
        words.chain(self.arguments()).collect()
    }

    /// Arguments of the ssh client that say the same.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(file) = &self.config_file {
            words.extend(["-F".to_owned(), file.display().to_string()]);
        }
        let mut option = |keyword: &str, value: String| {
            words.extend(["-o".to_owned(), format!("{keyword}={value}")]);
        };
        if let Some(host) = &self.host {
            option("HostName", config_word(host));
        }
        if let Some(port) = self.port {
            option("Port", port.to_string());
        }
        if let Some(user) = &self.user {
            option("User", config_word(user));
        }
        if let Some(key) = &self.key {
            option("IdentityFile", config_word(&key.display().to_string()));
            option("IdentitiesOnly", "yes".to_owned());
        }
        if self.has_other_key {
            option("ControlPath", "none".to_owned());
        }
        if let Some(file) = &self.known_hosts {
            option("UserKnownHostsFile", config_word(&file.display().to_string()));
        }
        words
    }
}

/// A value as one word of the ssh configuration, in which `%` has no special meaning.
fn config_word(value: &str) -> String {
    format!("\"{}\"", value.replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_reach_take_precedence() {
        let mut reach = Reach::new("pg@db2".parse().unwrap(), "/pg".into());
        let options = SshOptions::of(&reach, reach.key_for_copies(), None);
        assert_eq!(options.arguments(), ["-o", "User=\"pg\""]);

        reach.user = Some("postgres".into());
        reach.host = Some("127.0.0.1".into());
        reach.port = Some(2222);
        reach.key = Some(".ssh/100%".into());
        reach.known_hosts = Some("~/hosts".into());
        let local = LocalUser { name: "pg".into(), home: "/h".into(), listed_home: "/h".into() };
        let options = SshOptions::of(&reach, reach.key_for_copies(), Some(&local));
        assert_eq!(
            options.arguments().join(" "),
            "-o HostName=\"127.0.0.1\" -o Port=2222 -o User=\"postgres\" -o IdentityFile=\"/h/.ssh/100%%\" -o IdentitiesOnly=yes -o UserKnownHostsFile=\"/h/hosts\""
        );
        reach.copy_key = Some("copy".into());
        let options = SshOptions::of(&reach, reach.key_for_copies(), Some(&local));
        assert!(options.arguments().contains(&"ControlPath=none".to_owned()));
        reach.copy_key = Some("/k/copy".into());
        let options = SshOptions::of(&reach, reach.key_for_copies(), Some(&local));
        assert_eq!(options.key.unwrap(), PathBuf::from("/k/copy"));
    }
}
