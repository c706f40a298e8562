//! The files that servers of different versions request, in their order, and the answers that they need.

use std::fs;

use crate::support::Scratch;

/// 8.2 to 8.4 first request files that need not exist. At the end of recovery they request the last segment again
/// and stop with a PANIC if it is refused.
#[test]
fn from_8_2_to_8_4() {
    let scratch = Scratch::full();
    scratch.assert_absent("00000001.history");
    scratch.assert_absent(&format!("{}.00000020.backup", scratch.name(0)));
    let last = 4;
    for number in 0..=last {
        // 8.2 does not know %r and passes it on unchanged.
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

/// Servers before the minor releases of May 2020 request each segment on the newest timeline first, including
/// segments from before that timeline began. These never arrive.
#[test]
fn following_a_timeline_before_13() {
    let scratch = Scratch::full();
    let on_2 = |number: usize| format!("00000002{}", &scratch.name(number)[8..]);
    let fork = 3;
    let place = u64::from_str_radix(&scratch.name(fork)[16..], 16).unwrap();
    scratch.put("00000002.history", scratch.left(1, place));
    // A promotion copies the segment of the fork to the new timeline.
    scratch.put(&on_2(fork), scratch.bytes(fork));
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
    // If this one were reported absent, the server would replay the segment of timeline 1 instead.
    let mut call = scratch.start(&on_2(fork + 1));
    call.waits_for("it has not arrived");
    scratch.put(&on_2(fork + 1), scratch.bytes(fork + 1));
    call.exits(0);
}

/// If a timeline forks exactly at the end of a segment, 9.3 and 9.4 copy that segment to the new timeline. Servers
/// from 9.5 on do not, but those before 13 request it.
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
    // While neither segment has arrived, it is not known whether there will be a copy.
    fs::remove_file(scratch.archived(&before)).unwrap();
    fs::remove_file(scratch.archived(scratch.name(2))).unwrap();
    let mut call = scratch.start(&before);
    call.waits_for("it has not arrived");
    scratch.ship(2);
    call.exits(1);
}

/// From 15 on the server requests the missing segment twice, then the last good one, then timeline history files.
/// The second request must get the same answer to a fast trigger as the first.
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
        // The segment arrives after it was refused. A fast failover ignores it, a smart one restores it.
        scratch.ship(missing);
        let ended = scratch.run(name);
        assert_eq!(ended.code == Some(1), then, "{}", ended.said);
        let _ = scratch.restored();
        scratch.assert_restores(missing - 1);
        scratch.assert_absent("00000002.history");
    }
}
