//! What becomes of a file that comes in under the name of another.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use crate::archive::{ArchiveError, Standing};
use crate::data_directory::{Reached, control_file};
use crate::file_error::FileError;
use crate::ship::content::{BadContent, Content, check_content};
use crate::ship::wire::Hello;
use crate::wal::{
    Completeness, Lsn, SegmentHeader, SegmentName, TextVerdict, WalFileName, completeness,
    is_same_segment,
};

/// What the file that stands under a name is to the one that came in, which has been checked. A segment
/// in which a later timeline `forks` may be unfinished for good.
pub(super) fn judge(
    name: WalFileName,
    incoming: (&mut File, &Content),
    stored: (&mut File, &Path),
    hello: &Hello,
    forks: impl Fn() -> Result<bool, ArchiveError>,
) -> Result<Standing, ArchiveError> {
    let ((incoming, content), (stored, path)) = (incoming, stored);
    let failed = || FileError::of::<io::Error>("read", path);
    let bytes = stored.metadata().map_err(failed())?.len();
    stored.rewind().map_err(failed())?;
    let stored_content = match check_content(name, bytes, stored, hello) {
        Ok(content) => content,
        Err(BadContent::Io { source, .. }) => return Err(failed()(source).into()),
        Err(bad) => return Ok(Standing::Foreign(bad.to_string())),
    };
    match (content, stored_content) {
        (Content::Text(TextVerdict::Sound), Content::Text(TextVerdict::Unneeded(bad))) => {
            Ok(Standing::Foreign(bad.to_string()))
        }
        // Nobody needs it, so it must not hold up what its server archives next.
        (Content::Text(TextVerdict::Unneeded(_)), _) => Ok(Standing::Same),
        (Content::Segment(segment, header), _) => {
            let mut rewind = || stored.rewind().and_then(|()| incoming.rewind());
            rewind().map_err(failed())?;
            if is_same_segment(*segment, incoming, stored).map_err(failed())? {
                return Ok(Standing::Same);
            }
            if matches!(name, WalFileName::Partial(_)) {
                return Ok(Standing::Other);
            }
            match goes_on(*segment, header, incoming, stored).map_err(failed())? {
                Some(at) if !forks()? => {
                    Ok(Standing::Foreign(format!("it is unfinished: its WAL ends at {at}")))
                }
                _ => Ok(Standing::Other),
            }
        }
        _ => Ok(Standing::Other),
    }
}

/// Where the stored file's WAL ends in the middle, if the whole segment that came in has the same up to
/// there and goes on. 2warm's flushPrimary copied the segment that a primary was writing.
fn goes_on(
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
    let beginning = |file: &mut File| {
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).map(|_| bytes)
    };
    Ok((beginning(stored)? == beginning(incoming)?).then_some(at))
}

/// What to do about two different files that can both have the name.
pub(super) fn advice(name: WalFileName, stored: &Path, data_directory: Option<&Path>) -> String {
    let path = stored.display();
    let control = data_directory.and_then(|directory| control_file(directory).ok().flatten());
    let (WalFileName::Segment(segment), Some(control)) = (name, control) else {
        return format!("find out which of the two is right, and remove {path} if it is wrong");
    };
    let reached = Reached::of(&control);
    let position = reached.position;
    if reached.is_in_or_past(segment, &control) {
        format!(
            "this node has replayed the stored one already (its pg_control is at {position}), and may have diverged from the sender: if the sender's segment is the right one, this node needs a new base copy: move {path} away and run copyToStandby on the primary"
        )
    } else {
        format!(
            "this node has not replayed the stored one yet (its pg_control is at {position}): compare {path} with the sender's (pg_waldump shows their records), and if the sender's is the right one, remove {path}; the sender's next attempt is then stored"
        )
    }
}
