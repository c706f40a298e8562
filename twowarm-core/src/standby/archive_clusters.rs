use std::collections::BTreeMap;
use std::io::Read;

use crate::archive::{Archive, ArchiveError};
use crate::wal::{PageHeader, WalFileName};

/// What a new standby finds in its archive, in a line; none if there is nothing. `cluster` is the system
/// identifier of the data directory, where it has one.
///
/// A segment of another cluster keeps the right one out, and a standby waits for that for ever.
pub(super) fn told(
    archive: &Archive,
    cluster: Option<u64>,
) -> Result<Option<String>, ArchiveError> {
    let names = archive.names()?;
    let found = clusters(archive, &names)?;
    let (all, place) = (names.len(), archive.path().display());
    let listed: Vec<String> = found.keys().map(u64::to_string).collect();
    let listed = listed.join(", ");
    let foreign: usize = match cluster {
        Some(cluster) => found.iter().filter(|(id, _)| **id != cluster).map(|(_, n)| n).sum(),
        None => 0,
    };
    Ok(match cluster {
        _ if all == 0 => None,
        Some(cluster) if foreign > 0 => Some(format!(
            "WARNING: {foreign} of {all} WAL files in {place} are not this standby's cluster's ({cluster}); those of {listed} are there: move the others away, or the standby waits for its own for ever"
        )),
        _ if found.len() > 1 => Some(format!(
            "WARNING: {all} WAL files of several clusters ({listed}) are in {place}: move those away that are not the primary's"
        )),
        _ if found.is_empty() => Some(format!("{all} WAL files stay in {place}")),
        _ => Some(format!(
            "{all} WAL files of the cluster {listed} stay in {place}: if the primary's is another, move them away"
        )),
    })
}

/// How many segments each cluster has there, by their first pages. What has none says nothing.
fn clusters(
    archive: &Archive,
    names: &[WalFileName],
) -> Result<BTreeMap<u64, usize>, ArchiveError> {
    let mut found = BTreeMap::new();
    for name in names.iter().filter(|name| matches!(name, WalFileName::Segment(_))) {
        let Some(file) = archive.find(*name)? else { continue };
        let mut page = Vec::new();
        if file.take(PageHeader::MAX_BYTES as u64).read_to_end(&mut page).is_err() {
            continue;
        }
        if let Some(long) = PageHeader::parse(&page).ok().and_then(|header| header.long) {
            *found.entry(long.system_identifier).or_default() += 1;
        }
    }
    Ok(found)
}
