//! How the process that ships ahead ends, and what it holds.

use std::fs;
use std::time::{Duration, Instant};

use super::backlog::without_server;

#[test]
fn it_holds_no_file_of_the_server() {
    let waiting = without_server(3);
    let log = waiting.pair.db1.home().join("log");
    let mut call = waiting.pair.db1.program("sh");
    call.current_dir(waiting.pair.db1.pgdata());
    let command = "exec ../2warm/global/replication/archiveWALFile pg_wal/$0 $0";
    call.args(["-c", &format!("exec 7>>{0} 2>>{0}; {command}", log.display()), &waiting.names[0]]);
    let start = Instant::now();
    assert!(call.status().unwrap().success(), "{}", fs::read_to_string(&log).unwrap());
    let processes = waiting.processes();
    assert_eq!(processes.len(), 1, "{processes:?}");
    for open in processes[0].open_files() {
        let is_own = open.starts_with("/dev")
            || !open.is_absolute()
            || open == waiting.pair.db1.local().join("replication");
        assert!(is_own, "{}", open.display());
    }
    waiting.ended();
    assert!(start.elapsed() < Duration::from_secs(10));
}
