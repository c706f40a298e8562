//! The questions that servers of different versions ask, in their order, each answered as that server
//! needs it.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::Scratch;

/// 8.2 to 8.4 begin with files that need not exist, and stop with a panic if the last good segment is
/// refused to them at the end.
#[test]
fn from_8_2_to_8_4() {
    let scratch = Scratch::full();
    let start = Instant::now();
    scratch.assert_absent("00000001.history");
    scratch.assert_absent(&format!("{}.00000020.backup", scratch.name(0)));
    assert!(start.elapsed() < Duration::from_secs(10), "nothing is waited for");
    let last = 4;
    for number in 0..=last {
        // 8.2 passes on what it does not know.
        let restart = if number % 2 == 0 { "%r" } else { "000000000000000000000000" };
        scratch.run_with(&[scratch.name(number), "pg_wal/RECOVERYXLOG", restart]).exited(0);
        assert!(scratch.restored().as_deref() == Some(scratch.bytes(number)));
    }
    scratch.write("trigger", "fast");
    scratch.assert_absent(scratch.name(last + 1));
    scratch.assert_restores(last);
    scratch.assert_absent("00000002.history");
    scratch.assert_absent("00000001.history");
}

/// Servers before the minors of May 2020 ask for each segment on the newest timeline first, also where
/// that had not begun. Whoever waits for those waits for ever.
#[test]
fn following_a_timeline_before_13() {
    let scratch = Scratch::full();
    let on_2 = |number: usize| format!("00000002{}", &scratch.name(number)[8..]);
    let fork = 3;
    let place = u64::from_str_radix(&scratch.name(fork)[16..], 16).unwrap();
    scratch.put("00000002.history", scratch.left(1, place));
    // A promotion copies the segment that it leaves.
    scratch.put(&on_2(fork), scratch.bytes(fork));
    let start = Instant::now();
    let answer = |name: &str| {
        let ended = scratch.run(name);
        let _ = scratch.restored();
        ended.code
    };
    assert_eq!(answer("00000002.history"), Some(0));
    assert_eq!(answer("00000003.history"), Some(1));
    assert_eq!(answer("00000002.history"), Some(0));
    for number in 0..fork {
        scratch.assert_absent(&on_2(number));
        scratch.assert_restores(number);
    }
    assert_eq!(answer(&on_2(fork)), Some(0));
    assert!(start.elapsed() < Duration::from_secs(20), "nothing is waited for");
    // Saying that this one is absent would send the server back to timeline 1, which has one.
    let mut call = scratch.start(&on_2(fork + 1));
    call.waits_for("it has not arrived");
    scratch.put(&on_2(fork + 1), scratch.bytes(fork + 1));
    call.exits(0);
}

/// 9.3 and 9.4 make a copy under the new name of a segment that a timeline left at its very end; from
/// 9.5 on there is none, but servers before 13 ask for it.
#[test]
fn a_timeline_left_at_the_end_of_a_segment() {
    let scratch = Scratch::full();
    let size = scratch.bytes(0).len() as u64;
    let place = u64::from_str_radix(&scratch.name(3)[16..], 16).unwrap();
    scratch.put("00000002.history", format!("1\t0/{:X}\tx\n", place * size));
    let before = format!("00000002{}", &scratch.name(2)[8..]);
    let mut call = scratch.start(&format!("00000002{}", &scratch.name(3)[8..]));
    call.waits_for("it has not arrived");
    scratch.assert_absent(&before);
    scratch.put(&before, scratch.bytes(2));
    scratch.run(&before).exited(0);
    // Nothing is known as long as neither name has arrived.
    fs::remove_file(scratch.archived(&before)).unwrap();
    fs::remove_file(scratch.archived(scratch.name(2))).unwrap();
    let mut call = scratch.start(&before);
    call.waits_for("it has not arrived");
    scratch.ship(2);
    call.exits(1);
}

/// 15 and later ask twice for the segment that is missing, then for the last good one, then for the
/// histories; a fast trigger that is met by the second request only would be one that was forgotten.
#[test]
fn from_15_on() {
    for (content, then) in [("fast", true), ("smart", false)] {
        let scratch = Scratch::full();
        let missing = 4;
        let name = scratch.name(missing);
        fs::remove_file(scratch.archived(name)).unwrap();
        let mut call = scratch.start(name);
        call.waits_for("it has not arrived");
        scratch.write("trigger", content);
        call.exits(1);
        // It arrives after it was refused: a fast failover leaves it out, a smart one takes it.
        scratch.ship(missing);
        let ended = scratch.run(name);
        assert_eq!(ended.code == Some(1), then, "{}", ended.said);
        let _ = scratch.restored();
        scratch.assert_restores(missing - 1);
        scratch.assert_absent("00000002.history");
    }
}
