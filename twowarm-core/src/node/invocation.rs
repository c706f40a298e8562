use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// How a command was called, which determines its 2warm tree and its data directory.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The name of the command as given (argv\[0\]).
    pub command: OsString,
    /// The environment variables.
    pub environment: BTreeMap<OsString, OsString>,
    /// The working directory.
    pub working_directory: PathBuf,
}

/// Who calls the command, which determines the meaning of the working directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A PostgreSQL server, whose working directory is its data directory.
    Server,
    /// A user, a script or cron.
    Person,
    /// Another node, through sshd: messages are sent there, as the reason for a failure.
    FarNode,
}

impl Invocation {
    /// The invocation of this process.
    ///
    /// # Errors
    /// If the working directory can't be determined.
    pub fn current() -> std::io::Result<Invocation> {
        Ok(Invocation {
            command: std::env::args_os().next().unwrap_or_default(),
            environment: std::env::vars_os().collect(),
            working_directory: std::env::current_dir()?,
        })
    }

    /// The value of an environment variable that is not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.get(OsStr::new(name)).map(OsString::as_os_str).filter(|v| !v.is_empty())
    }

    /// PGROOT: `$PGROOT` if that is a directory, else three levels above the directory in the path by which the
    /// command was called.
    ///
    /// The path is evaluated as text: `../2warm/global/replication/archiveWALFile`, called by a server in
    /// `/data/8.2`, is below `/data` even if `/data/2warm` is a symbolic link.
    #[must_use]
    pub fn pgroot(&self) -> PathBuf {
        if let Some(root) = self.variable("PGROOT").map(Path::new).filter(|r| r.is_dir()) {
            return without_dots(&self.logical_directory().join(root));
        }
        let mut directory = without_dots(&self.called_through());
        // The command itself, then replication, global, 2warm.
        for _ in 0..4 {
            directory.pop();
        }
        directory
    }

    /// The path by which the command was called; a name without a slash was found in PATH.
    fn called_through(&self) -> PathBuf {
        let command = Path::new(&self.command);
        if command.components().count() > 1 {
            return self.logical_directory().join(command);
        }
        let path = self.variable("PATH").unwrap_or_default();
        let found = std::env::split_paths(path)
            .map(|directory| self.logical_directory().join(directory).join(command))
            .find(|candidate| candidate.is_file());
        found.or_else(|| std::env::current_exe().ok()).unwrap_or_default()
    }

    /// The working directory as `$PWD` names it, if that is the same directory.
    fn logical_directory(&self) -> PathBuf {
        let same = |a: &Path, b: &Path| {
            let id = |p: &Path| p.metadata().ok().map(|m| (m.dev(), m.ino()));
            id(a).is_some() && id(a) == id(b)
        };
        match self.variable("PWD").map(PathBuf::from) {
            Some(pwd) if pwd.is_absolute() && same(&pwd, &self.working_directory) => pwd,
            _ => self.working_directory.clone(),
        }
    }
}

/// Removes `.` and `..` from a path as text, without looking at the file system.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(command: &str, cwd: &Path, pwd: Option<&Path>) -> Invocation {
        let environment = pwd.map(|p| ("PWD".into(), p.into())).into_iter().collect();
        Invocation { command: command.into(), environment, working_directory: cwd.to_owned() }
    }

    #[test]
    fn pgroot_is_taken_from_the_text_of_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data/15");
        let link = dir.path().join("entered");
        std::fs::create_dir_all(&data).unwrap();
        std::os::unix::fs::symlink(&data, &link).unwrap();
        let command = "../2warm/global/replication/archiveWALFile";
        assert_eq!(called(command, &data, None).pgroot(), dir.path().join("data"));
        // A server that was started through a link has that name as its data directory.
        assert_eq!(called(command, &data, Some(&link)).pgroot(), dir.path());
        // A PWD that is another directory is ignored.
        assert_eq!(called(command, &data, Some(dir.path())).pgroot(), dir.path().join("data"));
        let here = dir.path().join("r/2warm/global/replication");
        std::fs::create_dir_all(&here).unwrap();
        assert_eq!(called("./configSetup", &here, None).pgroot(), dir.path().join("r"));
    }

    #[test]
    fn a_pgroot_that_is_not_a_directory_is_ignored() {
        let mut call = called("/a/2warm/global/replication/configSetup", Path::new("/"), None);
        call.environment.insert("PGROOT".into(), "/nowhere/at/all".into());
        assert_eq!(call.pgroot(), Path::new("/a"));
        call.environment.insert("PGROOT".into(), "/tmp".into());
        assert_eq!(call.pgroot(), Path::new("/tmp"));
    }
}
