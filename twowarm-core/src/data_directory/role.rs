use std::path::Path;

use super::{IdentityError, major_version};
use crate::file_error::FileError;

/// The role of a data directory or a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It accepts writes, or would if it were started.
    Primary,
    /// It replays WAL, or would if it were started.
    Standby,
}

/// The role of a server that is started in this directory: a standby if there is a `recovery.conf`, from 12 on
/// one of the signal files. In a directory without a cluster any of them makes it one.
///
/// # Errors
/// If a file can't be read.
pub fn role_of(pgdata: &Path) -> Result<Role, IdentityError> {
    let files: &[&str] = match major_version(pgdata)? {
        Some(major) if major.has_recovery_signal() => &["standby.signal", "recovery.signal"],
        Some(_) => &["recovery.conf"],
        None => &["standby.signal", "recovery.signal", "recovery.conf"],
    };
    for name in files {
        let file = pgdata.join(name);
        if file.try_exists().map_err(FileError::of("look for", &file))? {
            return Ok(Role::Standby);
        }
    }
    Ok(Role::Primary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_recovery_files() {
        let dir = tempfile::tempdir().unwrap();
        let with = |version: Option<&str>, file: Option<&str>| {
            for name in ["PG_VERSION", "standby.signal", "recovery.signal", "recovery.conf"] {
                let _ = std::fs::remove_file(dir.path().join(name));
            }
            let version = version.map(|version| ("PG_VERSION", version));
            for (name, text) in version.into_iter().chain(file.map(|name| (name, ""))) {
                std::fs::write(dir.path().join(name), text).unwrap();
            }
            role_of(dir.path()).unwrap()
        };
        for version in ["8.2", "9.1", "11"] {
            assert_eq!(with(Some(version), None), Role::Primary);
            assert_eq!(with(Some(version), Some("recovery.conf")), Role::Standby);
            assert_eq!(with(Some(version), Some("standby.signal")), Role::Primary);
        }
        for version in ["12", "19"] {
            assert_eq!(with(Some(version), Some("recovery.conf")), Role::Primary);
            assert_eq!(with(Some(version), Some("standby.signal")), Role::Standby);
            assert_eq!(with(Some(version), Some("recovery.signal")), Role::Standby);
        }
        assert_eq!(with(None, None), Role::Primary);
        assert_eq!(with(None, Some("recovery.conf")), Role::Standby);
    }
}
