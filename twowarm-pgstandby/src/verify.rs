//! `--verify`: checks a segment's content, where the original checks only its size.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use twowarm_core::data_directory::identity;
use twowarm_core::restore::Found;
use twowarm_core::wal::{Expected, SegmentName, SegmentWalk, WalEnd, check_segment_header};

use crate::messages::say;

/// Checks a segment's header against the server's cluster, and its records.
#[derive(Debug)]
pub struct Verifier {
    name: SegmentName,
    expected: Expected,
    refused: Option<FileVersion>,
}

/// Enough of a file's metadata to see that it was changed or replaced. The modification time alone does not show it:
/// a file that is sent again has the same one.
#[derive(Debug, PartialEq, Eq)]
struct FileVersion {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileVersion {
    fn of(m: &fs::Metadata) -> FileVersion {
        FileVersion {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }
}

impl Verifier {
    /// A check of the segment `name` against the cluster in `data_directory`. It is an error if the
    /// cluster's pg_control can't be read, since then nothing could be verified.
    pub fn new(name: SegmentName, data_directory: &Path) -> Result<Verifier, String> {
        let cluster = identity(data_directory).map_err(|e| format!("--verify: {e}"))?;
        let expected = cluster.map(|cluster| cluster.expected()).unwrap_or_default();
        Ok(Verifier { name, expected, refused: None })
    }

    /// Ready, or still arriving: a refused segment is waited for as if it were incomplete.
    pub fn check(&mut self, path: &Path) -> Found {
        let version = fs::metadata(path).ok().map(|metadata| FileVersion::of(&metadata));
        if version.is_some() && version == self.refused {
            return Found::Arriving;
        }
        match self.examine(path) {
            Ok(()) => Found::Ready,
            Err(problem) => {
                say(&format!("--verify: {} is not restored: {problem}", path.display()));
                self.refused = version;
                Found::Arriving
            }
        }
    }

    fn examine(&self, path: &Path) -> Result<(), String> {
        let failed = |e: std::io::Error| e.to_string();
        let mut file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut page = vec![0; 8192];
        file.read_exact(&mut page).map_err(failed)?;
        let header = check_segment_header(&page, self.name, bytes, &self.expected)
            .map_err(|e| e.to_string())?;
        if let Some(why) = header.unknown_records() {
            say(&format!("WARNING: --verify of {}: {why}", self.name));
        }
        let mut walk = SegmentWalk::new(&header, self.name);
        let block = header.block_size() as usize;
        let mut rest = page.as_slice().chain(file);
        let mut block = vec![0; block];
        while walk.ended().is_none() {
            match rest.read_exact(&mut block) {
                Ok(()) => walk.push(&block),
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => break,
                Err(e) => return Err(failed(e)),
            }
        }
        match walk.finish() {
            WalEnd::Stops { at, why } => {
                Err(format!("segment is incomplete or damaged: WAL ends at {at}: {why}"))
            }
            _ => Ok(()),
        }
    }
}
