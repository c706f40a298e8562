use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{User, geteuid};

use super::{BedError, finish};

/// The user that servers run as: `postgres` if the test runs as root, since PostgreSQL refuses to run as root,
/// otherwise the user of the test.
#[derive(Clone, Debug)]
pub struct RunAs {
    user: String,
    /// User and group id to change to, if the test runs as another user.
    change: Option<(u32, u32)>,
}

impl RunAs {
    pub(super) fn detect() -> Result<RunAs, BedError> {
        let missing = |who: &str| BedError(format!("there is no user {who}: install postgresql"));
        if geteuid().is_root() {
            let user = lookup(User::from_name("postgres"))?.ok_or_else(|| missing("postgres"))?;
            let change = Some((user.uid.as_raw(), user.gid.as_raw()));
            Ok(RunAs { user: user.name, change })
        } else {
            let user = lookup(User::from_uid(geteuid()))?;
            let user = user.ok_or_else(|| missing(&format!("with id {}", geteuid())))?;
            Ok(RunAs { user: user.name, change: None })
        }
    }

    /// The name of the operating system user and of the database superuser.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Makes a command run as this user.
    pub fn apply(&self, command: &mut Command) {
        if let Some((uid, gid)) = self.change {
            command.gid(gid).uid(uid);
        }
    }

    /// Makes this user the owner of a file or directory.
    pub fn own(&self, path: &Path) -> Result<(), BedError> {
        match self.change {
            Some((uid, gid)) => {
                chown(path, Some(uid), Some(gid)).map_err(BedError::io("change the owner of", path))
            }
            None => Ok(()),
        }
    }

    /// Creates a directory owned by this user.
    pub fn make_dir(&self, path: &Path, mode: u32) -> Result<(), BedError> {
        fs::create_dir(path).map_err(BedError::io("make directory", path))?;
        set_mode(path, mode)?;
        self.own(path)
    }

    /// Writes a file owned by this user.
    pub fn write(&self, path: &Path, contents: impl AsRef<[u8]>) -> Result<(), BedError> {
        fs::write(path, contents).map_err(BedError::io("write", path))?;
        self.own(path)
    }

    /// Copies a program for this user, who may be unable to read the original.
    ///
    /// By another process: a copy that this one has open for writing is inherited by what other threads start at
    /// that moment, and can't be executed until they have called exec ("Text file busy").
    pub fn copy_program(&self, from: &Path, to: &Path) -> Result<(), BedError> {
        finish(Command::new("cp").arg("--").args([from, to]))?;
        set_mode(to, 0o755)?;
        self.own(to)
    }

    /// Whether this user can enter a directory.
    pub(super) fn can_enter(&self, dir: &Path) -> bool {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cd \"$0\""]).arg(dir).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.apply(&mut command);
        command.status().is_ok_and(|status| status.success())
    }
}

/// Sets the mode regardless of the umask.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), BedError> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(BedError::io("change the mode of", path))
}

fn lookup(found: nix::Result<Option<User>>) -> Result<Option<User>, BedError> {
    found.map_err(|error| BedError(format!("could not look up a user: {error}")))
}
