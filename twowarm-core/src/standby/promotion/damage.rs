use std::fmt;
use std::path::Path;
use std::time::Instant;

use super::PromotionError;
use crate::archive::{Archive, Given, has_segment};
use crate::file_error::FileError;
use crate::restore::ends_recovery;
use crate::wal::{ControlFile, Expected, SegmentName};

/// A segment that a standby still needs is damaged or incomplete, or is not the segment of its name, and a later one is
/// in the archive. A failover would end recovery there and lose the WAL of the later ones.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The segment in which recovery would end.
    pub segment: SegmentName,
    /// The first later one in the archive.
    pub found: SegmentName,
    /// What is wrong, as one line of text.
    pub why: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be replayed ({}) but {} is here", self.segment, self.why, self.found)
    }
}

/// What is known about the segments that a standby still needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Checked {
    pub damage: Option<Damage>,
    /// The first one that was not checked in time.
    pub unchecked: Option<SegmentName>,
}

/// Checks the segments that a standby still needs, in order, until this time.
pub(super) fn check(
    archive: &Archive,
    given: Given,
    control: &ControlFile,
    data_directory: &Path,
    until: Instant,
) -> Result<Checked, PromotionError> {
    let needed = archive.needed_by_standby(given, control, data_directory)?;
    let mut checked = Checked::default();
    // Nothing is lost by damage to the last one.
    for (index, &segment) in needed.iter().enumerate().take(needed.len().saturating_sub(1)) {
        if Instant::now() >= until {
            checked.unchecked = Some(segment);
            break;
        }
        let why = ends_recovery(archive.path(), data_directory, control, segment)
            .map_err(FileError::of("read", &archive.path().join(segment.to_string())))?;
        let expected = Expected::of(control);
        let is_here = |name: &&SegmentName| has_segment(archive.path(), **name, &expected);
        let later = needed[index + 1..].iter().find(is_here);
        if let (Some(why), Some(&found)) = (why, later) {
            checked.damage = Some(Damage { segment, found, why: why.replace('\n', " ") });
            break;
        }
    }
    Ok(checked)
}
