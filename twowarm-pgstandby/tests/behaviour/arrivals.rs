//! A segment is restored at once when it is complete, and not before, however it arrives.
//!
//! With `-s 60` only an event can end a wait within the limits of these tests.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant, SystemTime};

use crate::support::{Call, NAME, Scratch, segment};

/// Below the polling interval, so that an event has ended the wait.
const AT_ONCE: Duration = Duration::from_secs(45);

fn waiting(scratch: &Scratch) -> Call {
    let mut call = scratch.start(&["-s", "60", "-t", "trigger"]);
    call.watches();
    call
}

/// Makes the call look again, and asserts that it still waits.
fn look_again(scratch: &Scratch, call: &mut Call) {
    call.looks_again_after(|| scratch.put("trigger", "neither"));
    scratch.assert_nothing_restored();
    fs::remove_file(scratch.path("trigger")).expect("the scratch directory is writable");
}

fn assert_restored_since(complete: Instant, scratch: &Scratch, call: Call) {
    scratch.assert_restores(call);
    assert!(complete.elapsed() < AT_ONCE, "only after {:?}", complete.elapsed());
}

#[test]
fn by_rename() {
    let scratch = Scratch::new();
    let call = waiting(&scratch);
    scratch.put("aside2", segment());
    let complete = Instant::now();
    fs::rename(scratch.path("aside2"), scratch.archived()).unwrap();
    assert_restored_since(complete, &scratch, call);
}

#[test]
fn by_hard_link() {
    let scratch = Scratch::new();
    let call = waiting(&scratch);
    scratch.put("other", segment());
    let complete = Instant::now();
    fs::hard_link(scratch.path("other"), scratch.archived()).unwrap();
    assert_restored_since(complete, &scratch, call);
}

#[test]
fn by_symbolic_link() {
    let scratch = Scratch::new();
    let call = waiting(&scratch);
    scratch.put("other", segment());
    let complete = Instant::now();
    symlink(scratch.path("other"), scratch.archived()).unwrap();
    assert_restored_since(complete, &scratch, call);
}

#[test]
fn by_a_slow_writer() {
    let scratch = Scratch::new();
    let mut call = waiting(&scratch);
    let mut file = File::create(scratch.archived()).unwrap();
    for part in segment().chunks(300_000) {
        file.write_all(part).unwrap();
        look_again(&scratch, &mut call);
    }
    // The file has its full size, and is still open for writing.
    let complete = Instant::now();
    drop(file);
    assert_restored_since(complete, &scratch, call);
}

/// A writer that creates the file in its full size and then pauses for a long time.
#[test]
fn by_a_writer_that_preallocates() {
    let scratch = Scratch::new();
    let mut call = waiting(&scratch);
    let file = File::create(scratch.archived()).unwrap();
    let content = segment();
    file.set_len(content.len() as u64).unwrap();
    file.write_all_at(&content[..8192], 0).unwrap();
    look_again(&scratch, &mut call);
    file.write_all_at(&content[8192..600_000], 8192).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(20)).unwrap();
    look_again(&scratch, &mut call);
    file.write_all_at(&content[600_000..], 600_000).unwrap();
    look_again(&scratch, &mut call);
    let complete = Instant::now();
    drop(file);
    assert_restored_since(complete, &scratch, call);
}

/// The same for a call that starts later and has not seen the file being created.
#[test]
fn by_a_writer_that_preallocated_before() {
    let scratch = Scratch::new();
    let file = File::create(scratch.archived()).unwrap();
    let content = segment();
    file.set_len(content.len() as u64).unwrap();
    file.write_all_at(&content[..8192], 0).unwrap();
    let mut call = scratch.start(&["-s", "60", "-t", "trigger"]);
    call.watches();
    file.write_all_at(&content[8192..], 8192).unwrap();
    let complete = Instant::now();
    drop(file);
    assert_restored_since(complete, &scratch, call);
}

/// There is no delay for a file that was complete before the call.
#[test]
fn at_once_when_it_is_there() {
    let scratch = Scratch::full();
    File::open(scratch.archived())
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(1))
        .unwrap();
    let complete = Instant::now();
    let call = scratch.start(&["-s", "60"]);
    assert_restored_since(complete, &scratch, call);
}

/// The clocks of two machines may differ.
#[test]
fn at_once_when_its_time_lies_in_the_future() {
    let scratch = Scratch::full();
    File::open(scratch.archived())
        .unwrap()
        .set_modified(SystemTime::now() + Duration::from_secs(3600))
        .unwrap();
    let call = scratch.start(&["-s", "60"]);
    assert_restored_since(Instant::now(), &scratch, call);
}

/// The archive directory may be moved away and replaced by another.
#[test]
fn in_an_archive_that_comes_back() {
    let scratch = Scratch::new();
    let mut call = waiting(&scratch);
    fs::rename(scratch.path("archive"), scratch.path("gone")).unwrap();
    look_again(&scratch, &mut call);
    fs::remove_dir(scratch.path("gone")).unwrap();
    look_again(&scratch, &mut call);
    fs::create_dir(scratch.path("archive")).unwrap();
    look_again(&scratch, &mut call);
    let complete = Instant::now();
    scratch.put(&format!("archive/{}", NAME), segment());
    assert_restored_since(complete, &scratch, call);
}
