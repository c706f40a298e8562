use std::path::Path;
use std::thread;

use super::target::Target;
use super::{Address, SshError, tcp};
use crate::reach::Reach;
use crate::ship::transport::{ConnectError, Connection, FarCommand, Transport};

/// Starts one far command on one node over ssh.
#[derive(Debug, Clone)]
pub struct SshTransport {
    pub(super) reach: Reach,
    pub(super) command: FarCommand,
    /// The command's path there and its arguments; no shell gives them another meaning.
    pub(super) program: String,
    node: String,
}

impl SshTransport {
    /// A transport to this node. The user's ssh configuration is read at each connection.
    ///
    /// # Errors
    /// [`SshError::UnsafePath`] if a shell could give the command's path on that node another meaning.
    pub fn new(reach: &Reach, command: FarCommand) -> Result<SshTransport, SshError> {
        let program = command.command_line(&reach.pgroot)?;
        Ok(SshTransport { reach: reach.clone(), command, program, node: reach.node.to_string() })
    }
}

impl SshTransport {
    /// The address, if it does not depend on the user's ssh configuration.
    fn address(&self) -> Option<Address> {
        let (host, port) = (self.reach.host.clone()?, self.reach.port?);
        Some(Address { node: self.node.clone(), host, port })
    }
}

impl Transport for SshTransport {
    fn connect(&self) -> Result<Box<dyn Connection>, ConnectError> {
        // sshd starts a process for the connection while the user's ssh configuration is read.
        let early = self.address().and_then(|address| {
            let limit = self.reach.time_limit;
            thread::Builder::new().spawn(move || tcp::connect(&address, limit)).ok()
        });
        let target = Target::resolve(self)?;
        let stream = match early.and_then(|connecting| connecting.join().ok()) {
            Some(connected) => connected?,
            None => tcp::connect(&target.address, target.time_limit)?,
        };
        Ok(Box::new(target.open(stream)?))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn command(&self) -> FarCommand {
        self.command
    }
}

/// sshd passes the command to the user's shell, so a shell must read its path as one literal word. In single quotes every
/// shell does, also csh and fish, for these characters.
pub(in crate::ship) fn shell_safe(path: &Path) -> Result<String, SshError> {
    let has_only = |text: &str, others: &[u8]| {
        text.starts_with('/')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
    };
    match path.to_str() {
        Some(text) if has_only(text, b"/._+-") => Ok(text.to_owned()),
        Some(text) if has_only(text, b"/._+- ,=@%:()&") => Ok(format!("'{text}'")),
        _ => Err(SshError::UnsafePath(path.display().to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_meaning_to_a_shell_is_refused() {
        let path = |root: &str| shell_safe(&FarCommand::ReceiveWalFile.path(Path::new(root)));
        assert_eq!(path("/srv/pg").unwrap(), "/srv/pg/2warm/global/replication/receiveWALFile");
        let quoted = "'/srv/p g (1)/2warm/global/replication/receiveWALFile'";
        assert_eq!(path("/srv/p g (1)").unwrap(), quoted);
        for bad in [
            "/srv/$HOME",
            "srv/p g",
            "/a\\ b",
            "/a!b",
            "srv",
            "~pg",
            "/a;b",
            "/a'b",
            "/a\nb",
            "/ä",
            "/a~",
        ] {
            assert!(matches!(path(bad), Err(SshError::UnsafePath(_))), "{bad:?}");
        }
    }
}
