use std::io;
use std::process::{Command, Stdio};

use super::{Reach, SshOptions};
use crate::limits::output_within;

/// The user's ssh configuration could not be read.
#[derive(Debug)]
pub(crate) enum SshConfigError {
    /// `ssh -G` could not be run, or did not end in time.
    Run(io::Error),
    /// ssh rejected the configuration: its message.
    Rejected(String),
}

/// The options of the user's ssh configuration for a host that an ssh2 session needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SshConfig {
    pub host_name: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub identity_files: Vec<String>,
    pub identities_only: bool,
    pub identity_agent: Option<String>,
    /// The user's files first: a new host key is to be added to the first.
    pub known_hosts: Vec<String>,
    pub host_key_alias: Option<String>,
    /// An option that connects by way of another program or host, which ssh2 can't.
    pub proxy: Option<&'static str>,
}

impl SshConfig {
    /// Asks `ssh -G`, which evaluates Include and Match; without an ssh client, ssh's defaults. It is
    /// given the reach's time limit, since a `Match exec` runs any command.
    pub(crate) fn of(reach: &Reach, options: &SshOptions) -> Result<SshConfig, SshConfigError> {
        let mut ssh = Command::new("ssh");
        ssh.arg("-G").stdin(Stdio::null());
        if let Some(file) = &options.config_file {
            ssh.arg("-F").arg(file);
        }
        if let Some(user) = reach.node.user() {
            ssh.args(["-l", user]);
        }
        let output = match output_within(ssh.args(["--", reach.node.host()]), reach.time_limit) {
            Ok(output) => output,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(SshConfig::defaults()),
            Err(e) => return Err(SshConfigError::Run(e)),
        };
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let message = last_line(&stderr);
            let message = message.unwrap_or_else(|| format!("ssh -G failed: {}", output.status));
            return Err(SshConfigError::Rejected(message));
        }
        Ok(SshConfig::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    fn defaults() -> SshConfig {
        let keys = ["id_rsa", "id_ecdsa", "id_ed25519"];
        SshConfig {
            identity_files: keys.map(|key| format!("~/.ssh/{key}")).to_vec(),
            known_hosts: vec!["~/.ssh/known_hosts".into(), "/etc/ssh/ssh_known_hosts".into()],
            ..SshConfig::default()
        }
    }

    /// Reads what `ssh -G` prints: a keyword in lower case and its value on each line.
    fn parse(text: &str) -> SshConfig {
        let mut config = SshConfig::default();
        let set = |value: &str| Some(value.to_owned()).filter(|v| v != "none");
        for (keyword, value) in text.lines().filter_map(|line| line.trim().split_once(' ')) {
            let files = || value.split_whitespace().filter(|f| *f != "none").map(str::to_owned);
            match keyword {
                "hostname" => config.host_name = set(value),
                "port" => config.port = value.parse().ok(),
                "user" => config.user = set(value),
                // A value with spaces is one file.
                "identityfile" => config.identity_files.extend(set(value)),
                "identitiesonly" => config.identities_only = value == "yes",
                "identityagent" => config.identity_agent = Some(value.to_owned()),
                "userknownhostsfile" => {
                    config.known_hosts = [files().collect(), config.known_hosts].concat()
                }
                "globalknownhostsfile" => config.known_hosts.extend(files()),
                "hostkeyalias" => config.host_key_alias = set(value),
                "proxycommand" if value != "none" => config.proxy = Some("ProxyCommand"),
                "proxyjump" if value != "none" => config.proxy = Some("ProxyJump"),
                _ => {}
            }
        }
        config
    }
}

/// The last line of a program's messages that is not empty, fit for a log.
pub(crate) fn last_line(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    let plain = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    Some(plain.take(500).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_ssh_g_is_parsed() {
        let config = SshConfig::parse(
            "host db2\nuser pg\nhostname 10.0.0.2\nport 2222\nidentitiesonly yes\n\
             identityfile ~/.ssh/a\nidentityfile /k/b c\nglobalknownhostsfile /etc/k none\n\
             userknownhostsfile /h/k /h/k2\nproxyusefdpass no\nproxyjump bastion\nhostkeyalias db\n",
        );
        assert_eq!(
            config,
            SshConfig {
                host_name: Some("10.0.0.2".into()),
                port: Some(2222),
                user: Some("pg".into()),
                identity_files: vec!["~/.ssh/a".into(), "/k/b c".into()],
                identities_only: true,
                identity_agent: None,
                known_hosts: vec!["/h/k".into(), "/h/k2".into(), "/etc/k".into()],
                host_key_alias: Some("db".into()),
                proxy: Some("ProxyJump"),
            }
        );
    }
}
