//! How another node is reached over ssh, by shipping and by rsync alike.

use std::path::PathBuf;
use std::time::Duration;

use crate::identifiers::NodeName;

/// How to reach another node. What is `None` comes from the user's ssh configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The node's name, by which the user's ssh configuration knows it.
    pub node: NodeName,
    /// Address or host name to connect to.
    pub host: Option<String>,
    /// ssh port.
    pub port: Option<u16>,
    /// User to log in as.
    pub user: Option<String>,
    /// Private key file for shipping WAL.
    pub key: Option<PathBuf>,
    /// Private key file for base copies, which need more than a key that is pinned to shipping allows; else `key`.
    pub copy_key: Option<PathBuf>,
    /// File of known host keys.
    pub known_hosts: Option<PathBuf>,
    /// The directory that holds `2warm` on that node.
    pub pgroot: PathBuf,
    /// A network step without progress for this long has failed.
    pub time_limit: Duration,
}

impl Reach {
    /// Reaches a node by the user's ssh configuration alone, with a time limit of 30 s.
    pub fn new(node: NodeName, pgroot: PathBuf) -> Reach {
        Reach {
            node,
            host: None,
            port: None,
            user: None,
            key: None,
            copy_key: None,
            known_hosts: None,
            pgroot,
            time_limit: Duration::from_secs(30),
        }
    }
}
