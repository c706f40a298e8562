use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SshError;
use super::user_config::{LocalUser, UserConfig};
use crate::reach::Reach;
use crate::ship::transport::{ConnectError, Connection, FarCommand, Transport};

/// One far command on one node, with everything that it takes to get there.
#[derive(Debug, Clone)]
pub struct SshTransport {
    pub(super) node: String,
    pub(super) command: FarCommand,
    /// What is executed: the command's path, checked to be inert in any shell.
    pub(super) program: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// The name under which the host key is known, and whether it stands for any port.
    pub(super) known_as: String,
    pub(super) any_port: bool,
    pub(super) known_hosts: Vec<PathBuf>,
    pub(super) keys: Vec<PathBuf>,
    pub(super) agent: AgentUse,
    pub(super) time_limit: Duration,
}

/// Whether to ask an ssh agent for keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AgentUse {
    No,
    /// The one at this socket, else at $SSH_AUTH_SOCK; if told so, only for the keys in `keys`.
    Yes {
        socket: Option<PathBuf>,
        listed_keys_only: bool,
    },
}

impl SshTransport {
    /// Works out how to reach a node: as `reach` says first, then by the user's ssh configuration for the
    /// node's name.
    ///
    /// # Errors
    /// If the ssh configuration can't be read or asks for what this transport can't do, or the command's
    /// path on that node would mean something to a shell.
    pub fn new(reach: &Reach, command: FarCommand) -> Result<SshTransport, SshError> {
        let (node, name) = (&reach.node, reach.node.to_string());
        let program = inert(&command.path(&reach.pgroot))?;
        let local = LocalUser::current()?;
        let config = UserConfig::of(node.host(), node.user(), &local, reach.time_limit)?;
        if let (None, Some(option)) = (&reach.host, config.proxy) {
            return Err(SshError::NotHonoured { host: name, option });
        }
        let host = reach.host.clone().or(config.host_name.clone());
        let host = host.unwrap_or_else(|| node.host().to_owned());
        let user = reach.user.clone().or(config.user.clone());
        let known_hosts = match &reach.known_hosts {
            Some(file) => vec![expanded(&local, file)],
            None => config.known_hosts.iter().map(|file| local.expand(file)).collect(),
        };
        let user = user.unwrap_or_else(|| local.name.clone());
        let (keys, agent) = keys(reach, command, &config, &local, &host, &user);
        Ok(SshTransport {
            known_as: config.host_key_alias.clone().unwrap_or_else(|| host.clone()),
            any_port: config.host_key_alias.is_some(),
            port: reach.port.or(config.port).unwrap_or(22),
            time_limit: reach.time_limit,
            node: name,
            command,
            program,
            host,
            user,
            known_hosts,
            keys,
            agent,
        })
    }
}

impl Transport for SshTransport {
    fn connect(&self) -> Result<Box<dyn Connection>, ConnectError> {
        Ok(Box::new(self.open()?))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn command(&self) -> FarCommand {
        self.command
    }
}

/// The keys to offer: the one that is configured here and no other, else the agent's and the files of
/// the ssh configuration.
fn keys(
    reach: &Reach,
    command: FarCommand,
    config: &UserConfig,
    local: &LocalUser,
    host: &str,
    user: &str,
) -> (Vec<PathBuf>, AgentUse) {
    let configured = match command {
        FarCommand::ReceiveWalFile => reach.key.as_ref(),
        FarCommand::ReceiveBaseCopy => reach.copy_key.as_ref().or(reach.key.as_ref()),
    };
    if let Some(key) = configured {
        return (vec![expanded(local, key)], AgentUse::No);
    }
    let file = |text: &String| {
        let home = local.home.to_string_lossy();
        let text = text.replace("%d", &home).replace("%u", &local.name);
        local.expand(&text.replace("%h", host).replace("%r", user).replace("%%", "%"))
    };
    let agent = match config.identity_agent.as_deref() {
        Some("none") => AgentUse::No,
        None | Some("SSH_AUTH_SOCK") => {
            AgentUse::Yes { socket: None, listed_keys_only: config.identities_only }
        }
        Some(socket) => AgentUse::Yes {
            socket: Some(local.expand(socket)),
            listed_keys_only: config.identities_only,
        },
    };
    (config.identity_files.iter().map(file).collect(), agent)
}

fn expanded(local: &LocalUser, path: &Path) -> PathBuf {
    match path.strip_prefix("~") {
        Ok(below) => local.home.join(below),
        Err(_) => local.home.join(path),
    }
}

/// sshd hands the command to the user's shell, so its path must mean nothing to any shell but itself.
fn inert(path: &Path) -> Result<String, SshError> {
    let inert = |text: &&str| {
        text.starts_with('/')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._+-".contains(&b))
    };
    let text = path.to_str().filter(inert);
    text.map(str::to_owned).ok_or_else(|| SshError::UnsafePath(path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_that_a_shell_could_read_otherwise_is_sent() {
        let path = |root: &str| inert(&FarCommand::ReceiveWalFile.path(Path::new(root)));
        assert_eq!(path("/srv/pg").unwrap(), "/srv/pg/2warm/global/replication/receiveWALFile");
        for bad in ["/srv/p g", "/srv/$HOME", "srv", "~pg", "/a;b", "/a'b", "/a\nb", "/ä", "/a~"] {
            assert!(matches!(path(bad), Err(SshError::UnsafePath(_))), "{bad:?}");
        }
    }
}
