//! How the process that ships ahead ends, and what it holds.

use std::fs;
use std::time::Duration;

use twowarm_core::testbed::{StallingListener, StopMode, wait_until};

use super::backlog::{Waiting, with_running_server, without_server};
use crate::pair::{LIMIT, said};

#[test]
fn it_holds_no_file_of_the_server() {
    let waiting = without_server(3);
    let db1 = &waiting.pair.db1;
    let log = db1.home().join("log");
    let mut call = db1.program("sh");
    call.current_dir(db1.pgdata());
    let command = "exec ../2warm/global/replication/archiveWALFile pg_wal/$0 $0";
    call.args(["-c", &format!("exec 7>>{0} 2>>{0}; {command}", log.display()), &waiting.names[0]]);
    assert!(call.status().unwrap().success(), "{}", fs::read_to_string(&log).unwrap());
    let processes = waiting.processes();
    assert_eq!(processes.len(), 1, "{processes:?}");
    let replication = db1.local().join("replication");
    for open in processes[0].open_files() {
        let is_file = open.is_absolute() && !open.starts_with("/dev") && open != replication;
        // It may be reading the file that it ships, or what tells it that the server runs.
        let is_own = open.starts_with(db1.pgdata()) || open.starts_with("/proc");
        assert!(!is_file || is_own, "{}", open.display());
        assert_ne!(open, log);
    }
    waiting.ended();
}

/// Makes db1 ship to a port that accepts connections and never answers.
fn stalls(waiting: &mut Waiting) -> StallingListener {
    let listener = StallingListener::start().unwrap();
    let file = waiting.pair.db1.local().join("2warm.toml");
    let settings = fs::read_to_string(&file).unwrap();
    let port = waiting.pair.db2.sshd().port().to_string();
    let stalling = settings.replace(&port, &listener.port().to_string());
    waiting.pair.db1.write_local("2warm.toml", stalling).unwrap();
    listener
}

/// So that nothing ends because of it.
fn longer_limit(waiting: &Waiting) {
    let settings = fs::read_to_string(waiting.pair.db1.local().join("2warm.toml")).unwrap();
    let longer = settings.replace("time_limit = 3", "time_limit = 600");
    waiting.pair.db1.write_local("2warm.toml", longer).unwrap();
}

/// Not one in the process and another in the call.
#[test]
fn a_node_that_does_not_answer_costs_one_time_limit() {
    let mut waiting = without_server(3);
    let mut listener = stalls(&mut waiting);
    let output = waiting.call(&waiting.names[0]).env("TWOWARM_LOG", "warn").output().unwrap();
    assert_eq!(listener.connections(), 1);
    waiting.pair.fails(&output, 1, &["db2", "no progress in 3 s"]);
    waiting.ended();
}

#[test]
fn a_node_that_refuses_connections_is_reported_by_the_call() {
    let mut waiting = without_server(3);
    waiting.pair.db2.sshd().stop();
    let output = waiting.call(&waiting.names[0]).env("TWOWARM_LOG", "warn").output().unwrap();
    waiting.pair.fails(&output, 1, &["db2", "Connection refused"]);
    waiting.ended();
}

#[test]
fn a_damaged_file_far_behind_does_not_cost_those_before_it() {
    let mut waiting = without_server(6);
    let damaged = waiting.names[4].clone();
    let path = waiting.wal(&damaged);
    let sound = fs::read(&path).unwrap();
    let mut content = sound.clone();
    content[100_000..100_100].fill(0xff);
    fs::write(&path, &content).unwrap();
    let before = waiting.connections();
    for name in &waiting.names[..4] {
        let text = waiting.archive(name);
        assert!(text.contains("was shipped ahead"), "{name}: {text}");
    }
    assert_eq!(waiting.connections() - before, 1);
    let output = waiting.call(&damaged).env("TWOWARM_LOG", "warn").output().unwrap();
    let text = said(&output);
    assert!(!output.status.success() && text.contains("it is damaged"), "{text}");
    assert!(!waiting.pair.archived(&damaged).exists());
    fs::write(&path, sound).unwrap();
    waiting.archive(&damaged);
    waiting.archive(&waiting.names[5]);
    waiting.ended();
}

#[test]
fn a_server_with_a_backlog_stops_although_the_other_node_never_answers() {
    let mut waiting = with_running_server(5);
    let _listener = stalls(&mut waiting);
    longer_limit(&waiting);
    waiting.go();
    wait_until("the process to start", LIMIT, || waiting.socket().exists()).unwrap();
    waiting.pair.db1.stop(StopMode::Fast).unwrap();
    waiting.ended();
}

#[test]
fn it_does_not_survive_its_server() {
    let mut waiting = with_running_server(5);
    let _listener = stalls(&mut waiting);
    longer_limit(&waiting);
    waiting.go();
    wait_until("the process to start", LIMIT, || waiting.socket().exists()).unwrap();
    waiting.pair.db1.kill().unwrap();
    wait_until("the process to end", Duration::from_secs(10), || waiting.processes().is_empty())
        .unwrap();
}
