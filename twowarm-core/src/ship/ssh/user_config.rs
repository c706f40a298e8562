use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::unistd::{Uid, User};

use super::SshError;
use crate::limits::output_within;

/// The user that this process runs as.
pub(super) struct LocalUser {
    /// The login name.
    pub name: String,
    /// $HOME, else the home directory that the password file has.
    pub home: PathBuf,
    /// The home directory that the password file has; ssh reads its files there.
    pub listed_home: PathBuf,
}

impl LocalUser {
    pub fn current() -> Result<LocalUser, SshError> {
        let id = Uid::effective();
        let user = User::from_uid(id).ok().flatten().ok_or(SshError::NoHome(id.as_raw()))?;
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|h| h.is_absolute());
        Ok(LocalUser {
            name: user.name,
            home: home.unwrap_or_else(|| user.dir.clone()),
            listed_home: user.dir,
        })
    }

    /// `~/.ssh/config` of a $HOME where ssh does not look for it by itself.
    pub fn configuration(&self) -> Option<PathBuf> {
        let own = self.home.join(".ssh/config");
        (self.home != self.listed_home && own.is_file()).then_some(own)
    }

    /// A path with `~` for the home directory. ssh itself expands some to the listed home; where $HOME
    /// is another directory, that is the one meant.
    pub fn expand(&self, path: &str) -> PathBuf {
        if let Some(below) = path.strip_prefix("~/") {
            return self.home.join(below);
        }
        match Path::new(path).strip_prefix(&self.listed_home) {
            Ok(below) => self.home.join(below),
            Err(_) => self.home.join(path),
        }
    }
}

/// What the user's ssh configuration says about a host, as far as it concerns us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct UserConfig {
    pub host_name: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub identity_files: Vec<String>,
    pub identities_only: bool,
    pub identity_agent: Option<String>,
    /// The user's files first: a host that is not known is to be added to the first.
    pub known_hosts: Vec<String>,
    pub host_key_alias: Option<String>,
    /// An option that puts something between us and the host.
    pub proxy: Option<&'static str>,
}

impl UserConfig {
    /// Asks `ssh -G`, which knows Include and Match; where there is no ssh, ssh's defaults. It may take
    /// as long as `limit`: a `Match exec` runs whatever the user has written there.
    pub fn of(
        host: &str,
        user: Option<&str>,
        local: &LocalUser,
        limit: Duration,
    ) -> Result<UserConfig, SshError> {
        let mut ssh = Command::new("ssh");
        ssh.arg("-G").stdin(Stdio::null());
        if let Some(own) = local.configuration() {
            ssh.arg("-F").arg(own);
        }
        if let Some(user) = user {
            ssh.args(["-l", user]);
        }
        let output = match output_within(ssh.args(["--", host]), limit) {
            Ok(output) => output,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(UserConfig::defaults()),
            Err(source) => return Err(SshError::Program { program: "ssh -G", source }),
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let message = crate::ship::transport::last_line(&said)
                .unwrap_or_else(|| format!("ssh -G ended with {}", output.status));
            return Err(SshError::Configuration { host: host.to_owned(), message });
        }
        Ok(UserConfig::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    fn defaults() -> UserConfig {
        let keys = ["id_rsa", "id_ecdsa", "id_ed25519"];
        UserConfig {
            identity_files: keys.map(|key| format!("~/.ssh/{key}")).to_vec(),
            known_hosts: vec!["~/.ssh/known_hosts".into(), "/etc/ssh/ssh_known_hosts".into()],
            ..UserConfig::default()
        }
    }

    /// Reads what `ssh -G` prints: a keyword in lower case and its value on each line.
    fn parse(text: &str) -> UserConfig {
        let mut config = UserConfig::default();
        let set = |value: &str| Some(value.to_owned()).filter(|v| v != "none");
        for (keyword, value) in text.lines().filter_map(|line| line.trim().split_once(' ')) {
            let files = || value.split_whitespace().filter(|f| *f != "none").map(str::to_owned);
            match keyword {
                "hostname" => config.host_name = set(value),
                "port" => config.port = value.parse().ok(),
                "user" => config.user = set(value),
                // A value with blanks is one file here.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_prints_is_read() {
        let config = UserConfig::parse(
            "host db2\nuser pg\nhostname 10.0.0.2\nport 2222\nidentitiesonly yes\n\
             identityfile ~/.ssh/a\nidentityfile /k/b c\nglobalknownhostsfile /etc/k none\n\
             userknownhostsfile /h/k /h/k2\nproxyusefdpass no\nproxyjump bastion\nhostkeyalias db\n",
        );
        assert_eq!(
            config,
            UserConfig {
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

    #[test]
    fn home_is_where_the_environment_says() {
        let local = LocalUser {
            name: "pg".into(),
            home: "/nodes/db1".into(),
            listed_home: "/var/lib/pg".into(),
        };
        assert_eq!(local.expand("~/.ssh/k"), Path::new("/nodes/db1/.ssh/k"));
        assert_eq!(local.expand("/var/lib/pg/.ssh/kh"), Path::new("/nodes/db1/.ssh/kh"));
        assert_eq!(local.expand("/etc/k"), Path::new("/etc/k"));
    }
}
