//! Whether a server would replay an archived segment to its end.

use std::fs::File;
use std::io::{self, Seek};
use std::path::Path;

use super::crossing::{Checked, Crossing, Earlier};
use crate::data_directory::redo_place;
use crate::file_error::if_exists;
use crate::wal::{
    ControlFile, Expected, SegmentName, SegmentWalk, WalEnd, push_pages, read_segment_header,
};

/// Why recovery by the server of a data directory would end in or before this segment of an archive; `None` if it
/// would not, or if there is no such file.
pub(crate) fn ends_recovery(
    archive: &Path,
    data_directory: &Path,
    control: &ControlFile,
    name: SegmentName,
) -> io::Result<Option<String>> {
    let Some(mut file) = if_exists(File::open(archive.join(name.to_string())))? else {
        return Ok(None);
    };
    let header = match read_segment_header(&mut file, name, &Expected::of(control))? {
        Ok(header) => header,
        Err(why) => return Ok(Some(why.to_string())),
    };
    let mut walk = SegmentWalk::new(&header, name);
    push_pages(&mut walk, &mut file, &header, |_| false)?;
    let links_to = walk.links_to();
    if let WalEnd::Stops { at, why } = walk.finish() {
        return Ok(Some(format!("WAL ends at {at}: {why}")));
    }
    // Replay starts after the record that crosses into its first segment.
    if name.place <= redo_place(data_directory, control) {
        return Ok(None);
    }
    file.rewind()?;
    let mut segment = Checked { file: &mut file, name, header };
    Ok(match (Earlier { archive, data_directory }).check(&mut segment, links_to) {
        Crossing::Damaged { at, why } => Some(format!("WAL ends at {at}: {why}")),
        Crossing::Sound | Crossing::Within | Crossing::Unchecked(_) => None,
    })
}
