//! The ways by which WAL gets to another node: ssh in this process, the ssh program, an archive that is mounted
//! here, and rsync.

mod duplex;
mod local;
mod openssh;
mod rsync;
mod same_file;

pub use local::MountedArchive;
pub use openssh::OpenSshTransport;
pub use rsync::RsyncTransport;

use super::ssh::{SshError, SshTransport};
use super::transport::{ConnectError, Connection, FarCommand, Transport};
use crate::reach::{Carrier, Reach};

/// A transport by any carrier.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum NodeTransport {
    /// By ssh in this process.
    Ssh2(SshTransport),
    /// By the ssh program.
    OpenSsh(OpenSshTransport),
    /// Into an archive directory that is mounted here.
    Local(MountedArchive),
    /// By rsync, to a node without receiveWALFile.
    Rsync(RsyncTransport),
}

impl NodeTransport {
    /// Starts a command on a node: by the ssh program if that is the node's carrier, otherwise by ssh in this
    /// process.
    ///
    /// # Errors
    /// [`SshError::UnsafePath`] if a shell could give the command's path on that node another meaning.
    pub fn by_ssh(reach: &Reach, command: FarCommand) -> Result<NodeTransport, SshError> {
        Ok(match reach.carrier {
            Carrier::OpenSsh => NodeTransport::OpenSsh(OpenSshTransport::new(reach, command)?),
            Carrier::Ssh2 | Carrier::Rsync | Carrier::Local => {
                NodeTransport::Ssh2(SshTransport::new(reach, command)?)
            }
        })
    }

    fn inner(&self) -> &dyn Transport {
        match self {
            NodeTransport::Ssh2(transport) => transport,
            NodeTransport::OpenSsh(transport) => transport,
            NodeTransport::Local(transport) => transport,
            NodeTransport::Rsync(transport) => transport,
        }
    }
}

impl Transport for NodeTransport {
    fn connect(&self) -> Result<Box<dyn Connection>, ConnectError> {
        self.inner().connect()
    }

    fn node(&self) -> &str {
        self.inner().node()
    }

    fn command(&self) -> FarCommand {
        self.inner().command()
    }
}
