use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::retry::Retryable;

/// A node's name in the configuration and the address at which it is contacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The node's name.
    pub node: String,
    /// Host name or IP address.
    pub host: String,
    /// Port of its sshd.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { node, host, port } = self;
        if host.contains(':') {
            write!(f, "{node} ([{host}]:{port})")
        } else {
            write!(f, "{node} ({host}:{port})")
        }
    }
}

/// A line of a file of known host keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHostsLine {
    /// The file.
    pub file: PathBuf,
    /// The line's number, from 1.
    pub line: usize,
}

impl fmt::Display for KnownHostsLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of \"{}\"", self.line, self.file.display())
    }
}

/// Why a far command could not be started over ssh.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshError {
    /// A shell on the other node could give the command's path another meaning.
    #[error(
        "invalid path \"{0}\" for a command on another node: it must be absolute and consist of A-Z a-z 0-9, spaces and / . _ + - , = @ % : ( ) &. HINT: correct pgroot of the node in 2warm/local/2warm.toml"
    )]
    UnsafePath(String),
    /// The password file does not list the user that this process runs as.
    #[error("could not determine the home directory of user id {0}")]
    NoHome(u32),
    /// One of OpenSSH's programs could not be run, or did not end in time.
    #[error("could not run {program}: {error}")]
    Program {
        /// The program.
        program: &'static str,
        /// The system's error.
        error: io::Error,
    },
    /// ssh rejected the user's configuration.
    #[error("could not read the ssh configuration for {host}: {message}")]
    Configuration {
        /// The node's host.
        host: String,
        /// ssh's message.
        message: String,
    },
    /// The user's ssh configuration asks for a way to connect that libssh2 does not have.
    #[error(
        "the ssh configuration for {host} sets {option}, which is not supported. HINT: set carrier = \"openssh\" under [node.{host}] in 2warm/local/2warm.toml, so that the ssh program is used, or set host and port of the node there"
    )]
    UnsupportedOption {
        /// The node.
        host: String,
        /// The option's keyword.
        option: &'static str,
    },
    /// The host name has no address.
    #[error("could not resolve the host name of {address}: {error}")]
    Resolve {
        /// The node.
        address: Box<Address>,
        /// The resolver's error.
        error: io::Error,
    },
    /// No TCP connection.
    #[error("could not connect to {address}: {error}")]
    Connect {
        /// The node.
        address: Box<Address>,
        /// The system's error.
        error: io::Error,
    },
    /// A step took longer than the time limit.
    #[error("{address}: no progress in {} s while {phase}", limit.as_secs())]
    Stalled {
        /// The node.
        address: Box<Address>,
        /// What was being done.
        phase: &'static str,
        /// The time limit.
        limit: Duration,
    },
    /// libssh2 reported another error.
    #[error("{address}: ssh failed while {phase}: {error}")]
    Protocol {
        /// The node.
        address: Box<Address>,
        /// What was being done.
        phase: &'static str,
        /// libssh2's error.
        error: ssh2::Error,
    },
    /// No file of known host keys lists the host.
    #[error(
        "{address}: the host key of {name} is not known ({fingerprint}). HINT: compare it with the node's own (ssh-keygen -lf on its /etc/ssh/ssh_host_*_key.pub); if they are equal, add it to \"{}\": ssh-keyscan -p {} {} >> {}, or log in once with ssh",
        file.display(), address.port, address.host, file.display()
    )]
    HostKeyUnknown {
        /// The node.
        address: Box<Address>,
        /// The name under which its key is looked up.
        name: String,
        /// Kind and SHA256 fingerprint of the key that the host sent.
        fingerprint: String,
        /// The file to add it to.
        file: PathBuf,
    },
    /// The host sent another key than the one that is known.
    #[error(
        "{address}: the host key of {name} has changed: {fingerprint} differs from {known}. HINT: if the change is intended, correct that line; if not, another machine may be answering under this name"
    )]
    HostKeyChanged {
        /// The node.
        address: Box<Address>,
        /// The name under which its key is looked up.
        name: String,
        /// Kind and SHA256 fingerprint of the key that the host sent.
        fingerprint: String,
        /// Where the known key is listed.
        known: KnownHostsLine,
    },
    /// The host sent a key that is marked as revoked.
    #[error("{address}: the host key of {name} ({fingerprint}) is marked @revoked in {known}")]
    HostKeyRevoked {
        /// The node.
        address: Box<Address>,
        /// The name under which its key is looked up.
        name: String,
        /// Kind and SHA256 fingerprint of the key that the host sent.
        fingerprint: String,
        /// Where the key is listed.
        known: KnownHostsLine,
    },
    /// A file of known host keys can't be read.
    #[error("could not read \"{}\": {error}", file.display())]
    KnownHosts {
        /// The file.
        file: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The host accepted none of the keys.
    #[error(
        "{address} refused the login of user {user} (tried {tried}). HINT: add this user's public key to {user}'s authorized_keys there{}",
        unusable.as_ref().map(|keys| format!("; not tried: {keys}")).unwrap_or_default()
    )]
    Login {
        /// The node.
        address: Box<Address>,
        /// The user there.
        user: String,
        /// The keys that were offered.
        tried: String,
        /// The key files that could not be offered, and why.
        unusable: Option<String>,
    },
    /// No key could be offered.
    #[error("{address}: could not log in as user {user}: {problems}")]
    NoUsableKey {
        /// The node.
        address: Box<Address>,
        /// The user there.
        user: String,
        /// The key files, and why they could not be offered.
        problems: String,
    },
}

impl Retryable for SshError {
    /// True for failures of the network or of the other node's sshd.
    fn is_retryable(&self) -> bool {
        match self {
            SshError::Resolve { .. }
            | SshError::Connect { .. }
            | SshError::Stalled { .. }
            | SshError::Protocol { .. } => true,
            SshError::Program { error, .. } => error.kind() == io::ErrorKind::TimedOut,
            SshError::UnsafePath(_)
            | SshError::NoHome(_)
            | SshError::Configuration { .. }
            | SshError::UnsupportedOption { .. }
            | SshError::HostKeyUnknown { .. }
            | SshError::HostKeyChanged { .. }
            | SshError::HostKeyRevoked { .. }
            | SshError::KnownHosts { .. }
            | SshError::Login { .. }
            | SshError::NoUsableKey { .. } => false,
        }
    }
}
