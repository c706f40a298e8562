use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::file_error::FileError;

/// Why a data directory's tablespaces can't be copied.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum LinksError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "{} is no link: a tablespace in place, which only tests of PostgreSQL have, can't be copied",
        .0.display()
    )]
    InPlace(PathBuf),
    #[error("{} leads to {}, which is no absolute path", link.display(), target.display())]
    Relative { link: PathBuf, target: PathBuf },
}

/// The tablespaces of a data directory, by the links in `pg_tblspc`: object identifier and directory.
pub fn tablespace_links(pgdata: &Path) -> Result<Vec<(u32, PathBuf)>, LinksError> {
    let directory = pgdata.join("pg_tblspc");
    let entries = match fs::read_dir(&directory).and_then(|all| all.collect::<Result<Vec<_>, _>>())
    {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(FileError::of("list", &directory)(e).into()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let Some(oid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let link = entry.path();
        let kind = entry.file_type().map_err(FileError::of("look at", &link))?;
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
