use crate::retry::Retryable;

/// Why the ssh program did not run a command on another node, from its messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SshFailure {
    /// No file of known host keys lists the host.
    #[error(
        "{node}: the host key of {name} is not known. HINT: log in once with ssh and compare the key with the node's own (ssh-keygen -lf on its /etc/ssh/ssh_host_*_key.pub), or add it with ssh-keyscan"
    )]
    HostKeyUnknown {
        /// The node.
        node: String,
        /// The name under which its key is looked up.
        name: String,
    },
    /// The host sent another key than the one that is known.
    #[error(
        "{node}: the host key of {name} has changed{details}. HINT: if the change is intended, correct that line; if not, another machine may be answering under this name"
    )]
    HostKeyChanged {
        /// The node.
        node: String,
        /// The name under which its key is looked up.
        name: String,
        /// The fingerprint of the key that the host sent, and where the known key is listed, as far as ssh has
        /// printed them.
        details: String,
    },
    /// The host sent a key that is marked as revoked.
    #[error("{node}: the host key of {node} is marked @revoked ({message})")]
    HostKeyRevoked {
        /// The node.
        node: String,
        /// ssh's message.
        message: String,
    },
    /// The host accepted none of the keys.
    #[error(
        "{node} refused the login ({message}). HINT: add this user's public key to authorized_keys there"
    )]
    Login {
        /// The node.
        node: String,
        /// ssh's message.
        message: String,
    },
    /// The private key is ignored because other users can read it.
    #[error("{node}: ssh ignored the private key ({message} HINT: chmod 600 the key)")]
    KeyPermissions {
        /// The node.
        node: String,
        /// ssh's message.
        message: String,
    },
    /// ssh rejected the user's configuration.
    #[error("could not read the ssh configuration for {node}: {message}")]
    Configuration {
        /// The node.
        node: String,
        /// ssh's message.
        message: String,
    },
    /// The node could not be reached, or the connection broke.
    #[error("could not connect to {node}: {message}")]
    Connect {
        /// The node.
        node: String,
        /// ssh's message.
        message: String,
    },
}

impl SshFailure {
    /// The failure that ssh's messages describe; `None` if they describe none that is known.
    pub(crate) fn of(node: &str, messages: &[String]) -> Option<SshFailure> {
        let node = node.to_owned();
        let find = |text: &str| messages.iter().map(|line| line.trim()).find(|l| l.contains(text));
        let after = |text: &str| find(text)?.split_once(text).map(|(_, rest)| rest.trim());
        let word_after = |text: &str| after(text)?.split(' ').next().map(str::to_owned);
        if let Some(name) = word_after("host key is known for ") {
            return Some(SshFailure::HostKeyUnknown { node, name });
        }
        if let Some(message) = find("is marked as revoked") {
            return Some(SshFailure::HostKeyRevoked { node, message: message.to_owned() });
        }
        if find("REMOTE HOST IDENTIFICATION HAS CHANGED").is_some() {
            let name = word_after("Host key for ").unwrap_or_else(|| node.clone());
            let mut details = String::new();
            let lines = messages.iter().map(|line| line.trim().trim_end_matches('.'));
            if let Some(fingerprint) = lines.clone().find(|line| line.starts_with("SHA256:")) {
                details += &format!(": {fingerprint}");
            }
            let offending = find("Offending ").and_then(|line| line.rsplit_once(" key in "));
            if let Some((file, line)) = offending.and_then(|(_, place)| place.rsplit_once(':')) {
                details += &format!(" differs from line {line} of \"{file}\"");
            }
            return Some(SshFailure::HostKeyChanged { node, name, details });
        }
        let is_key = |line: &&String| line.contains("Permissions") && line.contains("too open");
        if let Some(message) = messages.iter().find(is_key) {
            return Some(SshFailure::KeyPermissions { node, message: message.trim().to_owned() });
        }
        let message = |texts: &[&str]| texts.iter().find_map(|text| find(text)).map(str::to_owned);
        if let Some(message) = message(&["Permission denied (", "Too many authentication failures"])
        {
            return Some(SshFailure::Login { node, message });
        }
        if let Some(message) = message(&[
            "Bad configuration option",
            "bad configuration options",
            "Bad owner or permissions",
        ]) {
            return Some(SshFailure::Configuration { node, message });
        }
        // "Connection closed" is what follows if a host on the way could not be reached.
        let unreachable = [
            "ssh: Could not resolve hostname",
            "ssh: connect to host",
            "kex_exchange_identification",
            "banner exchange",
            "not responding",
            "Connection timed out",
            "Connection reset",
            "Connection closed by",
        ];
        let message = message(&unreachable)?;
        let message = message.strip_prefix("ssh: ").unwrap_or(&message).to_owned();
        Some(SshFailure::Connect { node, message })
    }
}

impl Retryable for SshFailure {
    /// True for failures of the network or of the other node's sshd.
    fn is_retryable(&self) -> bool {
        matches!(self, SshFailure::Connect { .. })
    }
}
