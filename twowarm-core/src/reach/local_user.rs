use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

/// The user that this process runs as.
#[derive(Debug, Clone)]
pub(crate) struct LocalUser {
    #[cfg_attr(not(feature = "ship"), expect(dead_code))]
    pub name: String,
    /// `$HOME`, else the home directory in the password file.
    pub home: PathBuf,
    /// The home directory in the password file, where ssh looks for its files.
    pub listed_home: PathBuf,
}

impl LocalUser {
    /// None where the password file does not list the user.
    pub(crate) fn current() -> Option<LocalUser> {
        let user = User::from_uid(Uid::effective()).ok().flatten()?;
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|h| h.is_absolute());
        Some(LocalUser {
            name: user.name,
            home: home.unwrap_or_else(|| user.dir.clone()),
            listed_home: user.dir,
        })
    }

    /// `~/.ssh/config` of a `$HOME` in which ssh does not look for it.
    pub(crate) fn ssh_config_file(&self) -> Option<PathBuf> {
        let file = self.home.join(".ssh/config");
        (self.home != self.listed_home && file.is_file()).then_some(file)
    }

    /// A path of the configuration made absolute: `~` is the home directory, and a relative path starts
    /// there.
    pub(crate) fn expand(&self, path: &Path) -> PathBuf {
        self.home.join(path.strip_prefix("~").unwrap_or(path))
    }

    /// A path as `ssh -G` prints it. ssh expands some `~` to the listed home; where `$HOME` is another
    /// directory, that one is meant.
    #[cfg(feature = "ship")]
    pub(crate) fn expand_printed(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        self.expand(&match path.strip_prefix(&self.listed_home) {
            Ok(below) => self.home.join(below),
            Err(_) => path.to_owned(),
        })
    }
}

#[cfg(all(test, feature = "ship"))]
mod tests {
    use super::*;

    #[test]
    fn home_is_the_one_in_the_environment() {
        let local = LocalUser {
            name: "pg".into(),
            home: "/nodes/db1".into(),
            listed_home: "/var/lib/pg".into(),
        };
        let expand = |path| local.expand(Path::new(path));
        assert_eq!(expand("~/.ssh/k"), Path::new("/nodes/db1/.ssh/k"));
        assert_eq!(expand(".ssh/k"), Path::new("/nodes/db1/.ssh/k"));
        assert_eq!(expand("/var/lib/pg/k"), Path::new("/var/lib/pg/k"));
        assert_eq!(local.expand_printed("~/.ssh/k"), Path::new("/nodes/db1/.ssh/k"));
        assert_eq!(local.expand_printed("/var/lib/pg/.ssh/kh"), Path::new("/nodes/db1/.ssh/kh"));
        assert_eq!(local.expand_printed("/etc/k"), Path::new("/etc/k"));
    }
}
