//! An incoming file whose name is taken.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use crate::archive::{ArchiveError, Existing, have_same_bytes};
use crate::data_directory::{Reached, control_file};
use crate::file_error::FileError;
use crate::ship::content::{BadContent, Content, check_content};
use crate::ship::wire::Hello;
use crate::wal::{
    Completeness, Lsn, SegmentHeader, SegmentName, TextVerdict, WalFileName, completeness,
    is_same_segment,
};

/// Compares the existing file of a name with an incoming one, which has been checked. A segment in which a
/// later timeline `forks` may be incomplete for good.
pub(super) fn compare(
    name: WalFileName,
    incoming: (&mut File, &Content),
    stored: (&mut File, &Path),
    hello: &Hello,
    forks: impl Fn() -> Result<bool, ArchiveError>,
) -> Result<Existing, ArchiveError> {
    let ((incoming, content), (stored, path)) = (incoming, stored);
    let failed = || FileError::of::<io::Error>("read", path);
    let bytes = stored.metadata().map_err(failed())?.len();
    stored.rewind().map_err(failed())?;
    let stored_content = match check_content(name, bytes, stored, hello) {
        Ok(content) => content,
        Err(BadContent::Io { error, .. }) => return Err(failed()(error).into()),
        Err(bad) => return Ok(Existing::Foreign(bad.to_string())),
    };
    match (content, stored_content) {
        (Content::Text(TextVerdict::Sound), Content::Text(TextVerdict::Unneeded(bad))) => {
            Ok(Existing::Foreign(bad.to_string()))
        }
        // No server needs it, and it must not block the files that its server archives next.
        (Content::Text(TextVerdict::Unneeded(_)), _) => Ok(Existing::Same),
        (Content::Segment(segment, header), _) => {
            let mut rewind = || stored.rewind().and_then(|()| incoming.rewind());
            rewind().map_err(failed())?;
            if is_same_segment(*segment, incoming, stored).map_err(failed())? {
                return Ok(Existing::Same);
            }
            if matches!(name, WalFileName::Partial(_)) {
                let has_all = contains(*segment, header, incoming, stored).map_err(failed())?;
                return Ok(if has_all { Existing::Same } else { Existing::Different });
            }
            match continued_at(*segment, header, incoming, stored).map_err(failed())? {
                Some(at) if !forks()? => {
                    Ok(Existing::Foreign(format!("it is incomplete: WAL ends at {at}")))
                }
                _ => Ok(Existing::Different),
            }
        }
        _ => Ok(Existing::Different),
    }
}

/// Whether the stored file has all records of an incoming one that ends in the middle. What is behind its end is not WAL: on
/// a node that streamed it is that of the segment whose file was recycled, and flushPrimary ships zeros there.
fn contains(
    name: SegmentName,
    header: &SegmentHeader,
    incoming: &mut File,
    stored: &mut File,
) -> io::Result<bool> {
    incoming.rewind()?;
    stored.rewind()?;
    let Completeness::Unfinished { at, .. } = completeness(name, header, incoming)? else {
        return Ok(false);
    };
    incoming.rewind()?;
    let length = at.0.saturating_sub(header.start().0);
    have_same_bytes(&mut incoming.take(length), &mut stored.take(length))
}

/// The position at which the stored file's WAL ends, if the incoming segment is complete and equal up to
/// there. 2warm's flushPrimary copied the segment that a primary was writing.
fn continued_at(
    name: SegmentName,
    header: &SegmentHeader,
    incoming: &mut File,
    stored: &mut File,
) -> io::Result<Option<Lsn>> {
    incoming.rewind()?;
    stored.rewind()?;
    let Completeness::Unfinished { at, .. } = completeness(name, header, stored)? else {
        return Ok(None);
    };
    if completeness(name, header, incoming)? != Completeness::Whole {
        return Ok(None);
    }
    incoming.rewind()?;
    stored.rewind()?;
    let length = at.0.saturating_sub(header.start().0);
    Ok(have_same_bytes(&mut incoming.take(length), &mut stored.take(length))?.then_some(at))
}

/// The remedy for two files whose different contents both match the name.
pub(super) fn advice(name: WalFileName, stored: &Path, data_directory: Option<&Path>) -> String {
    let path = stored.display();
    let control = data_directory.and_then(|directory| control_file(directory).ok().flatten());
    let (WalFileName::Segment(segment), Some(control)) = (name, control) else {
        return format!(
            "HINT: find out which of the two is right, and remove \"{path}\" if it is wrong"
        );
    };
    let reached = Reached::of(&control);
    let position = reached.position;
    if reached.is_in_or_past(segment, &control) {
        format!(
            "This node has replayed the stored one already (its pg_control is at {position}) and may have diverged from the sender. HINT: if the sender's segment is the right one, this node needs a new base copy: move \"{path}\" away and run copyToStandby on the primary"
        )
    } else {
        format!(
            "This node has not replayed the stored one yet (its pg_control is at {position}). HINT: compare \"{path}\" with the sender's (pg_waldump shows their records). If the sender's is the right one, remove \"{path}\"; the sender's next attempt will be stored"
        )
    }
}
