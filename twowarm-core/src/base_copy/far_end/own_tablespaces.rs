use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base_copy::tablespaces::places_in_map;
use crate::data_directory::CopyMarker;

/// The directories that are this data directory's own tablespaces, without links in their paths: its
/// links lead there, or the map of a copy that was not started yet, or an unfinished copy wrote them
/// down. What can't be read is not its own.
pub(super) fn own_tablespaces(pgdata: &Path, unfinished: Option<&CopyMarker>) -> BTreeSet<PathBuf> {
    let links = fs::read_dir(pgdata.join("pg_tblspc")).into_iter().flatten().flatten();
    let mut own: BTreeSet<PathBuf> =
        links.filter_map(|link| fs::read_link(link.path()).ok()).collect();
    own.extend(places_in_map(&fs::read(pgdata.join("tablespace_map")).unwrap_or_default()));
    own.extend(unfinished.into_iter().flat_map(|marker| marker.tablespaces.iter().cloned()));
    own.into_iter().filter_map(|path| path.canonicalize().ok()).collect()
}
