//! archiveWALFile to receiveWALFile through a real sshd: what arrives, and every bad input and bad
//! luck on the way. Each of these is one line on stderr, an exit code, and nothing under a final name;
//! and the segment arrives when the cause is gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use twowarm_core::testbed::{Node, StallingListener, Testbed, finish, wait_until};

const COMMANDS: [&str; 2] = ["archiveWALFile", "receiveWALFile"];
/// The first segment of every cluster that initdb makes.
const ONE: &str = "000000010000000000000001";
const LIMIT: Duration = Duration::from_secs(20);

/// db1 with a cluster whose archiving is active, and db2 with an archive.
struct Pair {
    bed: Testbed,
    db1: Node,
    db2: Node,
}

impl Pair {
    fn new() -> Pair {
        let bed = Testbed::new().expect("the testbed works");
        let (db1, db2) = bed.pair().expect("the testbed works");
        let built =
            Path::new(env!("CARGO_BIN_EXE_archiveWALFile")).parent().expect("the testbed works");
        for node in [&db1, &db2] {
            node.install_commands(built, &COMMANDS).expect("the testbed works");
        }
        db1.initdb(&[]).expect("the testbed works");
        db1.prepend_settings("time_limit = 3").expect("the testbed works");
        db1.write_local("replication/archiving_active", "").expect("the testbed works");
        for directory in [db2.pgdata(), db2.archive()] {
            db2.run_as().make_dir(&directory, 0o700).expect("the testbed works");
        }
        Pair { bed, db1, db2 }
    }

    fn archive(&self, path: &str, name: &str) -> Output {
        self.db1.command("archiveWALFile").args([path, name]).output().expect("the testbed works")
    }

    /// Sends the first segment.
    fn send(&self) -> Output {
        self.archive(&format!("pg_wal/{ONE}"), ONE)
    }

    fn arrives(&self) {
        let output = self.send();
        assert!(output.status.success(), "{}", said(&output));
        let sent = fs::read(self.db1.pgdata().join("pg_wal").join(ONE)).expect("the testbed works");
        assert!(
            fs::read(self.archived(ONE)).expect("the testbed works") == sent,
            "another content arrived"
        );
        assert_eq!(self.leftovers(), 0);
    }

    fn archived(&self, name: &str) -> PathBuf {
        self.db2.archive().join(name)
    }

    fn leftovers(&self) -> usize {
        fs::read_dir(self.archived(".incoming")).map_or(0, Iterator::count)
    }

    /// It fails with this exit code, one line that says all of `words`, and stores nothing.
    fn fails(&self, output: &Output, code: i32, words: &[&str]) {
        let text = said(output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("archiveWALFile: ERROR: "), "{text}");
        for word in words {
            assert!(text.contains(word), "\"{word}\" is not in: {text}");
        }
        if let Ok(files) = fs::read_dir(self.db2.archive()) {
            let names: Vec<_> = files.map(|f| f.expect("the testbed works").file_name()).collect();
            assert!(!names.iter().any(|n| n.len() >= 16), "{names:?}");
        }
    }

    /// Lets db1 in on db2 for this command only.
    fn force(&mut self, command: &str) {
        self.db2.sshd().authorize(self.db1.key(), Some(command)).expect("the testbed works");
    }

    fn receiver(&self) -> String {
        self.db2.global().join("replication/receiveWALFile").display().to_string()
    }
}

fn said(output: &Output) -> String {
    assert!(output.stdout.is_empty());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_segment_arrives_and_again_is_fine() {
    let mut pair = Pair::new();
    pair.arrives();
    let start = Instant::now();
    let again = pair.send();
    println!("a second time: {:?}", start.elapsed());
    assert!(again.status.success());
    assert!(said(&again).contains("already"), "{}", said(&again));

    // Pinned to the one command by authorized_keys.
    let receiver = pair.receiver();
    pair.force(&receiver);
    fs::remove_file(pair.archived(ONE)).unwrap();
    let start = Instant::now();
    pair.arrives();
    println!("a segment of 16 MB: {:?}", start.elapsed());
}

#[test]
fn a_server_ships_its_segments() {
    let pair = Pair::new();
    let command = "../2warm/global/replication/archiveWALFile %p %f";
    let conf = format!("archive_mode = on\narchive_command = '{command}'\nfsync = off");
    pair.db1.append_conf(&conf).unwrap();
    pair.db1.start().unwrap();
    pair.db1.sql("create table t as select 1 as n; select pg_switch_wal()").unwrap();
    pair.db1.sql("insert into t values (2); select pg_switch_wal()").unwrap();
    let second = pair.archived("000000010000000000000002");
    wait_until("two segments", LIMIT, || second.exists() && pair.archived(ONE).exists()).unwrap();
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
    let pair = Pair::new();
    let wal = format!("pg_wal/{ONE}");
    pair.fails(&pair.archive(&wal, "nonsense"), 2, &["nonsense", "WAL file name"]);
    pair.fails(&pair.archive("pg_wal/none", ONE), 1, &["pg_wal/none", "No such file"]);
    let one_argument = pair.db1.command("archiveWALFile").arg(ONE).output().unwrap();
    pair.fails(&one_argument, 2, &["usage: archiveWALFile PATH NAME"]);
    // Under another name than its own it is what a recycled segment looks like.
    pair.fails(&pair.archive(&wal, "000000010000000000000007"), 1, &["is not sent", "recycled"]);
    let half = pair.db1.pgdata().join("half");
    let content = fs::read(pair.db1.pgdata().join(&wal)).unwrap();
    pair.db1.run_as().write(&half, &content[..8192]).unwrap();
    pair.fails(&pair.archive("half", ONE), 1, &["8192 bytes", "16777216"]);

    pair.db1.write_local("replication/othernode", "").unwrap();
    pair.fails(&pair.send(), 2, &["othernode"]);
    pair.db1.write_local("replication/othernode", "db2\n").unwrap();

    let control = pair.db1.pgdata().join("global/pg_control");
    let good = fs::read(&control).unwrap();
    let mut torn = good.clone();
    torn[100] ^= 1;
    pair.db1.run_as().write(&control, torn).unwrap();
    pair.fails(&pair.send(), 1, &["pg_control", "checksum"]);
    fs::remove_file(&control).unwrap();
    pair.fails(&pair.send(), 2, &["pg_control"]);
    pair.db1.run_as().write(&control, good).unwrap();
    pair.arrives();
}

#[test]
fn the_far_archive_refuses() {
    let mut pair = Pair::new();
    // Missing: an unmounted disk.
    fs::remove_dir(pair.db2.archive()).unwrap();
    pair.fails(&pair.send(), 1, &["db2 refused", "archive directory", "missing"]);
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

    // The data directory there holds another cluster.
    let moved = pair.db2.home().join("kept");
    fs::rename(pair.db2.pgdata(), &moved).unwrap();
    pair.db2.initdb(&[]).unwrap();
    pair.db2.run_as().make_dir(&pair.db2.archive(), 0o700).unwrap();
    pair.fails(&pair.send(), 2, &["db2 refused", "another cluster", "copyToStandby"]);
    fs::remove_dir_all(pair.db2.pgdata()).unwrap();
    fs::rename(moved, pair.db2.pgdata()).unwrap();
    pair.arrives();

    // Another content stands under the name.
    let mut content = fs::read(pair.archived(ONE)).unwrap();
    content[9000] ^= 1;
    pair.db2.run_as().write(&pair.archived(ONE), &content).unwrap();
    let output = pair.send();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("other content"), "{}", said(&output));
    assert!(fs::read(pair.archived(ONE)).unwrap() == content, "it was overwritten");

    // Another sender.
    fs::remove_file(pair.db1.local().join("replication/node_id")).unwrap();
    let output = pair.send();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("configStandby"), "{}", said(&output));
}

struct Mounted(PathBuf);

impl Mounted {
    fn on(place: &Path) -> Mounted {
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
fn a_node_that_sends_to_itself_is_told_so() {
    let pair = Pair::new();
    pair.db1.reach(&pair.db1).unwrap();
    let output = pair.send();
    pair.fails(&output, 2, &["db1 refused", "to itself", "node_id"]);
}

#[test]
fn host_keys_are_checked() {
    let pair = Pair::new();
    let known = fs::read_to_string(pair.db1.known_hosts()).unwrap();
    let write = |text: &str| pair.db1.run_as().write(&pair.db1.known_hosts(), text).unwrap();
    let file = pair.db1.known_hosts().display().to_string();

    write("");
    pair.fails(&pair.send(), 2, &["is not known", "SHA256:", &file, "[127.0.0.1]:"]);
    let other = pair.db1.copy_key().public();
    let host = known.split(' ').next().unwrap();
    write(&format!("# a comment\n{host} {other}\n"));
    pair.fails(&pair.send(), 2, &["has changed", "SHA256:", &file, "line 2"]);
    write(&format!("@revoked {known}{known}"));
    pair.fails(&pair.send(), 2, &["@revoked", &file]);

    // Hashed names, patterns, and a name without its port are all known.
    write(&known);
    let mut hash = pair.db1.program("ssh-keygen");
    finish(hash.args(["-H", "-f"]).arg(pair.db1.known_hosts())).unwrap();
    assert!(fs::read_to_string(pair.db1.known_hosts()).unwrap().starts_with("|1|"));
    pair.arrives();
    let key = known.split_once(' ').unwrap().1;
    for names in ["[127.0.0.*]:*", "127.0.0.1", "other,127.0.0.1"] {
        write(&format!("{names} {key}"));
        pair.arrives();
    }
    fs::remove_file(pair.archived(ONE)).unwrap();
    fs::remove_file(pair.db1.known_hosts()).unwrap();
    pair.fails(&pair.send(), 2, &["is not known"]);
}

#[test]
fn what_the_ssh_configuration_says_is_honoured() {
    let mut pair = Pair::new();
    let (port, user) = (pair.db2.sshd().port(), pair.db2.run_as().user().to_owned());
    let home = pair.db1.home().to_owned();
    let pgroot = pair.db2.pgroot().display().to_string();
    let settings = format!("time_limit = 3\n[node.db2]\npgroot = \"{pgroot}\"\n");
    pair.db1.write_local("2warm.toml", &settings).unwrap();
    pair.db1.run_as().write(&home.join(".ssh/config"), "Include own\n").unwrap();
    let config = |more: &str| {
        let text = format!(
            "Host db2\nHostName 127.0.0.1\nPort {port}\nUser {user}\nIdentityFile ~/.ssh/ship\n{more}\n"
        );
        pair.db1.run_as().write(&home.join(".ssh/own"), &text).unwrap();
        // ssh looks for included files below the listed home, not $HOME.
        let main = format!("Include {}/.ssh/own\n", home.display());
        pair.db1.run_as().write(&home.join(".ssh/config"), &main).unwrap();
    };
    config("");
    pair.arrives();
    fs::remove_file(pair.archived(ONE)).unwrap();
    config("ProxyJump bastion");
    pair.fails(&pair.send(), 2, &["ProxyJump", "cannot be honoured"]);
    config("HostKeyAlias other");
    pair.fails(&pair.send(), 2, &["host key of other"]);
    config("NoSuchOption yes");
    pair.fails(&pair.send(), 2, &["db2", "configuration"]);
    config("");
    pair.arrives();
}

#[test]
fn an_agent_s_key_is_used() {
    let mut pair = Pair::new();
    let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    let no_key: String =
        settings.split_inclusive('\n').filter(|line| !line.contains("key = ")).collect();
    pair.db1.write_local("2warm.toml", no_key).unwrap();
    let user = pair.db2.run_as().user().to_owned();
    pair.fails(&pair.send(), 2, &["refused the login", &user, "no key"]);

    let socket = pair.db1.home().join("agent");
    let mut agent = pair.db1.program("ssh-agent");
    let mut agent = agent.arg("-D").arg("-a").arg(&socket).spawn().unwrap();
    wait_until("the agent", LIMIT, || socket.exists()).unwrap();
    let with_agent = |name: &str| {
        let mut command = pair.db1.command(name);
        command.env("SSH_AUTH_SOCK", &socket);
        command
    };
    let mut add = pair.db1.program("ssh-add");
    finish(add.env("SSH_AUTH_SOCK", &socket).arg(pair.db1.key().private())).unwrap();
    let output =
        with_agent("archiveWALFile").args([&format!("pg_wal/{ONE}"), ONE]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    // IdentitiesOnly: the agent's key counts only if a file names it.
    let config = |text: &str| {
        pair.db1.run_as().write(&pair.db1.home().join(".ssh/config"), text).unwrap();
        with_agent("archiveWALFile").args([&format!("pg_wal/{ONE}"), ONE]).output().unwrap()
    };
    let refused = config("IdentitiesOnly yes\n");
    assert!(said(&refused).contains("refused the login"), "{}", said(&refused));
    let private = pair.db1.key().private().display();
    let found = config(&format!("IdentitiesOnly yes\nIdentityFile {private}\n"));
    assert!(found.status.success(), "{}", said(&found));
    agent.kill().unwrap();
    agent.wait().unwrap();
    pair.db2.sshd().stop();
}

#[test]
fn a_refused_login_names_the_user_and_the_keys() {
    let mut pair = Pair::new();
    let (user, key) = (pair.db2.run_as().user().to_owned(), pair.db1.key().clone());
    pair.db2.sshd().refuse(&key).unwrap();
    let private = key.private().display().to_string();
    pair.fails(&pair.send(), 2, &["refused the login", &user, &private, "127.0.0.1"]);
    pair.db2.sshd().authorize(&key, None).unwrap();
    pair.arrives();
}

#[test]
fn nodes_that_can_not_be_reached() {
    let mut pair = Pair::new();
    pair.db2.sshd().stop();
    pair.fails(&pair.send(), 1, &["could not connect", "127.0.0.1", "refused"]);
    pair.db2.sshd().restart().unwrap();

    let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    let nowhere = settings.replace("host = \"127.0.0.1\"", "host = \"no-such-host.invalid\"");
    pair.db1.write_local("2warm.toml", nowhere).unwrap();
    pair.fails(&pair.send(), 1, &["no-such-host.invalid", "does not resolve"]);

    let listener = StallingListener::start().unwrap();
    let port = pair.db2.sshd().port().to_string();
    let stalling = settings.replace(&port, &listener.port().to_string());
    pair.db1.write_local("2warm.toml", stalling).unwrap();
    let start = Instant::now();
    let known = fs::read_to_string(pair.db1.known_hosts()).unwrap();
    pair.fails(&pair.send(), 1, &["127.0.0.1", "no progress in 3 s"]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
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
        pair.force(&format!("head -c {bytes} >/dev/null; exec sleep 60"));
        let start = Instant::now();
        pair.fails(&pair.send(), 1, &["db2", "no progress"]);
        assert!(start.elapsed() < Duration::from_secs(7), "{bytes}: {:?}", start.elapsed());
    }
    for bytes in [300, 200_000, 16_777_216 + 400] {
        pair.force(&format!("(head -c {bytes}; sleep 60) | {receiver}"));
        let start = Instant::now();
        let output = pair.send();
        assert!(start.elapsed() < Duration::from_secs(9), "{bytes}: {:?}", start.elapsed());
        pair.fails(&output, 1, &["db2", "no progress"]);
    }
    pair.force(&receiver);
    pair.arrives();
}

#[test]
fn a_far_side_that_says_something_else() {
    let mut pair = Pair::new();
    pair.force("echo Welcome to this machine");
    pair.fails(&pair.send(), 2, &["\"Welcome \"", "login script"]);
    pair.force("echo no room at all >&2; exit 3");
    pair.fails(&pair.send(), 1, &["db2", "no room at all"]);
    pair.force("exit 3");
    pair.fails(&pair.send(), 1, &["db2", "exit code 3"]);
    let receiver = pair.receiver();
    pair.force(&receiver);
    fs::remove_file(&receiver).unwrap();
    pair.fails(&pair.send(), 1, &["receiveWALFile", "distrib2warm"]);
    let built = Path::new(env!("CARGO_BIN_EXE_receiveWALFile")).parent().unwrap();
    pair.db2.install_commands(built, &COMMANDS).unwrap();
    pair.db2.write_local("2warm.toml", "nonsense = 1\n").unwrap();
    pair.fails(&pair.send(), 1, &["db2", "nonsense"]);
    pair.db2.write_local("2warm.toml", "").unwrap();
    pair.arrives();
}

#[test]
fn two_at_once_for_the_same_segment_both_succeed() {
    let pair = Pair::new();
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
    let mut killed = 0;
    for number in [1, 2, 5, 10, 20, 40, 100, 200, 400, 500, 510, 520, 521, 522, 523, 524, 525, 526]
    {
        let mut strace = pair.db1.program("strace");
        let inject = format!("inject=sendto:signal=KILL:when={number}");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject]);
        strace.arg(pair.db1.global().join("replication/archiveWALFile"));
        strace.args([&format!("pg_wal/{ONE}"), ONE]).current_dir(pair.db1.pgdata());
        let output = strace.output().unwrap();
        killed += u32::from(!output.status.success());
        wait_until("the receiver to end", LIMIT, || !pair.db2.runs("receiveWALFile")).unwrap();
        if let Ok(content) = fs::read(pair.archived(ONE)) {
            assert_eq!(content.len(), 16 << 20, "at send {number}");
        }
        pair.arrives();
        fs::remove_file(pair.archived(ONE)).unwrap();
    }
    assert!(killed >= 10, "only {killed} were killed on their way");
    drop(pair.bed);
}
