//! Runs each target on its corpus, and on damaged copies of it.

use std::fs;
use std::path::Path;

use twowarm_fuzz::{TARGETS, Target};

fn corpus((name, _): Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn every_target_is_listed_and_has_a_corpus() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(targets)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, TARGETS.iter().map(|target| target.0).collect::<Vec<_>>());
    assert!(TARGETS.iter().all(|&target| !corpus(target).is_empty()));
}

#[test]
fn the_corpus() {
    for &target in TARGETS {
        corpus(target).iter().for_each(|seed| (target.1)(seed));
    }
}

#[test]
fn damaged_copies_of_the_corpus() {
    for &target in TARGETS {
        for seed in corpus(target) {
            for at in 0..seed.len() {
                (target.1)(&seed[..at]);
                for flip in [0x01, 0x10, 0x80, seed[at] ^ b'\n', seed[at]] {
                    let mut bytes = seed.clone();
                    bytes[at] ^= flip;
                    (target.1)(&bytes);
                }
            }
        }
    }
}
