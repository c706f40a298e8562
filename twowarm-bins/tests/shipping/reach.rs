use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use twowarm_core::testbed::StallingListener;

use crate::pair::{BUILT, COMMANDS, LIMIT, ONE, Pair};

#[test]
fn unreachable_nodes() {
    let mut pair = Pair::new();
    pair.db2.sshd().stop();
    pair.fails(&pair.send(), 1, &["could not connect to db2 (127.0.0.1:", "refused"]);
    pair.db2.sshd().restart().unwrap();

    let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    let nowhere = settings.replace("host = \"127.0.0.1\"", "host = \"no-such-host.invalid\"");
    pair.db1.write_local("2warm.toml", nowhere).unwrap();
    pair.fails(&pair.send(), 1, &["could not resolve", "db2 (no-such-host.invalid:"]);

    let listener = StallingListener::start().unwrap();
    let port = pair.db2.sshd().port().to_string();
    let stalling = settings.replace(&port, &listener.port().to_string());
    pair.db1.write_local("2warm.toml", stalling).unwrap();
    let known = fs::read_to_string(pair.db1.known_hosts()).unwrap();
    pair.fails(&pair.send(), 1, &["db2 (127.0.0.1:", "no progress in 3 s"]);
    assert_eq!(fs::read_to_string(pair.db1.known_hosts()).unwrap(), known);

    pair.db1.write_local("2warm.toml", settings).unwrap();
    pair.arrives();
}

#[test]
fn a_far_side_that_hangs_ends_the_wait_at_any_point() {
    let mut pair = Pair::new();
    let receiver = pair.receiver();
    // Before the greeting, after it, in the middle of the data, and instead of the acknowledgement.
    for bytes in [0, 8, 200_000, 16_000_000] {
        pair.force(&format!("head -c {bytes} >/dev/null; exec sleep 600"));
        let start = Instant::now();
        pair.fails(&pair.send(), 1, &["db2", "no progress"]);
        assert!(start.elapsed() < LIMIT, "{bytes}: {:?}", start.elapsed());
    }
    for bytes in [300, 200_000, 16_777_216 + 400] {
        pair.force(&format!("(head -c {bytes}; sleep 600) | {receiver}"));
        let start = Instant::now();
        let output = pair.send();
        assert!(start.elapsed() < LIMIT, "{bytes}: {:?}", start.elapsed());
        pair.fails(&output, 1, &["db2", "no progress"]);
    }
    pair.force(&receiver);
    pair.arrives();
}

#[test]
fn a_far_side_that_says_something_else() {
    let mut pair = Pair::new();
    pair.force("echo Welcome to this machine");
    pair.fails(&pair.send(), 1, &["\"Welcome to this machine\"", "login script"]);
    pair.force("echo no room at all >&2; exit 3");
    pair.fails(&pair.send(), 1, &["db2", "no room at all"]);
    pair.force("exit 3");
    pair.fails(&pair.send(), 1, &["db2", "exit code 3"]);
    let receiver = pair.receiver();
    pair.force(&receiver);
    fs::remove_file(&receiver).unwrap();
    // A node with the original scripts: the message says in which order to replace them.
    let order = "on the standby receiveWALFile, pg_standby, restoreWALFile and triggerStandby, then archiveWALFile on the primary";
    pair.fails(&pair.send(), 1, &["receiveWALFile is missing", "distrib2warm", order]);
    pair.db2.install_commands(BUILT, &COMMANDS).unwrap();
    pair.db2.write_local("2warm.toml", "nonsense = 1\n").unwrap();
    pair.fails(&pair.send(), 1, &["db2", "nonsense"]);
    pair.db2.write_local("2warm.toml", "").unwrap();
    pair.arrives();
}

#[test]
fn an_ssh_keygen_that_hangs_ends_the_wait() {
    let pair = Pair::new();
    let bin = pair.db1.home().join("bin");
    pair.db1.run_as().make_dir(&bin, 0o755).unwrap();
    let program = bin.join("ssh-keygen");
    pair.db1.run_as().write(&program, "#!/bin/sh\nexec sleep 60\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = pair.db1.command("archiveWALFile");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    command.args([&format!("pg_wal/{ONE}"), ONE]).env("PATH", path);
    pair.fails(&command.output().unwrap(), 1, &["ssh-keygen", "did not end within 3 s"]);
}

/// Regression: it failed on each call because there was no other node.
#[test]
fn a_node_that_ships_nothing_needs_no_other_node() {
    let pair = Pair::new();
    pair.db1.write_local("replication/othernode", "").unwrap();
    fs::remove_file(pair.db1.local().join("replication/archiving_active")).unwrap();
    let output = pair.send();
    assert!(output.status.success(), "{output:?}");
    pair.db1.write_local("replication/archiving_active", "").unwrap();
    pair.fails(&pair.send(), 1, &["othernode"]);
}

/// Regression: a slow disk was taken for one that hangs.
#[test]
fn a_store_that_takes_longer_than_the_time_limit_is_waited_for() {
    let mut pair = Pair::new();
    let receiver = pair.receiver();
    // On the first call both nodes also write other files.
    pair.arrives();
    fs::remove_file(pair.archived(ONE)).unwrap();
    let trace = pair.db2.home().join("trace");
    let slowly = "-f -qq -e trace=fsync -e inject=fsync:delay_enter=5s:when=1";
    pair.force(&format!("strace {slowly} -o {} {receiver}", trace.display()));
    pair.arrives();
    let trace = fs::read_to_string(trace).unwrap();
    assert!(trace.contains("DELAYED"), "{trace}");
}
