use std::fmt;
use std::str::FromStr;

/// A node's name as in the files `othernode` and `drnode`: a host name or address, optionally with `user@`
/// before it.
///
/// It is an argument of ssh and rsync, so it can't contain anything that they would take for an option or
/// another word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName {
    user: Option<String>,
    host: String,
}

impl NodeName {
    /// The user to log in as, if the name contains one.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Host name, address, or an alias of the ssh configuration.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// The text is not a node's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid host name \"{0}\": expected HOST or USER@HOST on one line")]
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
