use std::fs::File;

use super::content::{Content, check_content, check_records};
use super::wire::Hello;
use super::{ShipError, WalFile};
use crate::file_error::FileError;
use crate::wal::{
    BadText, Completeness, Lsn, StopReason, TextVerdict, UnknownRecords, WalFileName,
};

/// A defect of a file that is shipped nevertheless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// A `.backup` file that is damaged, in a version whose servers do not read such files.
    #[error("it is damaged, and no server of this version reads it: {0}")]
    UnneededText(BadText),
    /// A segment that its server did not finish, as at a promotion before 9.5.
    #[error("it is incomplete: WAL ends at {at}: {why}")]
    Incomplete {
        /// The end of its WAL.
        at: Lsn,
        /// What is wrong there.
        why: StopReason,
    },
    /// A segment whose records can't be checked.
    #[error("{0}")]
    Unchecked(UnknownRecords),
    /// A damaged segment, where the policy is to ship it.
    #[error(
        "it is damaged: WAL cannot be read beyond {at}: {why}. The standby stops there and needs a new base copy (copyToStandby)"
    )]
    Damaged {
        /// The end of its readable WAL.
        at: Lsn,
        /// What is wrong there.
        why: StopReason,
    },
}

/// What is checked before a file is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checks {
    /// Whether a segment's records are checked, in addition to the header of its first page.
    pub(crate) records: bool,
    /// Whether a segment with damaged records is shipped nevertheless.
    pub(crate) ship_damaged: bool,
}

/// Checks a file before it is sent: a standby that replayed a file of another content than its name says would
/// end its recovery. A damaged segment stops every standby, and may still be repaired here.
pub(crate) fn check(
    file: &WalFile,
    hello: &Hello,
    checks: Checks,
) -> Result<Option<Defect>, ShipError> {
    let path = || file.path.clone();
    let mut open = File::open(&file.path).map_err(FileError::of("open", &file.path))?;
    let bytes = open.metadata().map_err(FileError::of("read", &file.path))?.len();
    let content = check_content(file.name, bytes, &mut open, hello)
        .map_err(|error| ShipError::Content { path: path(), error })?;
    let (segment, header) = match content {
        Content::Text(TextVerdict::Sound) => return Ok(None),
        Content::Text(TextVerdict::Unneeded(bad)) => return Ok(Some(Defect::UnneededText(bad))),
        // A `.partial` file is meant to be incomplete, and no server replays it under that name.
        Content::Segment(..) if matches!(file.name, WalFileName::Partial(_)) => return Ok(None),
        Content::Segment(..) if !checks.records => return Ok(None),
        Content::Segment(segment, header) => (segment, header),
    };
    Ok(match check_records(&file.path, segment, &header)? {
        Completeness::Whole => None,
        Completeness::Unknown(why) => Some(Defect::Unchecked(why)),
        Completeness::Unfinished { at, why } => Some(Defect::Incomplete { at, why }),
        Completeness::Damaged { at, why } if checks.ship_damaged => {
            Some(Defect::Damaged { at, why })
        }
        Completeness::Damaged { at, why } => {
            return Err(ShipError::Damaged { path: path(), name: segment, at, why });
        }
    })
}
