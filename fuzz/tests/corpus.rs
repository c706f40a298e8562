//! Replays the corpus, and small damage to it, over the bodies.

use std::fs;
use std::path::Path;

use twowarm_fuzz::{BODIES, Body};

fn corpus((target, _): Body) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn every_target_has_a_body_and_seeds() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(targets)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, BODIES.iter().map(|body| body.0).collect::<Vec<_>>());
    assert!(BODIES.iter().all(|&body| !corpus(body).is_empty()));
}

#[test]
fn the_corpus_as_it_is() {
    for &body in BODIES {
        corpus(body).iter().for_each(|seed| (body.1)(seed));
    }
}

#[test]
fn the_corpus_damaged() {
    for &body in BODIES {
        for seed in corpus(body) {
            for at in 0..seed.len() {
                (body.1)(&seed[..at]);
                for flip in [0x01, 0x10, 0x80, seed[at] ^ b'\n', seed[at]] {
                    let mut bytes = seed.clone();
                    bytes[at] ^= flip;
                    (body.1)(&bytes);
                }
            }
        }
    }
}
