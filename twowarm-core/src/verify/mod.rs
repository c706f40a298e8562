//! Verifying an archive: whether every byte of its WAL replays, and if not, why.
//!
//! ```
//! use twowarm_core::verify::{FindingKind, VerifyArchive};
//!
//! # let archive = tempfile::tempdir()?;
//! std::fs::write(archive.path().join("000000010000000000000001"), "not WAL")?;
//! let verdict = VerifyArchive::new(archive.path()).run(&mut |progress| println!("{progress:?}"))?;
//! assert!(!verdict.is_sound());
//! assert_eq!(verdict.findings[0].kind, FindingKind::NotTheSegment);
//! assert_eq!(verdict.findings[0].file, "000000010000000000000001");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod crossings;
mod finding;
mod forks;
mod histories;
mod lineage;
mod listing;
mod parallel;
mod segment_file;
#[cfg(test)]
mod tests;
mod texts;

use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

pub use finding::{Finding, FindingKind};

use crate::archive::{Archive, ArchiveError, Given, next_needed};
use crate::data_directory::{IdentityError, identity};
use crate::wal::{Expected, Lsn, SegmentName, TimelineId, WalFileName};
use lineage::Lineages;
use listing::Listing;
use parallel::in_parallel;
use segment_file::SegmentFile;
use texts::Texts;

/// Checks every file of an archive, and that the WAL continues from each segment into the next.
///
/// The archive may be in use: files that are removed during the check are ignored, and so are segments that arrive.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifyArchive {
    /// The archive directory.
    pub archive: PathBuf,
    /// What is known about the cluster. Default: nothing; then the system identifier is that in the archive's
    /// `.owner` file, and what that does not tell is what most segments have.
    pub cluster: Expected,
    /// The segment in which the server that uses the archive would start to replay. A gap before it is explained in the
    /// finding. Default: not known.
    pub needed_from: Option<SegmentName>,
    /// How many segments are read at the same time. Default: the number of processors.
    pub threads: usize,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// The number of segments that were checked.
    pub checked: usize,
    /// The number of segments in the archive.
    pub segments: usize,
    /// The bytes that were read.
    pub bytes: u64,
}

/// What was found in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// The number of segments in the archive, without `.partial` files.
    pub segments: usize,
    /// The bytes that were read.
    pub bytes: u64,
    /// Everything that is wrong, by file name.
    pub findings: Vec<Finding>,
    /// If nothing is wrong: the WAL that replays, for each timeline that has segments.
    pub stretches: Vec<Stretch>,
    /// The segments that no base copy needs, if there are any.
    pub behind: Option<BehindOldestCopy>,
}

/// WAL of one timeline and its ancestors that replays without an interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stretch {
    /// The timeline on which it ends.
    pub timeline: TimelineId,
    /// The start of its first record.
    pub from: Lsn,
    /// The end of its last complete record.
    pub to: Lsn,
    /// The first segment.
    pub first: SegmentName,
    /// The last segment.
    pub last: SegmentName,
    /// The number of segments.
    pub segments: usize,
}

/// Segments older than the oldest base copy whose backup history file is in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BehindOldestCopy {
    /// The segment in which that base copy starts.
    pub start: SegmentName,
    /// The number of older segments.
    pub segments: usize,
}

impl Verdict {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

impl VerifyArchive {
    /// A verification with the defaults.
    #[must_use]
    pub fn new(archive: impl Into<PathBuf>) -> VerifyArchive {
        let threads = available_parallelism().map_or(1, usize::from);
        let (cluster, needed_from) = (Expected::default(), None);
        VerifyArchive { archive: archive.into(), cluster, needed_from, threads }
    }

    /// The verification of the archive of a node with this data directory.
    ///
    /// # Errors
    /// If a file of the data directory can't be read.
    pub fn of_node(
        archive: impl Into<PathBuf>,
        data_directory: &Path,
    ) -> Result<VerifyArchive, IdentityError> {
        let mut verify = VerifyArchive::new(archive);
        if let Some(found) = identity(data_directory)? {
            verify.cluster = found.expected();
            let control = found.control.as_ref();
            let needed = |control| next_needed(Given::Nothing, control, data_directory);
            verify.needed_from = control.map(needed);
        }
        Ok(verify)
    }

    /// Checks the archive. `progress` is called after each segment.
    ///
    /// # Errors
    /// If the archive directory can't be read. A file that can't be read is a finding.
    pub fn run(&self, progress: &mut dyn FnMut(VerifyProgress)) -> Result<Verdict, ArchiveError> {
        let archive = Archive::open(&self.archive)?;
        let Listing { names, mut findings } = Listing::read(&archive)?;
        let bound = match archive.binding() {
            Ok(bound) => bound.map(|bound| bound.system_identifier),
            Err(error @ ArchiveError::BadBinding { .. }) => {
                findings.push(Finding::new(FindingKind::Unreadable, ".owner", error));
                None
            }
            Err(error) => return Err(error),
        };
        let expected = Expected {
            system_identifier: self.cluster.system_identifier.or(bound),
            ..self.cluster
        };
        let is_segment =
            |name: &WalFileName| matches!(name, WalFileName::Segment(_) | WalFileName::Partial(_));
        let (segments, texts): (Vec<_>, Vec<_>) = names.into_iter().partition(is_segment);
        let mut so_far = VerifyProgress { checked: 0, segments: segments.len(), bytes: 0 };
        let files = in_parallel(
            self.threads,
            &segments,
            |&name| SegmentFile::check(&archive, name, &expected),
            |file: &Option<SegmentFile>| {
                so_far.checked += 1;
                so_far.bytes += file.as_ref().map_or(0, |file| file.bytes);
                progress(so_far);
            },
        );
        let mut files: Vec<SegmentFile> = files.into_iter().flatten().collect();
        segment_file::keep_one_cluster(&mut files);
        let known = files.iter().find_map(|file| file.header);
        let texts = Texts::read(&archive, &texts, known.and_then(|header| header.major()));
        findings.extend(texts.findings);
        if let Some(header) = known {
            let lineages = Lineages::new(&files, &texts.histories, header.layout());
            findings.extend(lineages.findings(&mut files, self.needed_from));
            findings.extend(forks::findings(&archive, &files, &texts.histories));
            findings.extend(crossings::findings(&archive, &files, &lineages, self.threads));
        } else if files.is_empty() {
            let why = "the archive contains no segment";
            findings.push(Finding::new(FindingKind::Empty, ".", why));
        }
        findings.extend(files.iter().flat_map(|file| file.findings.iter().cloned()));
        findings.sort_unstable_by(|a, b| (&a.file, &a.detail).cmp(&(&b.file, &b.detail)));
        findings.dedup();
        let stretches = match known {
            Some(header) if findings.is_empty() => {
                Lineages::new(&files, &texts.histories, header.layout()).stretches(&files)
            }
            _ => Vec::new(),
        };
        let present = || files.iter().filter_map(SegmentFile::segment);
        let behind = texts.oldest_copy.and_then(|start| {
            let segments = present().filter(|name| name.place < start.place).count();
            (segments > 0).then_some(BehindOldestCopy { start, segments })
        });
        Ok(Verdict {
            segments: present().count(),
            bytes: so_far.bytes,
            findings,
            stretches,
            behind,
        })
    }
}
