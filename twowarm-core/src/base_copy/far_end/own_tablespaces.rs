use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base_copy::tablespaces::paths_in_map;
use crate::data_directory::CopyMarker;

/// The tablespace directories of a data directory, without symbolic links in their paths: from its
/// pg_tblspc, from the tablespace_map of a copy that was not started yet, and from the marker of an
/// unfinished copy. What can't be read is left out.
pub(super) fn own_tablespaces(pgdata: &Path, unfinished: Option<&CopyMarker>) -> BTreeSet<PathBuf> {
    let links = fs::read_dir(pgdata.join("pg_tblspc")).into_iter().flatten().flatten();
    let mut own: BTreeSet<PathBuf> =
        links.filter_map(|link| fs::read_link(link.path()).ok()).collect();
    own.extend(paths_in_map(&fs::read(pgdata.join("tablespace_map")).unwrap_or_default()));
    own.extend(unfinished.into_iter().flat_map(|marker| marker.tablespaces.iter().cloned()));
    own.into_iter().filter_map(|path| path.canonicalize().ok()).collect()
}
