//! The ssh program as carrier.

use std::fs;
use std::time::Instant;

use twowarm_core::testbed::StallingListener;

use crate::pair::{BUILT, COMMANDS, LIMIT, ONE, Pair};

/// Writes db1's ssh configuration.
fn configure(pair: &Pair, text: &str) {
    pair.db1.run_as().write(&pair.db1.home().join(".ssh/config"), text).unwrap();
}

#[test]
fn a_jump_host_and_a_shared_connection_are_used() {
    let mut pair = Pair::by("openssh");
    let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    let patient = settings.replace("time_limit = 3", "time_limit = 30");
    pair.db1.write_local("2warm.toml", patient).unwrap();
    let (port, user) = (pair.db2.sshd().port(), pair.db2.run_as().user().to_owned());
    let (key, known) = (pair.db1.key().private().to_owned(), pair.db1.known_hosts());
    // db2's sshd is also the jump host. It appears under another name in the configuration.
    let config = format!(
        "Host bastion\nHostName 127.0.0.1\nPort {port}\nUser {user}\nIdentityFile {key}\nUserKnownHostsFile {known}\n\
         Host db2\nProxyCommand ssh -F {home}/.ssh/config -o BatchMode=yes -W %h:%p bastion 2>{home}/jumped\n",
        key = key.display(),
        known = known.display(),
        home = pair.db1.home().display(),
    );
    configure(&pair, &config);
    pair.arrives();
    assert!(pair.db1.home().join("jumped").exists());
    fs::remove_file(pair.archived(ONE)).unwrap();

    // A master that remains holds ssh's standard error open.
    let socket = pair.db1.home().join("master");
    let config = format!(
        "Host db2\nControlMaster auto\nControlPath {}\nControlPersist 60\n",
        socket.display()
    );
    configure(&pair, &config);
    pair.arrives();
    assert!(socket.exists());
    for _ in 0..2 {
        fs::remove_file(pair.archived(ONE)).unwrap();
        pair.arrives();
    }
    pair.db2.sshd().stop();
}

#[test]
fn failures_of_ssh_are_named() {
    let mut pair = Pair::by("openssh");
    let known = fs::read_to_string(pair.db1.known_hosts()).unwrap();
    let write = |pair: &Pair, text: &str| {
        pair.db1.run_as().write(&pair.db1.known_hosts(), text).unwrap();
    };
    let file = pair.db1.known_hosts().display().to_string();
    write(&pair, "");
    pair.fails(
        &pair.send(),
        1,
        &["db2: the host key of [127.0.0.1]:", "is not known", "ssh-keyscan"],
    );
    let host = known.split(' ').next().unwrap();
    write(&pair, &format!("# a comment\n{host} {}\n", pair.db1.copy_key().public()));
    pair.fails(&pair.send(), 1, &["db2: the host key", "has changed: SHA256:", "line 2", &file]);
    write(&pair, &format!("@revoked {known}{known}"));
    pair.fails(&pair.send(), 1, &["db2", "@revoked"]);
    write(&pair, &known);

    let key = pair.db1.key().clone();
    pair.db2.sshd().refuse(&key).unwrap();
    pair.fails(&pair.send(), 1, &["db2 refused the login", "Permission denied", "authorized_keys"]);
    pair.db2.sshd().authorize(&key, None).unwrap();

    configure(&pair, "NoSuchOption yes\n");
    pair.fails(&pair.send(), 1, &["ssh configuration for db2", "nosuchoption"]);
    configure(&pair, "");
    pair.db2.sshd().stop();
    pair.fails(&pair.send(), 1, &["could not connect to db2", "127.0.0.1 port", "refused"]);
    pair.db2.sshd().restart().unwrap();

    let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    let listener = StallingListener::start().unwrap();
    let port = pair.db2.sshd().port().to_string();
    pair.db1
        .write_local("2warm.toml", settings.replace(&port, &listener.port().to_string()))
        .unwrap();
    let start = Instant::now();
    pair.fails(&pair.send(), 1, &["db2"]);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    pair.db1.write_local("2warm.toml", settings).unwrap();
    pair.arrives();
}

#[test]
fn a_far_side_that_says_something_else() {
    let mut pair = Pair::by("openssh");
    pair.force("echo Welcome to this machine");
    pair.fails(&pair.send(), 1, &["\"Welcome to this machine\"", "login script"]);
    pair.force("echo no room at all >&2; exit 3");
    pair.fails(&pair.send(), 1, &["db2", "no room at all"]);
    pair.force("exit 3");
    pair.fails(&pair.send(), 1, &["db2", "exit code 3"]);
    let receiver = pair.receiver();
    pair.force(&receiver);
    fs::remove_file(&receiver).unwrap();
    pair.fails(&pair.send(), 1, &["receiveWALFile is missing", "distrib2warm"]);
    pair.db2.install_commands(BUILT, &COMMANDS).unwrap();
    pair.arrives();
}

#[test]
fn a_far_side_that_hangs_ends_the_wait_at_any_point() {
    let mut pair = Pair::by("openssh");
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
    assert!(!pair.db1.runs_program("ssh"));
}

/// A slow disk is not one that hangs.
#[test]
fn a_store_that_takes_longer_than_the_time_limit_is_waited_for() {
    let mut pair = Pair::by("openssh");
    let receiver = pair.receiver();
    pair.arrives();
    fs::remove_file(pair.archived(ONE)).unwrap();
    let trace = pair.db2.home().join("trace");
    let slowly = "-f -qq -e trace=fsync -e inject=fsync:delay_enter=5s:when=1";
    pair.force(&format!("strace {slowly} -o {} {receiver}", trace.display()));
    pair.arrives();
    let trace = fs::read_to_string(trace).unwrap();
    assert!(trace.contains("DELAYED"), "{trace}");
}
