//! The values that operations take, from the files of this node.

use super::{Install, NodeSettings};
use crate::identifiers::NodeName;
use crate::reach::Reach;

impl Install {
    /// How to reach another node: its section in `2warm.toml`, by its full name or else its host.
    #[must_use]
    pub fn reach(&self, node: &NodeName) -> Reach {
        let own = self.section(node).cloned().unwrap_or_default();
        Reach {
            node: node.clone(),
            host: own.host,
            port: own.port,
            user: own.user.or_else(|| node.user().map(str::to_owned)),
            key: own.key,
            copy_key: own.copy_key,
            fetch_key: own.fetch_key,
            known_hosts: own.known_hosts,
            pgroot: own.pgroot.unwrap_or_else(|| self.pgroot.clone()),
            time_limit: self.settings.time_limit,
        }
    }

    /// The settings of another node, if there are any.
    pub(super) fn section(&self, node: &NodeName) -> Option<&NodeSettings> {
        let sections = &self.settings.node;
        sections.get(&node.to_string()).or_else(|| sections.get(node.host()))
    }

    /// The name of this node in messages. It includes PGROOT, in which two nodes on one machine differ.
    #[must_use]
    pub fn label(&self) -> String {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = if host.trim().is_empty() { "unnamed host" } else { host.trim() };
        format!("{host}:{}", self.pgroot.display())
    }

    /// This node as it presents itself to another one.
    ///
    /// # Errors
    /// If the data directory is not known, or the node id can't be read or created.
    #[cfg(feature = "ship")]
    pub fn local_node(&self) -> Result<crate::ship::LocalNode, super::InstallError> {
        Ok(crate::ship::LocalNode {
            data_directory: self.require_pgdata()?.to_owned(),
            node_id: self.node_id()?,
            label: self.label(),
        })
    }

    /// How WAL files are sent to another node.
    #[cfg(feature = "ship")]
    #[must_use]
    pub fn send_options(&self, node: &NodeName) -> crate::ship::SendOptions {
        let rate_limit = self.section(node).and_then(|own| own.rate_limit).unwrap_or_default();
        crate::ship::SendOptions {
            compression_level: self.settings.archive.compression_level,
            rate_limit: crate::ship::RateLimit::new(rate_limit),
        }
    }

    /// How to log in to the server of this node: libpq's variables in `environment.sh`, else in the environment.
    #[cfg(feature = "server")]
    pub fn login(&self) -> crate::server::Login {
        use nix::unistd::{Uid, User};
        let system_user = || User::from_uid(Uid::effective()).ok().flatten().map(|user| user.name);
        crate::server::Login {
            host: self.variable("PGHOST"),
            port: self.variable("PGPORT"),
            user: self.variable("PGUSER").or_else(system_user),
            password: self.variable("PGPASSWORD"),
            database: self.variable("PGDATABASE").unwrap_or_else(|| "postgres".into()),
            time_limit: self.settings.time_limit,
        }
    }
}
