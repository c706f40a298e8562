//! How another node is reached over ssh: what this node's configuration says, and the user's ssh
//! configuration for the rest. Shipping (ssh2) and rsync (the ssh client) both take it from here.

mod carrier;
mod local_user;
mod options;
#[cfg(feature = "ship")]
mod ssh_config;
mod ssh_failure;

use std::path::PathBuf;
use std::time::Duration;

use crate::identifiers::NodeName;

pub use carrier::Carrier;
pub(crate) use local_user::LocalUser;
pub(crate) use options::SshOptions;
#[cfg(feature = "ship")]
pub(crate) use ssh_config::{SshConfig, SshConfigError, last_line};
pub use ssh_failure::SshFailure;

/// How to reach another node. What is `None` comes from the user's ssh configuration.
///
/// ```
/// use std::time::Duration;
/// use twowarm_core::reach::Reach;
///
/// let standby = Reach {
///     port: Some(2222),
///     time_limit: Duration::from_secs(10),
///     ..Reach::new("postgres@db2".parse()?, "/srv/postgres".into())
/// };
/// assert_eq!(standby.node.host(), "db2");
/// # Ok::<(), twowarm_core::identifiers::NotANodeName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The node's name, by which the user's ssh configuration knows it.
    pub node: NodeName,
    /// Address or host name to connect to.
    pub host: Option<String>,
    /// ssh port.
    pub port: Option<u16>,
    /// User to log in as. It takes precedence over the user in `node`.
    pub user: Option<String>,
    /// Private key file for shipping WAL. A relative path starts at the home directory.
    pub key: Option<PathBuf>,
    /// Private key file for base copies, which need more than a key that is pinned to shipping allows;
    /// default: `key`.
    pub copy_key: Option<PathBuf>,
    /// Private key file for fetching WAL; default: `key`.
    pub fetch_key: Option<PathBuf>,
    /// File of known host keys. A relative path starts at the home directory.
    pub known_hosts: Option<PathBuf>,
    /// How commands are started on that node. Base copies and fetching use `Ssh2` unless it is `OpenSsh`.
    pub carrier: Carrier,
    /// The directory that holds `2warm` on that node.
    pub pgroot: PathBuf,
    /// A network step without progress for this long fails.
    pub time_limit: Duration,
}

impl Reach {
    /// Reaches a node by the user's ssh configuration alone, with a time limit of 30 s.
    #[must_use]
    pub fn new(node: NodeName, pgroot: PathBuf) -> Reach {
        Reach {
            node,
            host: None,
            port: None,
            user: None,
            key: None,
            copy_key: None,
            fetch_key: None,
            known_hosts: None,
            carrier: Carrier::default(),
            pgroot,
            time_limit: Duration::from_secs(30),
        }
    }

    /// The private key for base copies and rsync.
    pub(crate) fn key_for_copies(&self) -> Option<&PathBuf> {
        self.copy_key.as_ref().or(self.key.as_ref())
    }
}
