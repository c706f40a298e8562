use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use crate::durable::Aside;
use crate::file_error::FileError;

/// The process does not run as the owner of a data directory: the server could not read, or not change, what
/// it writes there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotTheOwner {
    /// The directory can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The owner is another user.
    #[error("data directory \"{}\" is owned by {owner}, but this command runs as {runner}. HINT: run it as {owner}", path.display())]
    Another {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: String,
        /// The user of this process.
        runner: String,
    },
    /// The owner is root.
    #[error(
        "data directory \"{}\" is owned by root, but PostgreSQL does not run as root. HINT: chown it to the server's user, and run this command as that user", .0.display()
    )]
    Root(PathBuf),
}

/// Whether this process runs as the owner of a data directory.
///
/// # Errors
/// If it does not, or if the owner is root.
pub fn check_owner(data_directory: &Path) -> Result<(), NotTheOwner> {
    let owner =
        fs::metadata(data_directory).map_err(FileError::of("look at", data_directory))?.uid();
    check(data_directory, Uid::from_raw(owner), Uid::effective())
}

fn check(pgdata: &Path, owner: Uid, runner: Uid) -> Result<(), NotTheOwner> {
    if owner.is_root() {
        return Err(NotTheOwner::Root(pgdata.to_owned()));
    }
    if owner != runner {
        let (owner, runner) = (name_of(owner), name_of(runner));
        return Err(NotTheOwner::Another { path: pgdata.to_owned(), owner, runner });
    }
    Ok(())
}

fn name_of(user: Uid) -> String {
    match User::from_uid(user) {
        Ok(Some(user)) => user.name,
        _ => format!("user {user}"),
    }
}

/// Replaces a file of the data directory atomically. If this process is root's, the file is owned by the
/// directory's owner from the start: the server must be able to read and to change it.
///
/// # Errors
/// If it can't be written.
pub fn write_for_server(
    data_directory: &Path,
    file: &Path,
    content: &[u8],
) -> Result<(), FileError> {
    let mut aside = Aside::create_in(file.parent().unwrap_or(data_directory), ".twowarm-write")?;
    aside.file().write_all(content).map_err(FileError::of("write", file))?;
    if Uid::effective().is_root() {
        let owner =
            fs::metadata(data_directory).map_err(FileError::of("look at", data_directory))?;
        fchown(aside.file(), Some(owner.uid()), Some(owner.gid()))
            .map_err(FileError::of("change the owner of", file))?;
    }
    aside.replace(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_to_run_as_is_named() {
        let pgdata = Path::new("/data");
        let (root, one, other) =
            (Uid::from_raw(0), Uid::from_raw(4_000_001), Uid::from_raw(4_000_002));
        check(pgdata, one, one).unwrap();
        let error = check(pgdata, one, root).unwrap_err().to_string();
        assert!(error.contains("as root. HINT: run it as user 4000001"), "{error}");
        assert!(check(pgdata, one, other).is_err());
        let error = check(pgdata, root, root).unwrap_err().to_string();
        assert!(error.contains("chown"), "{error}");
    }

    #[test]
    fn a_written_file_belongs_to_the_owner_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("trigger");
        if Uid::effective().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(4_000_001), Some(4_000_001)).unwrap();
        }
        write_for_server(dir.path(), &file, b"fast\n").unwrap();
        let (written, directory) = (fs::metadata(&file).unwrap(), fs::metadata(&dir).unwrap());
        assert_eq!((written.uid(), written.gid()), (directory.uid(), directory.gid()));
        assert_eq!(fs::read(&file).unwrap(), b"fast\n");
    }
}
