use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use twowarm_core::testbed::{LIMIT, Node, StopMode, Testbed, names_in, wait_until};

pub const COMMAND: &str = env!("CARGO_BIN_EXE_verifyArchive");

/// An archive of more than 200 segments of 1 MB with records of all lengths, written by a server.
pub struct Archive {
    _node: Node,
    pub path: PathBuf,
    /// The segments, in order.
    pub names: Vec<String>,
}

impl Archive {
    pub fn of_200_segments() -> Archive {
        let node = Testbed::new().unwrap().node("db1").unwrap();
        node.initdb_small_segments().unwrap();
        let path = node.home().join("wal");
        node.archive_into(&path).unwrap();
        node.start().unwrap();
        // The last one needs more than two segments.
        let lengths =
            "select 1 + n * 37 % 9000 from generate_series(1, 50000) n union all select 3000000";
        let emit = format!(
            "select count(pg_logical_emit_message(false, 'x', repeat('y', length))) from ({lengths}) l (length)"
        );
        node.sql(&emit).unwrap();
        let last = node.switch_wal().unwrap();
        node.wait_until_archived(&last).unwrap();
        wait_until("the last segment to arrive", LIMIT, || path.join(&last).exists()).unwrap();
        node.stop(StopMode::Fast).unwrap();
        let names: Vec<String> =
            names_in(&path).into_iter().filter(|name| name.len() == 24).collect();
        assert!(names.len() >= 200, "{}", names.len());
        Archive { _node: node, path, names }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn verify(&self, options: &[&str]) -> Output {
        Command::new(COMMAND).arg(&self.path).args(options).output().unwrap()
    }

    /// Changes one byte of a file.
    pub fn flip(&self, name: &str, at: u64) {
        let file = File::options().read(true).write(true).open(self.file(name)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x20], at).unwrap();
    }

    /// How many bytes of a record from the segment before a segment begins with.
    pub fn missing(&self, name: &str) -> u32 {
        let page = fs::read(self.file(name)).unwrap();
        let continues = page[2] & 1 == 1;
        if continues { u32::from_le_bytes(*page[16..].first_chunk().unwrap()) } else { 0 }
    }
}
