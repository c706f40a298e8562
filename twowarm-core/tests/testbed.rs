//! The testbed: it starts real servers and sshds, and leaves nothing behind.

use std::process::{Command, Stdio};
use std::time::Duration;

use twowarm_core::testbed::{Node, StallingListener, StopMode, Testbed, finish, wait_until};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_node_starts_answers_and_stops() {
    let bed = Testbed::new().unwrap();
    let node = bed.node("db1").unwrap();
    node.initdb(&[]).unwrap();
    node.append_conf("fsync = off").unwrap();
    node.start().unwrap();
    assert_eq!(
        node.sql("select 1, null, 'x' union all select 2, 'y', 'z'").unwrap(),
        "1||x\n2|y|z"
    );
    assert!(!node.is_in_recovery().unwrap());
    assert!(node.sql("select nonsense").unwrap_err().to_string().contains("nonsense"));

    node.stop(StopMode::Fast).unwrap();
    assert_eq!(node.pid(), None);
    node.start().unwrap();
    node.kill().unwrap();
    assert_eq!(node.pid(), None);
    node.start().unwrap();
    assert!(node.log().contains("ready to accept connections"));
}

#[test]
fn a_server_that_cannot_start_shows_its_log() {
    let bed = Testbed::new().unwrap();
    let node = bed.node("db1").unwrap();
    node.initdb(&[]).unwrap();
    node.append_conf("no_such_setting = 1").unwrap();
    let error = node.start().unwrap_err().to_string();
    assert!(error.contains("no_such_setting"), "{error}");
}

#[test]
fn a_warm_standby_is_up_before_it_accepts() {
    let bed = Testbed::new().unwrap();
    let node = bed.node("db1").unwrap();
    node.initdb(&[]).unwrap();
    node.append_conf("restore_command = 'sleep 600'\nhot_standby = off").unwrap();
    node.run_as().write(&node.pgdata().join("recovery.signal"), "").unwrap();
    node.start_warm().unwrap();
    assert!(node.sql("select 1").is_err());
    wait_until("restore_command to start", LIMIT, || node.runs("sleep")).unwrap();
    drop(node);
    assert_eq!(bed.processes(), []);
}

#[test]
fn nodes_reach_each_other_by_ssh() {
    let bed = Testbed::new().unwrap();
    let (db1, mut db2) = bed.pair().unwrap();
    let said = finish(db1.ssh(&db2).unwrap().arg("echo $HOME")).unwrap();
    assert_eq!(said.trim(), db2.home().to_str().unwrap());

    db2.sshd().authorize(db1.key(), Some("echo forced")).unwrap();
    assert_eq!(finish(db1.ssh(&db2).unwrap().arg("echo asked")).unwrap(), "forced\n");

    db2.sshd().refuse(db1.key()).unwrap();
    let error = finish(db1.ssh(&db2).unwrap().arg("true")).unwrap_err().to_string();
    assert!(error.contains("Permission denied"), "{error}");
}

#[test]
fn a_dead_node_is_dead_until_it_is_restarted() {
    let bed = Testbed::new().unwrap();
    let (db1, mut db2) = bed.pair().unwrap();
    let marker = db2.home().join("session");
    let line = format!("touch {}; sleep 600", marker.display());
    let mut session = db1.ssh(&db2).unwrap();
    let mut session = session.arg(line).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the session to start", LIMIT, || marker.exists()).unwrap();

    db2.sshd().stop();
    assert!(!session.wait().unwrap().success());
    assert!(finish(db1.ssh(&db2).unwrap().arg("true")).is_err());
    db2.sshd().restart().unwrap();
    finish(db1.ssh(&db2).unwrap().arg("true")).unwrap();
}

#[test]
fn a_frozen_sshd_continues_when_thawed() {
    let bed = Testbed::new().unwrap();
    let (db1, mut db2) = bed.pair().unwrap();
    db2.sshd().freeze();
    let mut late = db1.ssh(&db2).unwrap();
    let error = finish(late.args(["-o", "ConnectTimeout=1", "true"]));
    assert!(error.is_err());
    db2.sshd().thaw();
    finish(db1.ssh(&db2).unwrap().arg("true")).unwrap();
}

#[test]
fn a_stalling_port_accepts_and_never_answers() {
    use std::io::{ErrorKind, Read};
    let port = StallingListener::start().unwrap();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn nothing_is_left_behind_after_a_panic() {
    let bed = Testbed::new().unwrap();
    let dir = bed.dir().to_owned();
    let (db1, db2) = bed.pair().unwrap();
    db1.initdb(&[]).unwrap();
    db1.start().unwrap();
    let watcher = bed.clone();
    let panicked = std::thread::spawn(move || {
        let _owned: (Testbed, Node, Node) = (bed, db1, db2);
        panic!("as a failing test would");
    });
    assert!(panicked.join().is_err());
    assert_eq!(watcher.processes(), []);
    drop(watcher);
    assert!(!dir.exists());
}

/// As a child of the test below, it writes the path of its testbed into a file and waits to be killed.
#[test]
fn a_pair_of_nodes_is_up_together() {
    let bed = Testbed::new().unwrap();
    let (db1, db2) = bed.pair().unwrap();
    for node in [&db1, &db2] {
        node.initdb(&[]).unwrap();
        node.start().unwrap();
    }
    assert_ne!(db1.port(), db2.port());
    assert_eq!(
        (db1.sql("select 1").unwrap(), db2.sql("select 2").unwrap()),
        ("1".into(), "2".into())
    );
    if let Some(tell) = std::env::var_os("TELL") {
        std::fs::write(&tell, bed.dir().to_str().unwrap()).unwrap();
        std::thread::sleep(Duration::from_secs(600));
    }
}

#[test]
fn nothing_is_left_behind_after_a_kill() {
    let bed = Testbed::new().unwrap();
    let tell = bed.dir().join("tell");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_pair_of_nodes_is_up_together"])
        .env("TELL", &tell)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let dir = wait_until("the child's testbed", LIMIT, || {
        std::fs::read_to_string(&tell).ok().filter(|text| !text.is_empty())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let dir = std::path::PathBuf::from(dir.unwrap());
    assert!(dir.exists());
    wait_until("the janitor to clean up", LIMIT, || !dir.exists()).unwrap();
    let cwds = std::fs::read_dir("/proc").unwrap().flatten();
    let left = cwds.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok());
    assert_eq!(left.filter(|cwd| cwd.starts_with(&dir)).count(), 0);
}
