//! A primary that was upgraded to an unknown, newer version can still archive.

use std::fs;
use std::path::Path;

use twowarm_core::testbed::{NEWER_MAJOR, Node, newer_control, newer_segment};

use crate::pair::{ONE, Pair, said};

/// Replaces files in a node's data directory by those of db1's cluster in a newer version.
fn make_newer(pair: &Pair, node: &Node, control: &[u8]) {
    let put = |name: &str, content: &[u8]| {
        let path = node.pgdata().join(name);
        let directory = path.parent().unwrap();
        if !directory.exists() {
            node.run_as().make_dir(directory, 0o700).unwrap();
        }
        node.run_as().write(&path, content).unwrap();
    };
    put("global/pg_control", control);
    put("PG_VERSION", format!("{NEWER_MAJOR}\n").as_bytes());
    let segment = fs::read(pair.db1.pgdata().join("pg_wal").join(ONE)).unwrap();
    put(&format!("pg_wal/{ONE}"), &segment);
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn a_newer_primary_ships_with_a_warning() {
    let pair = Pair::new();
    let wal = pair.db1.pgdata().join("pg_wal").join(ONE);
    let (known, known_control) = (read(&wal), read(&pair.db1.pgdata().join("global/pg_control")));
    let newer = newer_segment(&known);
    pair.db1.run_as().write(&wal, &newer).unwrap();
    // A newer segment is refused while pg_control is of a known version.
    pair.fails(&pair.send(), 1, &["is not shipped", "magic number D140"]);
    let control = newer_control(&known_control);
    make_newer(&pair, &pair.db1, &control);

    // Files that are not newer segments: of a known version, garbage, of another name or cluster.
    let refused = |content: &[u8], name: &str, words: &[&str]| {
        pair.db1.run_as().write(&pair.db1.pgdata().join("copy"), content).unwrap();
        pair.fails(&pair.archive("copy", name), 1, words);
    };
    refused(&known, ONE, &["is not shipped", "not 20"]);
    let with = |at: usize, byte: u8| {
        let mut other = newer.clone();
        other[at] = byte;
        other
    };
    refused(&with(1, 0xE1), ONE, &["is not shipped", "magic number E140"]);
    refused(&newer, "000000010000000000000002", &["is not shipped", "recycled"]);
    refused(&with(24, newer[24] ^ 1), ONE, &["is not shipped", "another cluster"]);
    refused(&newer[..8192], ONE, &["8192 bytes"]);

    for _ in 0..2 {
        let output = pair.send();
        let text = said(&output);
        assert!(output.status.success(), "{text}");
        let warnings: Vec<_> = text.lines().filter(|line| line.contains("WARNING")).collect();
        assert_eq!(warnings.len(), 1, "{text}");
        for word in ["records are not checked", "newer than 19", "D140"] {
            assert!(warnings[0].contains(word), "{text}");
        }
        assert!(read(&pair.archived(ONE)) == newer);
    }

    // db2's data directory has the same version.
    fs::remove_file(pair.archived(ONE)).unwrap();
    make_newer(&pair, &pair.db2, &control);
    let output = pair.send();
    assert!(output.status.success(), "{}", said(&output));
    fs::remove_file(pair.archived(ONE)).unwrap();
    let mut other = known_control;
    other[0] ^= 1;
    make_newer(&pair, &pair.db2, &newer_control(&other));
    pair.fails(&pair.send(), 1, &["db2 refused", "another cluster", "system identifier"]);
}
