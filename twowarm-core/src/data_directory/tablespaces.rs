use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::CopyMarker;

/// The tablespace directories of a data directory, without symbolic links in their paths: from its
/// pg_tblspc, from the tablespace_map of a copy that was not started yet, and from the marker of an
/// unfinished copy. What can't be read is left out.
pub(crate) fn own_tablespaces(pgdata: &Path, unfinished: Option<&CopyMarker>) -> BTreeSet<PathBuf> {
    let links = fs::read_dir(pgdata.join("pg_tblspc")).into_iter().flatten().flatten();
    let mut own: BTreeSet<PathBuf> =
        links.filter_map(|link| fs::read_link(link.path()).ok()).collect();
    own.extend(paths_in_map(&fs::read(pgdata.join("tablespace_map")).unwrap_or_default()));
    own.extend(unfinished.into_iter().flat_map(|marker| marker.tablespaces.iter().cloned()));
    own.into_iter().filter_map(|path| path.canonicalize().ok()).collect()
}

/// The directories in a `tablespace_map`. A copy that was not started yet has no links to them.
pub(crate) fn paths_in_map(map: &[u8]) -> Vec<PathBuf> {
    let path = |line: &[u8]| {
        let escaped = &line[line.iter().position(|&b| b == b' ')? + 1..];
        let mut bytes = escaped.strip_suffix(b"\n").unwrap_or(escaped).iter();
        let mut unescaped = Vec::new();
        while let Some(&byte) = bytes.next() {
            unescaped.push(if byte == b'\\' { *bytes.next()? } else { byte });
        }
        Some(PathBuf::from(OsString::from_vec(unescaped)))
    };
    map_lines(map).filter_map(path).collect()
}

/// The lines of a `tablespace_map`, with their newlines. An escaped newline is part of a path.
pub(crate) fn map_lines(map: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut escape = false;
    map.split_inclusive(move |&byte| {
        let ends = byte == b'\n' && !escape;
        escape = byte == b'\\' && !escape;
        ends
    })
}
