//! The backlog of a real server.

use std::time::Instant;

use twowarm_core::testbed::StopMode;

use super::backlog::with_running_server;

#[test]
fn a_backlog_is_shipped_ahead_over_one_connection() {
    let mut waiting = with_running_server(64);
    let before = waiting.connections();
    let start = Instant::now();
    waiting.go();
    waiting.wait_until_all_archived();
    println!("64 segments: {:?}", start.elapsed());
    for name in &waiting.names {
        waiting.is_stored(name);
    }
    let (connections, ahead) = (waiting.connections() - before, waiting.shipped_ahead());
    println!("{connections} connections, {ahead} shipped ahead");
    assert!(connections <= 4 && ahead >= 60, "{connections} {ahead}\n{}", waiting.pair.db1.log());
    waiting.ended();
}

#[test]
fn a_server_stops_with_200_files_waiting() {
    let waiting = with_running_server(200);
    waiting.go();
    let start = Instant::now();
    waiting.pair.db1.stop(StopMode::Fast).unwrap();
    println!("pg_ctl stop with 200 segments waiting: {:?}", start.elapsed());
    waiting.wait_until_all_archived();
    for name in &waiting.names {
        waiting.is_stored(name);
    }
    println!("{} shipped ahead", waiting.shipped_ahead());
    assert!(waiting.shipped_ahead() >= 190, "{}", waiting.shipped_ahead());
    waiting.ended();
}
