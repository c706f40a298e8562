use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::durable;
use crate::file_error::{FileError, if_exists};
use crate::receipt::Receipt;
use crate::version::PgMajor;
use crate::wal::SegmentName;

/// Marks every segment in the server's WAL directory that has the receipt's timeline, or an earlier one, as archived.
///
/// Otherwise the server would archive some of them after its next promotion: those that are marked as ready, although the
/// node with the receipt has them; the receipt's segment, which it never marked, under its plain name although it is
/// incomplete; and, through 9.4, recycled segments with names after that, whose content is refused for ever.
pub(super) fn mark_archived(
    data_directory: &Path,
    major: PgMajor,
    receipt: &Receipt,
) -> Result<(), FileError> {
    let wal = data_directory.join(major.wal_directory());
    let directory = wal.join("archive_status");
    durable::create_directory(&directory)?;
    let is_older = |segment: &SegmentName| segment.timeline <= receipt.timeline;
    for name in names(&wal)? {
        if let Some(segment) = name.parse().ok().filter(is_older) {
            let done = done_file(&directory, segment);
            File::create(&done).map_err(FileError::of("create", &done))?;
        }
    }
    for name in names(&directory)? {
        let segment = name.strip_suffix(".ready").and_then(|name| name.parse().ok());
        if let Some(segment) = segment.filter(is_older) {
            let (ready, done) = (directory.join(&name), done_file(&directory, segment));
            let renamed = if_exists(fs::rename(&ready, done));
            renamed.map_err(FileError::of("rename", &ready))?;
        }
    }
    durable::sync_directory(&directory)
}

fn done_file(directory: &Path, segment: SegmentName) -> PathBuf {
    directory.join(format!("{segment}.done"))
}

fn names(directory: &Path) -> Result<Vec<String>, FileError> {
    let list = || FileError::of("list", directory);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(list())? {
        names.extend(entry.map_err(list())?.file_name().into_string());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_segments_of_the_old_timelines_are_marked() {
        let dir = tempfile::tempdir().unwrap();
        let receipt = "version=1\nsystem_identifier=7\ntimeline=2\nsegment=000000020000000000000005\n\
            checkpoint=0/5000028\nend=0/50000A0\nnode_id=near-node-id\nlabel=db1\n\
            id=0123456789abcdef0123456789abcdef\n";
        let receipt: Receipt = receipt.parse().unwrap();
        let directory = dir.path().join("pg_wal/archive_status");
        fs::create_dir_all(&directory).unwrap();
        for name in [
            "000000010000000000000003.ready",
            "000000020000000000000004.ready",
            "000000030000000000000004.ready",
            "00000002.history.ready",
            "000000010000000000000002.done",
            "../000000020000000000000005",
            "../000000020000000000000009",
            "../000000030000000000000006",
            "../00000003.history",
        ] {
            fs::write(directory.join(name), "").unwrap();
        }
        for _ in 0..2 {
            mark_archived(dir.path(), "15".parse().unwrap(), &receipt).unwrap();
            let names = fs::read_dir(&directory).unwrap();
            let mut names: Vec<_> =
                names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            let expected = [
                "000000010000000000000002.done",
                "000000010000000000000003.done",
                "00000002.history.ready",
                "000000020000000000000004.done",
                "000000020000000000000005.done",
                "000000020000000000000009.done",
                "000000030000000000000004.ready",
            ];
            assert_eq!(names, expected);
        }
    }
}
