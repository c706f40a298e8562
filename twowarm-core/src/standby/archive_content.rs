use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::archive::{Archive, ArchiveError};
use crate::wal::{PageHeader, WalFileName, first_page};

/// The WAL files that a new standby finds in its archive.
///
/// A segment of another cluster occupies the name of the right one, and the standby waits for that without
/// end. So the user has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveContent {
    /// The archive directory.
    pub archive: PathBuf,
    /// The number of WAL files in it.
    pub files: usize,
    /// The number of segments per cluster, by system identifier. A segment whose first page can't be read is
    /// not counted.
    pub segments: BTreeMap<u64, usize>,
    /// The cluster of the data directory, if it holds one already.
    pub cluster: Option<u64>,
}

impl ArchiveContent {
    pub(super) fn of(
        archive: &Archive,
        cluster: Option<u64>,
    ) -> Result<ArchiveContent, ArchiveError> {
        let names = archive.names()?;
        let segments = count_by_cluster(archive, &names)?;
        Ok(ArchiveContent {
            archive: archive.path().to_owned(),
            files: names.len(),
            segments,
            cluster,
        })
    }

    /// Whether another cluster's segments are in the archive.
    #[must_use]
    pub fn has_other_clusters(&self) -> bool {
        self.segments.len() > 1 || self.foreign_segments() > 0
    }

    fn foreign_segments(&self) -> usize {
        let Some(cluster) = self.cluster else { return 0 };
        self.segments.iter().filter(|(id, _)| **id != cluster).map(|(_, count)| count).sum()
    }
}

/// One line for the user.
impl fmt::Display for ArchiveContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (files, archive) = (self.files, self.archive.display());
        let clusters: Vec<String> = self.segments.keys().map(u64::to_string).collect();
        let clusters = clusters.join(", ");
        match (self.cluster, self.foreign_segments()) {
            (Some(cluster), foreign) if foreign > 0 => write!(
                f,
                "{foreign} of {files} WAL files in \"{archive}\" do not belong to the standby's cluster ({cluster}); system identifiers found: {clusters}. HINT: move the others away, or the standby waits without end for its own files"
            ),
            _ if self.segments.len() > 1 => write!(
                f,
                "{files} WAL files in \"{archive}\" belong to several clusters (system identifiers {clusters}). HINT: move those away that do not belong to the primary's"
            ),
            _ if self.segments.is_empty() => {
                write!(f, "{files} WAL files are kept in \"{archive}\"")
            }
            _ => write!(
                f,
                "{files} WAL files of the cluster {clusters} are kept in \"{archive}\". HINT: move them away if that is not the primary's system identifier"
            ),
        }
    }
}

fn count_by_cluster(
    archive: &Archive,
    names: &[WalFileName],
) -> Result<BTreeMap<u64, usize>, ArchiveError> {
    let mut found = BTreeMap::new();
    for name in names.iter().filter(|name| matches!(name, WalFileName::Segment(_))) {
        let Some(file) = archive.find(*name)? else { continue };
        let Ok(page) = first_page(file) else { continue };
        if let Some(long) = PageHeader::parse(&page).ok().and_then(|header| header.long) {
            *found.entry(long.system_identifier).or_default() += 1;
        }
    }
    Ok(found)
}
