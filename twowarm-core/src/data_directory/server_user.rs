use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use crate::durable::Aside;
use crate::file_error::FileError;

/// The command runs as a user who is not the data directory's owner: what it writes there the server
/// could not read, or not change.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum NotTheOwner {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} belongs to {owner}, and this runs as {runner}: run it as {owner}", path.display())]
    Another { path: PathBuf, owner: String, runner: String },
    #[error(
        "{} belongs to root, as whom no server runs: chown it to the server's user, and run this as that user", .0.display()
    )]
    Root(PathBuf),
}

/// Whether we are the owner of a data directory.
pub fn check_owner(pgdata: &Path) -> Result<(), NotTheOwner> {
    let owner = fs::metadata(pgdata).map_err(FileError::of("look at", pgdata))?.uid();
    check(pgdata, Uid::from_raw(owner), Uid::effective())
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

/// Writes a file of the data directory whole, over what was there. When we are root it is its owner's
/// from the start: the server's user must be able to read and to change it.
pub fn write_for_server(pgdata: &Path, place: &Path, content: &[u8]) -> Result<(), FileError> {
    let directory = place.parent().unwrap_or(pgdata);
    let mut aside = Aside::create_in(directory, ".twowarm-write")?;
    aside.file().write_all(content).map_err(FileError::of("write", place))?;
    if Uid::effective().is_root() {
        let owner = fs::metadata(pgdata).map_err(FileError::of("look at", pgdata))?;
        fchown(aside.file(), Some(owner.uid()), Some(owner.gid()))
            .map_err(FileError::of("change the owner of", place))?;
    }
    aside.replace(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_to_be_is_named() {
        let pgdata = Path::new("/data");
        let (root, one, other) =
            (Uid::from_raw(0), Uid::from_raw(4_000_001), Uid::from_raw(4_000_002));
        check(pgdata, one, one).unwrap();
        let error = check(pgdata, one, root).unwrap_err().to_string();
        assert!(error.contains("as root: run it as user 4000001"), "{error}");
        assert!(check(pgdata, one, other).is_err());
        let error = check(pgdata, root, root).unwrap_err().to_string();
        assert!(error.contains("chown"), "{error}");
    }

    #[test]
    fn what_is_written_belongs_to_the_directorys_owner() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("trigger");
        if Uid::effective().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(4_000_001), Some(4_000_001)).unwrap();
        }
        write_for_server(dir.path(), &place, b"fast\n").unwrap();
        let (file, directory) = (fs::metadata(&place).unwrap(), fs::metadata(&dir).unwrap());
        assert_eq!((file.uid(), file.gid()), (directory.uid(), directory.gid()));
        assert_eq!(fs::read(&place).unwrap(), b"fast\n");
    }
}
