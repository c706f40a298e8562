use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A node, by the name it has in the configuration and the address where it is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name.
    pub node: String,
    /// A host name or an address.
    pub host: String,
    /// The port of its sshd.
    pub port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { node, host, port } = self;
        if host.contains(':') {
            write!(f, "{node} ([{host}]:{port})")
        } else {
            write!(f, "{node} ({host}:{port})")
        }
    }
}

/// Why a far command could not be started over ssh.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SshError {
    #[error(
        "the path \"{0}\" can't be used on another node: it must be absolute and of A-Z a-z 0-9 / . _ + - only. Set pgroot of the node in 2warm/local/2warm.toml"
    )]
    UnsafePath(String),
    #[error("the home directory of user id {0} is not known")]
    NoHome(u32),
    #[error("could not run {program}: {source}")]
    Program { program: &'static str, source: io::Error },
    #[error("{host}: the ssh configuration can't be used: {message}")]
    Configuration { host: String, message: String },
    #[error(
        "{host}: {option} in the ssh configuration cannot be honoured. Set host and port of the node in 2warm/local/2warm.toml"
    )]
    NotHonoured { host: String, option: &'static str },
    #[error("{place}: the host name does not resolve to an address: {source}")]
    Resolve { place: Box<Place>, source: io::Error },
    #[error("could not connect to {place}: {source}")]
    Connect { place: Box<Place>, source: io::Error },
    #[error("{place}: no progress in {} s while {phase}", limit.as_secs())]
    Stalled { place: Box<Place>, phase: &'static str, limit: Duration },
    #[error("{place}: ssh failed while {phase}: {source}")]
    Protocol { place: Box<Place>, phase: &'static str, source: ssh2::Error },
    #[error(
        "{place}: the host key of {name} is not known ({fingerprint}). If it is the node's (ssh-keygen -lf on its /etc/ssh/ssh_host_*_key.pub tells), add it to {}: ssh-keyscan -p {} {} >> {}, or log in once by ssh",
        file.display(), place.port, place.host, file.display()
    )]
    HostKeyUnknown { place: Box<Place>, name: String, fingerprint: String, file: PathBuf },
    #[error(
        "{place}: the host key of {name} has changed: it is {fingerprint}, but {} line {line} has another. If the change is meant, correct that line; if not, another machine answers in its place",
        file.display()
    )]
    HostKeyChanged {
        place: Box<Place>,
        name: String,
        fingerprint: String,
        file: PathBuf,
        line: usize,
    },
    #[error("{place}: the host key of {name} ({fingerprint}) is marked @revoked in {} line {line}", file.display())]
    HostKeyRevoked {
        place: Box<Place>,
        name: String,
        fingerprint: String,
        file: PathBuf,
        line: usize,
    },
    #[error("could not read {}: {source}", file.display())]
    KnownHosts { file: PathBuf, source: io::Error },
    #[error(
        "{place} refused the login of user {user} (tried {tried}). Add this user's public key to {user}'s authorized_keys there{}",
        unusable.as_ref().map(|keys| format!("; not tried: {keys}")).unwrap_or_default()
    )]
    Login { place: Box<Place>, user: String, tried: String, unusable: Option<String> },
    #[error("{place}: no login as user {user} was tried: {problems}")]
    NoUsableKey { place: Box<Place>, user: String, problems: String },
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
            | SshError::Login { .. }
            | SshError::NoUsableKey { .. } => false,
        }
    }
}
