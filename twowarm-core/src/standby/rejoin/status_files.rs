use std::fs;
use std::path::Path;

use crate::durable;
use crate::file_error::{FileError, if_exists};
use crate::receipt::Receipt;
use crate::version::PgMajor;
use crate::wal::{SegmentName, WalFileName};

/// Marks the segments up to the receipt's as archived, as they are on the node that has the receipt.
///
/// Otherwise the server would archive them after its next promotion: those that are marked as ready, and the receipt's
/// segment, which it never marked, under its plain name although it is incomplete.
pub(super) fn mark_archived(
    data_directory: &Path,
    major: PgMajor,
    receipt: &Receipt,
) -> Result<(), FileError> {
    let directory = data_directory.join(major.wal_directory()).join("archive_status");
    durable::create_directory(&directory)?;
    let list = || FileError::of("list", &directory);
    for entry in fs::read_dir(&directory).map_err(list())? {
        let name = entry.map_err(list())?.file_name();
        let Some(segment) = ready_segment(&name.to_string_lossy()) else { continue };
        if segment.timeline <= receipt.timeline && segment.place <= receipt.segment.place {
            let (ready, done) = (directory.join(&name), done_file(&directory, segment));
            let renamed = if_exists(fs::rename(&ready, done));
            renamed.map_err(FileError::of("rename", &ready))?;
        }
    }
    let done = done_file(&directory, receipt.segment);
    if if_exists(fs::symlink_metadata(&done)).map_err(FileError::of("look for", &done))?.is_none() {
        durable::write(&done, b"")?;
    }
    durable::sync_directory(&directory)
}

fn done_file(directory: &Path, segment: SegmentName) -> std::path::PathBuf {
    directory.join(format!("{segment}.done"))
}

fn ready_segment(name: &str) -> Option<SegmentName> {
    match name.strip_suffix(".ready")?.parse() {
        Ok(WalFileName::Segment(segment)) => Some(segment),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_segments_of_the_receipt_are_marked() {
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
            "000000020000000000000006.ready",
            "000000030000000000000004.ready",
            "00000002.history.ready",
            "000000010000000000000002.done",
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
                "000000020000000000000006.ready",
                "000000030000000000000004.ready",
            ];
            assert_eq!(names, expected);
        }
    }
}
