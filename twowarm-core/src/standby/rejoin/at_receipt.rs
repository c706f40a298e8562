use std::fs::File;
use std::path::{Path, PathBuf};

use super::RejoinError;
use crate::archive::{has_segment, wal_directories};
use crate::data_directory::COPY_MARKER;
use crate::file_error::{FileError, if_exists};
use crate::receipt::{NoTail, Receipt, Tail};
use crate::wal::{ControlFile, Expected};

/// Checks that a cluster is exactly where flushPrimary shut it down: by pg_control, whose last checkpoint must be the
/// shutdown checkpoint of the receipt, and by the WAL, which must end with that record. Returns the path of the segment.
pub(super) fn check(
    data_directory: &Path,
    control: &ControlFile,
    receipt: &Receipt,
) -> Result<PathBuf, RejoinError> {
    let differs = |why| Err(RejoinError::NotAtReceipt { end: receipt.end, why });
    if let Some(why) = receipt.difference(control) {
        return differs(why);
    }
    for file in ["backup_label", COPY_MARKER] {
        let path = data_directory.join(file);
        let found = if_exists(path.symlink_metadata()).map_err(FileError::of("look for", &path))?;
        if found.is_some() {
            return differs(format!("\"{}\" exists, from a base backup", path.display()));
        }
    }
    check_wal(data_directory, control, receipt)
}

fn check_wal(
    data_directory: &Path,
    control: &ControlFile,
    receipt: &Receipt,
) -> Result<PathBuf, RejoinError> {
    let differs = |why| Err(RejoinError::NotAtReceipt { end: receipt.end, why });
    let (layout, expected) = (control.layout(), Expected::of(control));
    let segment = receipt.segment;
    if !receipt.is_within_segment(layout) {
        return differs(format!("the receipt's positions are not in {segment}"));
    }
    for wal in wal_directories(data_directory) {
        let path = wal.join(segment.to_string());
        let Some(mut file) = if_exists(File::open(&path)).map_err(FileError::of("open", &path))?
        else {
            continue;
        };
        let found = match Tail::find(&mut file, segment, &expected) {
            Ok(found) => found,
            Err(NoTail::Io(error)) => return Err(FileError::of("read", &path)(error).into()),
            Err(why) => return differs(format!("\"{}\": {why}", path.display())),
        };
        if !found.is_of(receipt) {
            return differs(format!("the WAL in \"{}\" ends at {}", path.display(), found.end));
        }
        if let Some(next) = layout.next(segment).filter(|next| has_segment(&wal, *next, &expected))
        {
            return differs(format!("there is WAL in the next segment, {next}"));
        }
        return Ok(path);
    }
    differs(format!("{segment} is not in the server's WAL directory"))
}
