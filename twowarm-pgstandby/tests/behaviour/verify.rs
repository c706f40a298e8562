//! `--verify` under a server of an unknown, newer version.

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::support::{NAME, NEWER_MAJOR, Scratch, newer_control, segment};

const CLUSTER: u64 = 77;

/// A segment with a page header as such a server would write it.
fn newer(cluster: u64) -> Vec<u8> {
    let mut bytes = segment();
    bytes[..8].copy_from_slice(&[0x40, 0xD1, 2, 0, 1, 0, 0, 0]);
    bytes[8..16].copy_from_slice(&0xC_0990_0000_u64.to_le_bytes());
    bytes[24..32].copy_from_slice(&cluster.to_le_bytes());
    bytes
}

fn data_directory(major: &str) -> Scratch {
    let scratch = Scratch::new();
    let mut control = vec![0; 8192];
    control[..8].copy_from_slice(&CLUSTER.to_le_bytes());
    std::fs::create_dir(scratch.path("global")).expect("the scratch directory is writable");
    scratch.put("global/pg_control", newer_control(&control));
    scratch.put("PG_VERSION", format!("{major}\n"));
    scratch
}

#[test]
fn a_newer_segment_is_restored_unchecked_and_one_of_another_cluster_is_not() {
    let scratch = data_directory(NEWER_MAJOR);
    scratch.put(&format!("archive/{NAME}"), newer(CLUSTER + 1));
    let mut call = scratch.start(&["--verify", "-s", "1"]);
    call.says("of another cluster");
    scratch.assert_nothing_restored();
    scratch.put(&format!("archive/{NAME}"), newer(CLUSTER));
    call.says("records are not checked");
    let said = call.exits(0);
    assert_eq!(said.matches("records are not checked").count(), 1, "{said}");
    assert!(scratch.restored() == Some(newer(CLUSTER)), "{said}");
}

/// A file that is sent again has the modification time of the primary's file.
#[test]
fn a_refused_segment_is_checked_again_when_it_is_replaced_by_one_with_the_same_time() {
    let long_ago = SystemTime::now() - Duration::from_secs(600);
    let scratch = data_directory(NEWER_MAJOR);
    let put = |content: Vec<u8>| {
        scratch.put(NAME, content);
        let file = File::options().write(true).open(scratch.path(NAME)).expect("it was written");
        file.set_modified(long_ago).expect("it was written");
        std::fs::rename(scratch.path(NAME), scratch.archived()).expect("it was written");
    };
    put(newer(CLUSTER + 1));
    let mut call = scratch.start(&["--verify", "-s", "1"]);
    call.says("of another cluster");
    put(newer(CLUSTER));
    call.exits(0);
    assert!(scratch.restored() == Some(newer(CLUSTER)));
}

#[test]
fn a_known_version_has_no_newer_pg_control() {
    let scratch = data_directory("15");
    scratch.put(&format!("archive/{NAME}"), newer(CLUSTER));
    let said = scratch.start(&["--verify", "-s", "1"]).end().said;
    assert!(said.contains("--verify: ") && said.contains("newer than PostgreSQL 19"), "{said}");
    scratch.assert_nothing_restored();
}
