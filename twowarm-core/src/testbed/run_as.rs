use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{User, geteuid};

use super::BedError;

/// Who servers run as: user `postgres` when we are root, because PostgreSQL refuses to run as root;
/// otherwise ourselves.
#[derive(Clone, Debug)]
pub struct RunAs {
    user: String,
    /// User and group id to change to; none when we are that user already.
    change: Option<(u32, u32)>,
}

impl RunAs {
    /// Finds out who we are and who servers can be.
    pub fn detect() -> Result<RunAs, BedError> {
        let missing = |who: &str| BedError(format!("{who} is no user here: install postgresql"));
        if geteuid().is_root() {
            let user = lookup(User::from_name("postgres"))?.ok_or_else(|| missing("postgres"))?;
            let change = Some((user.uid.as_raw(), user.gid.as_raw()));
            Ok(RunAs { user: user.name, change })
        } else {
            let user = lookup(User::from_uid(geteuid()))?;
            let user = user.ok_or_else(|| missing(&format!("user id {}", geteuid())))?;
            Ok(RunAs { user: user.name, change: None })
        }
    }

    /// The user's name: the servers' operating system user and database superuser alike.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Lets the command run as that user.
    pub fn apply(&self, command: &mut Command) {
        if let Some((uid, gid)) = self.change {
            command.gid(gid).uid(uid);
        }
    }

    /// Gives a file or directory to that user.
    pub fn own(&self, path: &Path) -> Result<(), BedError> {
        match self.change {
            Some((uid, gid)) => {
                chown(path, Some(uid), Some(gid)).map_err(BedError::io("change the owner of", path))
            }
            None => Ok(()),
        }
    }

    /// Makes a directory that belongs to that user.
    pub fn make_dir(&self, path: &Path, mode: u32) -> Result<(), BedError> {
        fs::create_dir(path).map_err(BedError::io("make directory", path))?;
        set_mode(path, mode)?;
        self.own(path)
    }

    /// Writes a file that belongs to that user.
    pub fn write(&self, path: &Path, contents: impl AsRef<[u8]>) -> Result<(), BedError> {
        fs::write(path, contents).map_err(BedError::io("write", path))?;
        self.own(path)
    }

    /// Copies a program for that user, who may be unable to reach the original.
    pub fn copy_program(&self, from: &Path, to: &Path) -> Result<(), BedError> {
        fs::copy(from, to).map_err(BedError::io("copy", from))?;
        set_mode(to, 0o755)?;
        self.own(to)
    }

    /// Whether that user may enter this directory, asked of the kernel by trying.
    pub(super) fn can_enter(&self, dir: &Path) -> bool {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cd \"$0\""]).arg(dir).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.apply(&mut command);
        command.status().is_ok_and(|status| status.success())
    }
}

/// Sets the mode whatever the umask is.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), BedError> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(BedError::io("change the mode of", path))
}

fn lookup(found: nix::Result<Option<User>>) -> Result<Option<User>, BedError> {
    found.map_err(|error| BedError(format!("could not look up a user: {error}")))
}
