use std::path::Path;

use super::{Login, RunningServer, ServerError, Session};
use crate::data_directory::major_version;
use crate::file_error::FileError;
use crate::node::Install;

/// What a data directory, or a server, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes writes, or would if it were started.
    Primary,
    /// It replays WAL, or would.
    Standby,
}

/// What a server would be that is started in this directory: a standby by `recovery.conf`, from 12 on by
/// one of the signal files. In a directory without a cluster (yet) any of them counts.
pub fn role_of(pgdata: &Path) -> Result<Role, ServerError> {
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

/// What the server is that runs on this node: the one in its data directory, else whichever answers where
/// clients look by themselves.
///
/// A server that can't be asked, such as one that is still starting, is what its data directory says.
pub fn running_role(install: &Install, login: &Login) -> Result<Option<Role>, ServerError> {
    let of_session = |mut session: Session| {
        Ok::<_, ServerError>(if session.in_recovery()? { Role::Standby } else { Role::Primary })
    };
    if let Some(pgdata) = install.pgdata.as_deref()
        && RunningServer::find(pgdata)?.is_some()
    {
        let asked = Session::open(pgdata, login).and_then(of_session);
        return asked.or_else(|_| role_of(pgdata)).map(Some);
    }
    let answering = Session::of_clients(login);
    answering.map(of_session).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_files() {
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
