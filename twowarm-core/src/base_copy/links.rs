use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::file_error::{FileError, if_exists};

/// Why the tablespaces of a data directory can't be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinksError {
    /// A link could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// An in-place tablespace: a directory in `pg_tblspc`.
    #[error(
        "\"{}\" is not a symbolic link: in-place tablespaces, which only tests of PostgreSQL use, cannot be copied",
        .0.display()
    )]
    InPlace(PathBuf),
    /// The link points to a relative path.
    #[error("\"{}\" points to \"{}\", which is not an absolute path", link.display(), target.display())]
    Relative {
        /// The symbolic link.
        link: PathBuf,
        /// The path that it points to.
        target: PathBuf,
    },
}

/// The tablespaces of a data directory, from the links in `pg_tblspc`: OID and directory.
pub(super) fn tablespace_links(pgdata: &Path) -> Result<Vec<(u32, PathBuf)>, LinksError> {
    let directory = pgdata.join("pg_tblspc");
    let entries = fs::read_dir(&directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = if_exists(entries).map_err(FileError::of("list", &directory))?;
    let mut found = Vec::new();
    for entry in entries.into_iter().flatten() {
        let Some(oid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let link = entry.path();
        let kind = entry.file_type().map_err(FileError::of("read the attributes of", &link))?;
        if !kind.is_symlink() {
            return Err(LinksError::InPlace(link));
        }
        let target = fs::read_link(&link).map_err(FileError::of("read the link", &link))?;
        if !target.is_absolute() {
            return Err(LinksError::Relative { link, target });
        }
        found.push((oid, target));
    }
    found.sort();
    Ok(found)
}
