use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::Uid;
use ssh2::ErrorCode;

use super::{Address, SshError, SshTransport};
use crate::reach::{LocalUser, Reach, SshConfig, SshConfigError, SshOptions};
use crate::ship::transport::FarCommand;

/// Where and how an ssh session connects: the reach's values, else those of the user's ssh configuration.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub address: Box<Address>,
    pub user: String,
    pub command: FarCommand,
    pub program: String,
    /// The name under which the host key is listed, and whether it is valid for every port.
    pub known_as: String,
    pub any_port: bool,
    pub known_hosts: Vec<PathBuf>,
    pub keys: Vec<PathBuf>,
    pub agent: AgentUse,
    pub time_limit: Duration,
}

/// Whether to ask an ssh agent for keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AgentUse {
    No,
    /// The one at this socket, else at `$SSH_AUTH_SOCK`; with `listed_keys_only` only for the target's keys.
    Yes {
        socket: Option<PathBuf>,
        listed_keys_only: bool,
    },
}

impl Target {
    /// Reads the user's ssh configuration for the node's name.
    pub(super) fn resolve(transport: &SshTransport) -> Result<Target, SshError> {
        let SshTransport { reach, command, program, .. } = transport;
        let local = LocalUser::current();
        let local = local.ok_or_else(|| SshError::NoHome(Uid::effective().as_raw()))?;
        let options = SshOptions::of(reach, command.key(reach), Some(&local));
        let config = SshConfig::of(reach, &options).map_err(|error| failed(reach, error))?;
        if let (None, Some(option)) = (&options.host, config.proxy) {
            return Err(SshError::UnsupportedOption { host: reach.node.to_string(), option });
        }
        let host = options.host.clone().or_else(|| config.host_name.clone());
        let host = host.unwrap_or_else(|| reach.node.host().to_owned());
        let user = options.user.clone().or_else(|| config.user.clone());
        let user = user.unwrap_or_else(|| local.name.clone());
        let known_hosts = match &options.known_hosts {
            Some(file) => vec![file.clone()],
            None => config.known_hosts.iter().map(|file| local.expand_printed(file)).collect(),
        };
        let (keys, agent) = match options.key {
            Some(key) => (vec![key], AgentUse::No),
            None => configured_keys(&config, &local, &host, &user),
        };
        Ok(Target {
            known_as: config.host_key_alias.clone().unwrap_or_else(|| host.clone()),
            any_port: config.host_key_alias.is_some(),
            time_limit: reach.time_limit,
            command: *command,
            program: program.clone(),
            address: Box::new(Address {
                node: reach.node.to_string(),
                host,
                port: options.port.or(config.port).unwrap_or(22),
            }),
            user,
            known_hosts,
            keys,
            agent,
        })
    }

    /// libssh2's error with the node and the step that failed.
    pub(super) fn failed(&self, phase: &'static str, error: ssh2::Error) -> SshError {
        let address = self.address.clone();
        if timed_out(&error) {
            SshError::Stalled { address, phase, limit: self.time_limit }
        } else {
            SshError::Protocol { address, phase, error }
        }
    }
}

/// Whether libssh2 reached its time limit.
pub(super) fn timed_out(error: &ssh2::Error) -> bool {
    const TIMEOUT: i32 = -9;
    const SOCKET_TIMEOUT: i32 = -30;
    matches!(error.code(), ErrorCode::Session(TIMEOUT | SOCKET_TIMEOUT))
}

fn failed(reach: &Reach, error: SshConfigError) -> SshError {
    match error {
        SshConfigError::Run(error) => SshError::Program { program: "ssh -G", error },
        SshConfigError::Rejected(message) => {
            SshError::Configuration { host: reach.node.host().to_owned(), message }
        }
    }
}

/// The agent and the key files of the ssh configuration.
fn configured_keys(
    config: &SshConfig,
    local: &LocalUser,
    host: &str,
    user: &str,
) -> (Vec<PathBuf>, AgentUse) {
    let file = |text: &String| {
        let home = local.home.to_string_lossy();
        let text = text.replace("%d", &home).replace("%u", &local.name);
        local.expand_printed(&text.replace("%h", host).replace("%r", user).replace("%%", "%"))
    };
    let listed_keys_only = config.identities_only;
    let agent = match config.identity_agent.as_deref() {
        Some("none") => AgentUse::No,
        None | Some("SSH_AUTH_SOCK") => AgentUse::Yes { socket: None, listed_keys_only },
        Some(socket) => {
            AgentUse::Yes { socket: Some(local.expand_printed(socket)), listed_keys_only }
        }
    };
    (config.identity_files.iter().map(file).collect(), agent)
}
