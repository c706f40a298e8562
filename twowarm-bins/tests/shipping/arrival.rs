use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use twowarm_core::testbed::{finish, wait_until};

use crate::pair::{LIMIT, ONE, Pair, said};

#[test]
fn a_segment_may_be_sent_twice() {
    let mut pair = Pair::new();
    pair.arrives();
    let start = Instant::now();
    let again = pair.send();
    println!("a second time: {:?}", start.elapsed());
    assert!(again.status.success());
    assert!(said(&again).contains("already"), "{}", said(&again));

    // With a key that authorized_keys restricts to this command.
    let receiver = pair.receiver();
    pair.force(&receiver);
    fs::remove_file(pair.archived(ONE)).unwrap();
    let start = Instant::now();
    pair.arrives();
    println!("a segment of 16 MB: {:?}", start.elapsed());
}

#[test]
fn a_server_ships_its_segments() {
    Pair::by_each_carrier(server_ships_its_segments);
}

fn server_ships_its_segments(pair: &mut Pair) {
    let command = "../2warm/global/replication/archiveWALFile %p %f";
    let conf = format!("archive_mode = on\narchive_command = '{command}'\nfsync = off");
    pair.db1.append_conf(&conf).unwrap();
    pair.db1.start().unwrap();
    pair.db1.sql("create table t as select 1 as n; select pg_switch_wal()").unwrap();
    pair.db1.sql("insert into t values (2); select pg_switch_wal()").unwrap();
    let second = pair.archived("000000010000000000000002");
    let arrived = || second.exists() && pair.archived(ONE).exists();
    wait_until("two segments to arrive", LIMIT, arrived).unwrap();
    let failed = pair.db1.sql("select failed_count from pg_stat_archiver").unwrap();
    assert_eq!(failed, "0", "{}", pair.db1.log());
}

#[test]
fn while_archiving_is_off_a_segment_is_ignored() {
    let pair = Pair::new();
    fs::remove_file(pair.db1.local().join("replication/archiving_active")).unwrap();
    let output = pair.send();
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    for word in ["ignoring", ONE, "db2", "archiving_active"] {
        assert!(text.contains(word), "{text}");
    }
    assert!(!pair.archived(ONE).exists());
}

#[test]
fn bad_calls_and_bad_files() {
    Pair::by_each_carrier(bad_calls_and_files);
}

fn bad_calls_and_files(pair: &mut Pair) {
    let wal = format!("pg_wal/{ONE}");
    pair.fails(&pair.archive(&wal, "nonsense"), 2, &["nonsense", "WAL file name"]);
    pair.fails(&pair.archive("pg_wal/none", ONE), 1, &["pg_wal/none", "No such file"]);
    let one_argument = pair.db1.command("archiveWALFile").arg(ONE).output().unwrap();
    pair.fails(&one_argument, 2, &["usage: archiveWALFile PATH NAME"]);
    // Under another name it looks like a recycled segment.
    pair.fails(&pair.archive(&wal, "000000010000000000000007"), 1, &["is not shipped", "recycled"]);
    let half = pair.db1.pgdata().join("half");
    let content = fs::read(pair.db1.pgdata().join(&wal)).unwrap();
    pair.db1.run_as().write(&half, &content[..8192]).unwrap();
    pair.fails(&pair.archive("half", ONE), 1, &["8192 bytes", "16777216"]);

    pair.db1.write_local("replication/othernode", "").unwrap();
    pair.fails(&pair.send(), 1, &["othernode"]);
    pair.db1.write_local("replication/othernode", "db2\n").unwrap();

    let control = pair.db1.pgdata().join("global/pg_control");
    let good = fs::read(&control).unwrap();
    let mut torn = good.clone();
    torn[100] ^= 1;
    pair.db1.run_as().write(&control, torn).unwrap();
    pair.fails(&pair.send(), 1, &["pg_control", "checksum"]);
    fs::remove_file(&control).unwrap();
    pair.fails(&pair.send(), 1, &["pg_control"]);
    pair.db1.run_as().write(&control, good).unwrap();
    pair.arrives();
}

#[test]
fn the_far_archive_refuses() {
    let mut pair = Pair::new();
    // Missing: an unmounted disk.
    fs::remove_dir(pair.db2.archive()).unwrap();
    pair.fails(&pair.send(), 1, &["db2 refused", "archive directory", "does not exist"]);
    assert!(!pair.db2.archive().exists());
    pair.db2.run_as().make_dir(&pair.db2.archive(), 0o700).unwrap();

    // Full.
    let receiver = pair.receiver();
    let archive = pair.db2.archive().display().to_string();
    if nix::unistd::geteuid().is_root() {
        let mounted = Mounted::on(&pair.db2.archive());
        pair.fails(&pair.send(), 1, &["db2 refused", "No space left", &archive]);
        assert_eq!(pair.leftovers(), 0);
        drop(mounted);
    } else {
        let mount = format!("mount -t tmpfs -o size=512k none {archive} && exec {receiver}");
        pair.force(&format!("unshare -rm sh -c '{mount}'"));
        pair.fails(&pair.send(), 1, &["db2 refused", "No space left", &archive]);
        pair.force(&receiver);
    }

    // db2's data directory holds another cluster.
    let moved = pair.db2.home().join("kept");
    fs::rename(pair.db2.pgdata(), &moved).unwrap();
    pair.db2.initdb(&[]).unwrap();
    pair.db2.run_as().make_dir(&pair.db2.archive(), 0o700).unwrap();
    pair.fails(&pair.send(), 1, &["db2 refused", "another cluster", "copyToStandby"]);
    fs::remove_dir_all(pair.db2.pgdata()).unwrap();
    fs::rename(moved, pair.db2.pgdata()).unwrap();
    pair.arrives();

    // The archive holds a different content under this name.
    let mut content = fs::read(pair.archived(ONE)).unwrap();
    content[9000] ^= 1;
    pair.db2.run_as().write(&pair.archived(ONE), &content).unwrap();
    let output = pair.send();
    assert_eq!(output.status.code(), Some(1));
    for word in ["different content", "which of the two is right"] {
        assert!(said(&output).contains(word), "{}", said(&output));
    }
    assert!(fs::read(pair.archived(ONE)).unwrap() == content, "it was overwritten");

    // Another sender.
    fs::remove_file(pair.db1.local().join("replication/node_id")).unwrap();
    let output = pair.send();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("configStandby"), "{}", said(&output));
}

pub struct Mounted(PathBuf);

impl Mounted {
    pub fn on(place: &Path) -> Mounted {
        let mount = ["-t", "tmpfs", "-o", "size=512k,mode=777", "none"];
        finish(std::process::Command::new("mount").args(mount).arg(place)).expect("root may mount");
        Mounted(place.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = finish(std::process::Command::new("umount").arg(&self.0));
    }
}

#[test]
fn sending_to_the_same_node_is_refused() {
    let pair = Pair::new();
    pair.db1.reach(&pair.db1).unwrap();
    let output = pair.send();
    pair.fails(&output, 1, &["db1 refused", "to itself", "node_id"]);
}

#[test]
fn two_at_once_for_the_same_segment_both_succeed() {
    Pair::by_each_carrier(two_at_once);
}

fn two_at_once(pair: &mut Pair) {
    let send = || {
        let mut command = pair.db1.command("archiveWALFile");
        command.args([&format!("pg_wal/{ONE}"), ONE]).spawn().unwrap()
    };
    let children = [send(), send(), send()];
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    pair.arrives();
}

#[test]
fn a_killed_sender_leaves_a_whole_file_or_none() {
    let pair = Pair::new();
    let log = pair.db1.home().join("sends");
    let send = |option: &str| {
        let mut strace = pair.db1.program("strace");
        strace.args(["-f", "-qq", "-o"]).arg(&log).args(["-e", option]);
        strace.arg(pair.db1.global().join("replication/archiveWALFile"));
        strace.args([&format!("pg_wal/{ONE}"), ONE]).current_dir(pair.db1.pgdata());
        let output = strace.output().unwrap();
        wait_until("the receiver to end", LIMIT, || !pair.db2.runs("receiveWALFile")).unwrap();
        output.status.success()
    };
    assert!(send("trace=sendto"));
    let sends = fs::read_to_string(&log).unwrap().matches("sendto(").count();
    fs::remove_file(pair.archived(ONE)).unwrap();
    let last = (sends - 8)..sends;
    let moments = (1..sends - 8).step_by((sends / 10).max(1)).chain(last);
    let mut killed = 0;
    for number in moments {
        killed += u32::from(!send(&format!("inject=sendto:signal=KILL:when={number}")));
        if let Ok(content) = fs::read(pair.archived(ONE)) {
            assert_eq!(content.len(), 16 << 20, "at send {number}");
        }
        pair.arrives();
        fs::remove_file(pair.archived(ONE)).unwrap();
    }
    assert!(killed >= 10, "only {killed} of {sends} were killed while sending");
    drop(pair.bed);
}
