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
            carrier: own.carrier,
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
            storing_limit: match self.reach(node).carrier {
                // The whole transfer is part of it, and rsync has limits of its own.
                crate::reach::Carrier::Rsync => std::time::Duration::MAX,
                _ => crate::ship::SendOptions::STORING_LIMIT,
            },
        }
    }

    /// How a command is started on another node, by the carrier that is configured for it. Only WAL is shipped
    /// by `local` and `rsync`; other commands are started by ssh in this process then.
    ///
    /// # Errors
    /// If the node's path has a meaning to a shell, or the path of its archive is required and not known.
    #[cfg(feature = "ship")]
    pub fn carrier(
        &self,
        node: &NodeName,
        command: crate::ship::FarCommand,
    ) -> Result<crate::ship::carrier::NodeTransport, super::InstallError> {
        self.carrier_by(&self.reach(node), command)
    }

    #[cfg(feature = "ship")]
    pub(super) fn carrier_by(
        &self,
        reach: &Reach,
        command: crate::ship::FarCommand,
    ) -> Result<crate::ship::carrier::NodeTransport, super::InstallError> {
        use crate::reach::Carrier;
        use crate::ship::FarCommand;
        use crate::ship::carrier::{MountedArchive, NodeTransport, RsyncTransport};

        let node = &reach.node;
        let directory = self.local_replication().join("carrier").join(node.host());
        match reach.carrier {
            Carrier::Local if command == FarCommand::ReceiveWalFile => {
                Ok(NodeTransport::Local(MountedArchive {
                    node: node.to_string(),
                    archive: self.archive_of(node)?.to_owned(),
                    mark_directory: directory,
                    own_archive: self.archive.clone(),
                    machines: self.machines(),
                    time_limit: reach.time_limit,
                }))
            }
            Carrier::Rsync if command == FarCommand::ReceiveWalFile => {
                let archive = self.archive_of(node)?.to_owned();
                Ok(NodeTransport::Rsync(RsyncTransport::new(reach, archive, directory)))
            }
            _ => Ok(NodeTransport::by_ssh(reach, command)?),
        }
    }

    #[cfg(feature = "ship")]
    fn archive_of(&self, node: &NodeName) -> Result<&std::path::Path, super::InstallError> {
        let found = self.section(node).and_then(|own| own.archive.as_deref());
        let (file, node) = (self.local().join("2warm.toml"), node.to_string());
        found.ok_or(super::InstallError::NoArchiveOfNode { file, node })
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
