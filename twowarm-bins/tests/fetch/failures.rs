//! Whatever is wrong with the DR node or with this node's disk, a request without a trigger waits, and says why.

use std::fs;
use std::path::{Path, PathBuf};

use twowarm_core::testbed::{Call, finish};

use crate::failover::times_given_up;
use crate::nodes::{Pair, cluster, name};

/// The call goes on waiting after it has said this, and restores the segment when it arrives.
fn waits_on(pair: &Pair, mut call: Call, words: &[&str]) {
    call.waits_for(words[0]);
    for word in words {
        assert!(call.said().contains(word), "\"{word}\" is not in: {}", call.said());
    }
    call.looks_again(2);
    assert!(!call.has_ended());
    pair.put(&pair.db2, 1);
    call.exits(0);
}

/// A call for a segment that is missing before a later one, so that the DR node is asked at once.
fn gap(pair: &Pair) -> Call {
    pair.put(&pair.db2, 5);
    pair.start_for(1)
}

#[test]
fn a_hung_dr_node_does_not_delay_an_arrival() {
    for pair in [Pair::standby(), Pair::warm()] {
        let mut pair = pair;
        pair.db2.prepend_settings("time_limit = 600").unwrap();
        pair.db3.sshd().freeze();
        let mut call = gap(&pair);
        call.watches().looks_again(2);
        pair.put(&pair.db2, 1);
        call.exits(0);
        pair.db3.sshd().thaw();
        let mut pair = Pair::warm();
        pair.db2.prepend_settings("time_limit = 2").unwrap();
        pair.db3.sshd().freeze();
        waits_on(&pair, gap(&pair), &["could not fetch", "db3"]);
        pair.db3.sshd().thaw();
    }
}

/// A history file that nobody has must be answered, since a server that starts requests one.
#[test]
fn a_hung_dr_node_delays_a_history_file_for_a_moment_once() {
    let mut pair = Pair::warm();
    pair.db2.prepend_settings("time_limit = 3").unwrap();
    pair.db3.sshd().freeze();
    let said = pair.start("00000002.history").exits(1);
    assert_eq!(times_given_up(&said, 3), 1, "{said}");
    // It is asked again only after a while.
    let known = fs::read_to_string(pair.db2.pgdata().join(".twowarm_fetching")).unwrap();
    assert!(known.contains("\nfailing db3 "), "{known}");
    pair.db3.sshd().thaw();
}

#[test]
fn a_dr_node_that_cannot_be_used_is_reported() {
    // Down.
    let mut pair = Pair::warm();
    pair.db3.sshd().stop();
    waits_on(&pair, gap(&pair), &["could not fetch", name(1), "db3", "refused"]);
    // An older installation.
    let pair = Pair::warm();
    std::fs::remove_file(pair.db3.global().join("replication/sendWALFile")).unwrap();
    waits_on(&pair, gap(&pair), &["could not fetch", "sendWALFile is missing", "distrib2warm"]);
    // The key is for shipping only.
    let mut pair = Pair::warm();
    let receiver = pair.db3.global().join("replication/receiveWALFile");
    let key = pair.db2.key().clone();
    pair.db3.sshd().authorize(&key, Some(receiver.to_str().unwrap())).unwrap();
    waits_on(&pair, gap(&pair), &["could not fetch", "db3 refused", "set fetch_key"]);
    // Its archive is missing.
    let pair = Pair::warm();
    std::fs::remove_dir(pair.db3.archive()).unwrap();
    waits_on(&pair, gap(&pair), &["could not fetch", "db3 refused", "does not exist"]);
    // Another cluster's.
    let pair = Pair::warm();
    let owner = "version=1\nsystem_identifier=42\nnode_id=db9\nlabel=db9\n";
    pair.put_as(&pair.db3, ".owner", owner);
    waits_on(&pair, gap(&pair), &["could not fetch", "belongs to another cluster", "42"]);
}

#[test]
fn the_key_may_be_restricted_to_send_wal_file() {
    let mut pair = Pair::warm();
    pair.put(&pair.db3, 1);
    let sender = pair.db3.global().join("replication/sendWALFile");
    let (key, copy_key) = (pair.db2.key().clone(), pair.db2.copy_key().clone());
    pair.db3.sshd().refuse(&key).unwrap();
    pair.db3.sshd().authorize(&copy_key, Some(sender.to_str().unwrap())).unwrap();
    let fetch_key = format!("fetch_key = \"{}\"", copy_key.private().display());
    pair.db2.append_settings(&fetch_key).unwrap();
    pair.put(&pair.db2, 5);
    pair.restores(1);
}

#[test]
fn an_unfit_file_there_is_not_stored_here() {
    let segment = &cluster().segments[1].1;
    let mut foreign = segment.clone();
    foreign[24] ^= 1;
    let other = &cluster().segments[2].1;
    for (content, words) in [
        (&foreign, "another cluster"),
        (other, "does not match its name"),
        (&segment[..300_000].to_vec(), "300000 bytes"),
    ] {
        let pair = Pair::warm();
        pair.put_as(&pair.db3, name(1), content);
        waits_on(&pair, gap(&pair), &["could not fetch", name(1), "db3", words]);
        pair.settles();
    }
    // Not a file.
    let pair = Pair::warm();
    pair.db3.run_as().make_dir(&pair.db3.archive().join(name(1)), 0o700).unwrap();
    waits_on(&pair, gap(&pair), &["could not fetch", "not a regular file"]);
}

pub struct Mounted(PathBuf);

impl Mounted {
    pub fn on(place: &Path) -> Option<Mounted> {
        let mount = ["-t", "tmpfs", "-o", "size=1536k,mode=777", "none"];
        let mounted = finish(std::process::Command::new("mount").args(mount).arg(place));
        if mounted.is_err() {
            eprintln!("not checked: no file system can be mounted here");
        }
        mounted.ok().map(|_| Mounted(place.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = finish(std::process::Command::new("umount").arg("-l").arg(&self.0));
    }
}

/// Fills the archive's file system but for one page: what is zero in a segment takes no space.
pub fn fill(pair: &Pair) {
    pair.put_as(&pair.db2, "ballast", vec![1; 383 * 4096]);
}

#[test]
fn a_full_disk_here_is_reported_and_what_is_fetched_is_restored_without_being_stored() {
    for pair in [Pair::standby(), Pair::warm()] {
        let Some(_mounted) = Mounted::on(&pair.db2.archive()) else { return };
        (1..4).for_each(|number| pair.put(&pair.db3, number));
        fill(&pair);
        for number in 1..3 {
            let said = pair.start_for(number).exits(0);
            assert!(said.contains("No space left") && said.contains("without storing"), "{said}");
            pair.has_handed_over(number, &said);
            pair.settles();
            assert!(pair.arrived().is_empty(), "{:?}", pair.arrived());
        }
        std::fs::remove_file(pair.db2.archive().join("ballast")).unwrap();
        pair.restores(3);
    }
}

/// Unfit files for the name of the cluster's segment 1.
pub fn unfit() -> [Vec<u8>; 3] {
    let segment = &cluster().segments[1].1;
    let mut damaged = segment.clone();
    damaged[60] ^= 4;
    [damaged, segment[..300_000].to_vec(), cluster().segments[2].1.clone()]
}

#[test]
fn an_intact_copy_is_taken_from_the_dr_node_if_the_own_one_is_unfit() {
    for unfit in unfit() {
        for pair in [Pair::standby(), Pair::warm()] {
            pair.put_as(&pair.db2, name(1), &unfit);
            let call = pair.start_for(1);
            // The DR node gets it later.
            pair.put(&pair.db3, 1);
            let said = call.exits(0);
            assert!(said.contains(&format!("restored an intact {} from db3", name(1))), "{said}");
            pair.has_handed_over(1, &said);
            let own = std::fs::read(pair.db2.archive().join(name(1))).unwrap();
            assert!(own == unfit, "the file in the archive was changed");
            assert_eq!(pair.arrived(), [name(1)]);
            // The server may request it again.
            pair.start_for(1).exits(0);
        }
    }
}

#[test]
fn a_damaged_file_is_waited_out_while_the_dr_node_has_no_intact_one() {
    let pair = Pair::warm();
    let [damaged, ..] = unfit();
    pair.put_as(&pair.db2, name(1), &damaged);
    pair.put_as(&pair.db3, name(1), &damaged);
    let mut call = pair.start_for(1);
    call.waits_for("is damaged or incomplete there");
    call.looks_again(2);
    assert!(!call.has_ended());
    pair.put(&pair.db2, 1);
    let said = call.exits(0);
    pair.has_restored(1, &said);
}
