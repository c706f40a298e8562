use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a far command could not be started over ssh.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SshError {
    #[error(
        "the path \"{0}\" can't be used on another node: it must be absolute and of A-Z a-z 0-9 / . _ + - only (set pgroot of the node in 2warm/local/2warm.toml)"
    )]
    UnsafePath(String),
    #[error("the home directory of user id {0} is not known")]
    NoHome(u32),
    #[error("could not run {program}: {source}")]
    Program { program: &'static str, source: io::Error },
    #[error("{host}: the ssh configuration can't be used: {message}")]
    Configuration { host: String, message: String },
    #[error(
        "{host}: {option} in the ssh configuration cannot be honoured; set host and port of the node in 2warm/local/2warm.toml"
    )]
    NotHonoured { host: String, option: &'static str },
    #[error("{host} does not resolve to an address: {source}")]
    Resolve { host: String, source: io::Error },
    #[error("could not connect to {host} port {port}: {source}")]
    Connect { host: String, port: u16, source: io::Error },
    #[error("{host} port {port}: no progress in {} s while {phase}", limit.as_secs())]
    Stalled { host: String, port: u16, phase: &'static str, limit: Duration },
    #[error("{host} port {port}: ssh failed while {phase}: {source}")]
    Protocol { host: String, port: u16, phase: &'static str, source: ssh2::Error },
    #[error(
        "the host key of {name} is not known ({fingerprint}): if it is the right one, add it to {} (ssh-keyscan)",
        file.display()
    )]
    HostKeyUnknown { name: String, fingerprint: String, file: PathBuf },
    #[error(
        "the host key of {name} has changed: it is {fingerprint}, but {} line {line} has another; if the change is meant, correct it there, else somebody is in between",
        file.display()
    )]
    HostKeyChanged { name: String, fingerprint: String, file: PathBuf, line: usize },
    #[error("the host key of {name} ({fingerprint}) is marked @revoked in {} line {line}", file.display())]
    HostKeyRevoked { name: String, fingerprint: String, file: PathBuf, line: usize },
    #[error("could not read {}: {source}", file.display())]
    KnownHosts { file: PathBuf, source: io::Error },
    #[error(
        "{host} refused the login of user {user} (tried {tried}): add this user's public key to {user}'s authorized_keys there"
    )]
    Login { host: String, user: String, tried: String },
}

impl SshError {
    /// Whether the same again may go well: what a network or a restarted sshd mends.
    pub fn is_retryable(&self) -> bool {
        match self {
            SshError::Resolve { .. }
            | SshError::Connect { .. }
            | SshError::Stalled { .. }
            | SshError::Protocol { .. } => true,
            SshError::Program { source, .. } => source.kind() == io::ErrorKind::TimedOut,
            SshError::UnsafePath(_)
            | SshError::NoHome(_)
            | SshError::Configuration { .. }
            | SshError::NotHonoured { .. }
            | SshError::HostKeyUnknown { .. }
            | SshError::HostKeyChanged { .. }
            | SshError::HostKeyRevoked { .. }
            | SshError::KnownHosts { .. }
            | SshError::Login { .. } => false,
        }
    }
}
