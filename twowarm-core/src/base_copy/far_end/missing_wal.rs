use std::fs::File;
use std::path::Path;

use super::FarEndError;
use crate::file_error::{FileError, if_exists};
use crate::ship::content::check_content;
use crate::ship::wire::{Hello, RefusalCode};
use crate::wal::{NotAWalFileName, WalFileName};

/// Which of these segments and backup history files are not in the archive. A file that is not the file of
/// its name, for example one of another cluster, is an error: the right one could not be stored.
pub(super) fn missing(
    archive: &Path,
    names: Vec<String>,
    cluster: &Hello,
) -> Result<Vec<String>, FarEndError> {
    let mut missing = Vec::new();
    for name in names {
        let file_name = match name.parse() {
            Ok(name @ (WalFileName::Segment(_) | WalFileName::Backup(..))) => name,
            _ => return Err(NotAWalFileName(name).into()),
        };
        let path = archive.join(&name);
        let file = if_exists(File::open(&path)).map_err(FileError::of("open", &path))?;
        let Some(mut file) = file else {
            missing.push(name);
            continue;
        };
        let found = file.metadata().map_err(FileError::of("read the attributes of", &path))?;
        if let Err(bad) = check_content(file_name, found.len(), &mut file, cluster) {
            let message = format!(
                "\"{}\" is not the WAL file that the copy requires: {bad}. HINT: move it away, so that the right one can be stored",
                path.display()
            );
            return Err(FarEndError::refusal(RefusalCode::CONFLICT, message));
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ship::wire::Purpose;
    use crate::wal::SegmentSize;

    const MIB: usize = 1024 * 1024;

    /// A segment of PostgreSQL 15 with a valid first page.
    fn segment(number: u64, system_identifier: u64) -> Vec<u8> {
        let mut bytes = vec![0; MIB];
        bytes[..8].copy_from_slice(&[0x10, 0xd1, 2, 0, 1, 0, 0, 0]);
        bytes[8..16].copy_from_slice(&(number * MIB as u64).to_le_bytes());
        bytes[24..32].copy_from_slice(&system_identifier.to_le_bytes());
        bytes[32..36].copy_from_slice(&(MIB as u32).to_le_bytes());
        bytes[36..40].copy_from_slice(&8192_u32.to_le_bytes());
        bytes
    }

    #[test]
    fn a_segment_of_another_cluster_is_an_error() {
        let archive = tempfile::tempdir().unwrap();
        let cluster = Hello {
            purpose: Purpose::BaseCopy,
            system_identifier: 77,
            segment_size: SegmentSize::new(MIB as u64).unwrap(),
            major: "15".parse().unwrap(),
            node_id: "n".parse().unwrap(),
            label: "l".into(),
            machine: None,
            relay_for: None,
            relayed_by: None,
            promoted_to: None,
        };
        let names = ["000000010000000000000003", "000000010000000000000004"];
        let ask = || missing(archive.path(), names.map(str::to_owned).to_vec(), &cluster);
        let put = |name: &str, bytes: &[u8]| fs::write(archive.path().join(name), bytes).unwrap();
        assert_eq!(ask().unwrap(), names);
        put(names[0], &segment(3, 77));
        assert_eq!(ask().unwrap(), &names[1..]);
        put(names[1], &segment(4, 77));
        assert!(ask().unwrap().is_empty());
        for wrong in [segment(4, 78), segment(5, 77), segment(4, 77)[..9].to_vec()] {
            put(names[1], &wrong);
            let error = ask().unwrap_err().to_string();
            assert!(error.contains(names[1]) && error.contains("move it away"), "{error}");
        }
        let backup = "000000010000000000000003.00000020.backup";
        let ask = |major: &str| {
            let cluster = Hello { major: major.parse().unwrap(), ..cluster.clone() };
            missing(archive.path(), vec![backup.into()], &cluster)
        };
        assert_eq!(ask("8.4").unwrap(), [backup]);
        put(backup, b"");
        assert!(ask("8.4").is_err());
        for bad in ["../x", "00000002.history"] {
            assert!(missing(archive.path(), vec![bad.into()], &cluster).is_err());
        }
    }
}
