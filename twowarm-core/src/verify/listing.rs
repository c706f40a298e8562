use std::collections::BTreeSet;
use std::fs;

use super::{Finding, FindingKind};
use crate::archive::{Archive, ArchiveError};
use crate::file_error::FileError;
use crate::wal::WalFileName;

/// The files of an archive.
pub(super) struct Listing {
    /// The WAL files, sorted.
    pub names: BTreeSet<WalFileName>,
    /// The files that do not belong into it.
    pub findings: Vec<Finding>,
}

/// The programs' own files, and a file system's.
const OWN: [&str; 6] = [".owner", ".archive", ".incoming", ".consumers", ".receipt", "lost+found"];
/// How the name of a file begins that is being written.
const OWN_UNFINISHED: [&str; 4] = [".owner.", ".archive.", ".receipt.", ".nfs"];

impl Listing {
    /// Lists an archive that may be in use.
    ///
    /// A listing can show a file that was added while it was read, but not one that was added shortly before. So
    /// there are two listings: what the second one shows up to the last segment of the first is complete.
    pub(super) fn read(archive: &Archive) -> Result<Listing, ArchiveError> {
        let mut names: BTreeSet<WalFileName> = BTreeSet::new();
        let mut findings = Vec::new();
        let failed = || FileError::of("list the archive directory", archive.path());
        for entry in fs::read_dir(archive.path()).map_err(failed())? {
            let entry = entry.map_err(failed())?.file_name();
            let text = entry.to_string_lossy();
            match text.parse() {
                Ok(name) => _ = names.insert(name),
                Err(_) => findings.extend(stray(&text)),
            }
        }
        let place = |name: &WalFileName| name.segment().map(|segment| segment.place);
        let last = names.iter().filter_map(place).max();
        let again = archive.names()?;
        names.extend(again.into_iter().filter(|name| place(name) <= last));
        Ok(Listing { names, findings })
    }
}

fn stray(name: &str) -> Option<Finding> {
    let is_own = OWN.contains(&name) || OWN_UNFINISHED.iter().any(|own| name.starts_with(own));
    let why = if is_own {
        return None;
    } else if name.contains(".corrupt") {
        "is a copy of a damaged or incomplete segment that was restored in a failover. HINT: move it elsewhere when it is no longer needed"
    } else if name.contains(".foreign") {
        "was renamed because its content did not match its name. HINT: move it elsewhere when it is no longer needed"
    } else {
        "is not a WAL file"
    };
    Some(Finding::new(FindingKind::Stray, name, why))
}
