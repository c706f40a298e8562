//! An archive and a target in $TMPDIR, whose file system is measured.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::Outcome;

/// Bytes of a segment.
pub const SEGMENT: usize = 16 << 20;

/// The directory of a standby without its server.
pub struct Scratch(TempDir);

impl Scratch {
    pub fn new() -> Outcome<Scratch> {
        let scratch = Scratch(tempfile::Builder::new().prefix("twowarm-bench-").tempdir()?);
        fs::create_dir(scratch.archive())?;
        Ok(scratch)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn archive(&self) -> PathBuf {
        self.path().join("archive")
    }

    pub fn target(&self) -> PathBuf {
        self.path().join("RECOVERYXLOG")
    }

    /// A command that runs here, without a dialect in the environment.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env_remove("PG_STANDBY_DIALECT");
        command
    }

    /// Removes the restored file, as the server does before it requests the next one.
    pub fn taken(&self) -> io::Result<()> {
        fs::remove_file(self.target()).or_else(|e| match e.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(e),
        })
    }
}

/// The name of a segment on timeline 1, by its number from the beginning of the WAL.
pub fn segment_name(number: u32) -> String {
    format!("00000001{:08X}{:08X}", number >> 8, number & 0xFF)
}

/// Writes a segment that is valid as far as pg_standby checks, and arrived an hour ago.
pub fn write_segment(path: &Path) -> Outcome<()> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(SEGMENT);
    while bytes.len() < SEGMENT {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    // The segment size in the long page header, which pg_standby reads from 11 on.
    bytes[32..36].copy_from_slice(&(SEGMENT as u32).to_le_bytes());
    let mut file = File::create(path)?;
    file.write_all(&bytes)?;
    // Not to be written out while something is measured.
    file.sync_all()?;
    file.set_modified(SystemTime::now() - Duration::from_secs(3600))?;
    Ok(())
}
