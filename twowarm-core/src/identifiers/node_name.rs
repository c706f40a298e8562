use std::fmt;
use std::str::FromStr;

/// What `othernode` and `drnode` hold: a host name or address, with `user@` before it if need be.
///
/// It reaches ssh and rsync as an argument, so nothing that they could take for an option or a second
/// word is allowed in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName {
    user: Option<String>,
    host: String,
}

impl NodeName {
    /// The user to log in as, where the name says one.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Host name, address, or an alias from the ssh configuration.
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// The text is no host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no host name (HOST or USER@HOST on one line)")]
pub struct NotANodeName(pub String);

impl FromStr for NodeName {
    type Err = NotANodeName;

    fn from_str(text: &str) -> Result<NodeName, NotANodeName> {
        let plain = |word: &str| {
            !word.is_empty()
                && !word.starts_with('-')
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b))
        };
        let (user, host) = match text.split_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, text),
        };
        if plain(host) && user.is_none_or(plain) {
            Ok(NodeName { user: user.map(str::to_owned), host: host.to_owned() })
        } else {
            Err(NotANodeName(text.to_owned()))
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.host)
    }
}
