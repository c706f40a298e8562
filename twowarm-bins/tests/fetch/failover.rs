//! A failover gets what only the DR node has, and is not held up by a DR node that does not answer.

use std::fs;

use twowarm_core::testbed::wait_until;

use crate::failures::{Mounted, fill, unfit};
use crate::nodes::{LIMIT, Pair, name};

fn end(pair: &Pair, file: &str, code: i32) -> String {
    pair.start(file).exits(code)
}

/// Asserts that a call did not ask the DR node.
/// How often a node that hangs was given up after this time: the step over the network and the whole question have the
/// same limit, and either may notice first.
pub fn times_given_up(said: &str, seconds: u32) -> usize {
    let count = |words: String| said.matches(&words).count();
    count(format!("did not answer within {seconds} s"))
        + count(format!("no progress in {seconds} s"))
}

fn did_not_ask(said: &str) {
    assert!(!said.contains("from db3"), "{said}");
}

#[test]
fn smart_restores_what_is_there_only_and_asks_once_for_what_is_nowhere() {
    for pair in [Pair::standby(), Pair::warm()] {
        (1..4).for_each(|number| pair.put(&pair.db3, number));
        pair.write("trigger", "smart");
        (1..4).for_each(|number| drop(pair.restores(number)));
        let before = pair.connections();
        for _ in 0..3 {
            end(&pair, name(4), 1);
            end(&pair, "00000002.history", 1);
        }
        // The last good segment is served again.
        pair.restores(3);
        assert_eq!(pair.connections() - before, 2);
    }
}

#[test]
fn a_hung_dr_node_delays_a_smart_failover_once_by_the_time_limit() {
    for pair in [Pair::standby(), Pair::warm()] {
        pair.db2.prepend_settings("time_limit = 2").unwrap();
        let mut db3 = pair;
        db3.db3.sshd().freeze();
        db3.write("trigger", "smart");
        let said = end(&db3, name(1), 1);
        assert_eq!(times_given_up(&said, 2), 1, "{said}");
        assert!(said.contains("treated as empty for the rest of this failover"), "{said}");
        for file in [name(1), "00000002.history", name(1), "00000003.history"] {
            did_not_ask(&end(&db3, file, 1));
        }
        db3.db3.sshd().thaw();
    }
}

#[test]
fn a_trigger_that_comes_while_a_question_hangs_waits_for_its_limit() {
    let mut pair = Pair::warm();
    pair.db2.prepend_settings("time_limit = 4").unwrap();
    pair.db3.sshd().freeze();
    pair.put(&pair.db2, 3);
    let mut call = pair.start_for(1);
    call.watches();
    pair.write("trigger", "smart");
    let said = call.exits(1);
    let once = "treated as empty for the rest of this failover";
    assert_eq!(said.matches(once).count(), 1, "{said}");
    pair.db3.sshd().thaw();
}

#[test]
fn fast_asks_nobody() {
    for pair in [Pair::standby(), Pair::warm()] {
        let mut pair = pair;
        (1..4).for_each(|number| pair.put(&pair.db3, number));
        pair.db3.sshd().freeze();
        let call = pair.start_for(1);
        pair.write("trigger", "fast");
        did_not_ask(&call.exits(1));
        for file in [name(1), "00000002.history", name(1)] {
            did_not_ask(&end(&pair, file, 1));
        }
        assert!(pair.arrived().is_empty());
        pair.db3.sshd().thaw();
    }
}

#[test]
fn a_dr_node_that_is_down_delays_nothing() {
    let mut pair = Pair::standby();
    pair.db3.sshd().stop();
    pair.write("trigger", "smart");
    let said = end(&pair, name(1), 1);
    assert!(said.contains("could not fetch") && !said.contains("did not answer"), "{said}");
}

/// The rows before the damage can still be had, and there is no other copy.
#[test]
fn a_damaged_copy_is_restored_only_in_a_failover() {
    let pair = Pair::warm();
    let mut damaged = crate::nodes::cluster().segments[1].1.clone();
    damaged[60] ^= 4;
    pair.put_as(&pair.db3, name(1), &damaged);
    pair.put(&pair.db2, 2);
    let mut call = pair.start_for(1);
    call.waits_for("is damaged or incomplete there");
    assert!(!pair.arrived().contains(&name(1).to_owned()));
    pair.write("trigger", "smart");
    let said = call.exits(0);
    let restored = fs::read(pair.db2.pgdata().join("pg_wal/RECOVERYXLOG")).unwrap();
    assert!(restored == damaged, "{said}");
    let kept = pair.db2.archive().join(format!("{}.corrupt", name(1)));
    wait_until("the copy to be kept", LIMIT, || kept.exists()).unwrap();
}

#[test]
fn a_full_disk_here_loses_nothing_that_the_dr_node_has() {
    for pair in [Pair::standby(), Pair::warm()] {
        let Some(_mounted) = Mounted::on(&pair.db2.archive()) else { return };
        (1..4).for_each(|number| pair.put(&pair.db3, number));
        fill(&pair);
        pair.write("trigger", "smart");
        for number in [1, 2, 3, 3] {
            let said = pair.start_for(number).exits(0);
            pair.has_handed_over(number, &said);
        }
        end(&pair, name(4), 1);
        assert!(pair.arrived().is_empty(), "{:?}", pair.arrived());
        pair.settles();
    }
}

#[test]
fn an_intact_copy_is_preferred_to_the_own_unfit_one() {
    for unfit in unfit() {
        for pair in [Pair::standby(), Pair::warm()] {
            pair.put_as(&pair.db2, name(1), &unfit);
            pair.put(&pair.db3, 1);
            pair.write("trigger", "smart");
            for _ in 0..2 {
                let said = pair.start_for(1).exits(0);
                pair.has_handed_over(1, &said);
                assert!(said.contains("restored an intact"), "{said}");
            }
            assert!(fs::read(pair.db2.archive().join(name(1))).unwrap() == unfit);
            assert_eq!(pair.arrived(), [name(1)], "it was renamed or copied");
        }
    }
}

#[test]
fn without_an_intact_copy_the_own_damaged_one_is_restored() {
    let [damaged, ..] = unfit();
    let restores_own = |pair: &Pair| {
        pair.put_as(&pair.db2, name(1), &damaged);
        pair.write("trigger", "smart");
        let said = end(pair, name(1), 0);
        let restored = fs::read(pair.db2.pgdata().join("pg_wal/RECOVERYXLOG")).unwrap();
        assert!(restored == damaged, "{said}");
        did_not_ask(&end(pair, name(1), 0));
        said
    };
    // It lacks it, is down, has a damaged one, hangs.
    restores_own(&Pair::warm());
    let mut pair = Pair::standby();
    pair.db3.sshd().stop();
    restores_own(&pair);
    let pair = Pair::warm();
    pair.put_as(&pair.db3, name(1), &damaged);
    restores_own(&pair);
    for mut pair in [Pair::standby(), Pair::warm()] {
        pair.db2.prepend_settings("time_limit = 2").unwrap();
        pair.db3.sshd().freeze();
        let said = restores_own(&pair);
        assert_eq!(times_given_up(&said, 2), 1, "{said}");
        pair.db3.sshd().thaw();
    }
}

#[test]
fn fast_takes_no_intact_copy_of_a_segment_that_is_not_needed() {
    let pair = Pair::warm();
    let [damaged, ..] = unfit();
    pair.put_as(&pair.db2, name(1), &damaged);
    pair.put(&pair.db3, 1);
    pair.write("trigger", "fast");
    did_not_ask(&end(&pair, name(1), 1));
    assert_eq!(pair.connections(), 0);
}
