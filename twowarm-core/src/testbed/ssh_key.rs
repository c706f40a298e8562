use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BedError, RunAs, finish, tool};

/// A key pair without a passphrase.
#[derive(Clone, Debug)]
pub struct SshKey {
    private: PathBuf,
    public: String,
}

impl SshKey {
    /// Creates a pair in `PATH` and `PATH.pub`.
    pub(super) fn generate(run_as: &RunAs, path: &Path) -> Result<SshKey, BedError> {
        let mut command = Command::new(tool::find("ssh-keygen", "openssh-client")?);
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "testbed", "-f"]).arg(path);
        command.current_dir("/");
        run_as.apply(&mut command);
        finish(&mut command)?;
        let public_file = PathBuf::from(format!("{}.pub", path.display()));
        let line = fs::read_to_string(&public_file).map_err(BedError::io("read", &public_file))?;
        let public = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        Ok(SshKey { private: path.to_owned(), public })
    }

    /// The file with the private key.
    #[must_use]
    pub fn private(&self) -> &Path {
        &self.private
    }

    /// The public key as in authorized_keys and known_hosts: type and base64.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }
}
