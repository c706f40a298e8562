use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use twowarm_core::testbed::{StopMode, finish, wait_until};

use crate::mode::Mode;
use crate::pair::{LIMIT, Pair, succeeds};

/// How many of each are measured; the matrix takes more.
const ROUNDS: &str = "TWOWARM_ROUNDS";

/// How long the server gets to ask for the next segment, since nothing tells when it does.
const TO_ASK: Duration = Duration::from_millis(500);

/// Prints a row of the matrix's table; asserts nothing about time.
#[test]
fn from_arrival_to_replayed_and_from_trigger_to_writable() {
    let rounds = env::var(ROUNDS).ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for mode in Mode::ALL {
        let pair = mode.pair();
        let arrivals: Vec<Duration> = (0..rounds).map(|_| arrival_to_replayed(&pair)).collect();
        pair.db2.stop(StopMode::Fast).unwrap();
        let pristine = pair.db2.home().join("pristine");
        copy(&pair, &pair.db2.pgdata(), &pristine);
        let promotions: Vec<Duration> = (0..rounds).map(|_| promotion(&pair, &pristine)).collect();
        let major = pair.db1.install().major().unwrap().to_string();
        let (arrival, promotion) = (median(arrivals), median(promotions));
        println!(
            "TIMES PostgreSQL {major:<4} {:<8} {rounds:>2} rounds  arrival to replayed {arrival:>5} ms  \
             trigger to writable {promotion:>5} ms",
            mode.name()
        );
    }
}

/// From the moment a segment got its final name in the archive until all of it is replayed.
fn arrival_to_replayed(pair: &Pair) -> Duration {
    sleep(TO_ASK);
    pair.db1.sql("create table if not exists replayed (n int)").unwrap();
    pair.db1.sql("insert into replayed select generate_series(1, 1000)").unwrap();
    let place = pair.db1.sql("select pg_current_wal_lsn(), pg_walfile_name(pg_current_wal_lsn())");
    let place = place.unwrap();
    let (position, name) = place.split_once('|').unwrap();
    let mut client = pair.db2.client().unwrap();
    pair.db1.sql("select pg_switch_wal()").unwrap();
    let question = format!("select pg_last_wal_replay_lsn() >= '{position}'");
    let start = Instant::now();
    while !client.query_one(&question, &[]).unwrap().get::<_, bool>(0) {
        assert!(start.elapsed() < LIMIT, "{name} is not replayed");
        sleep(Duration::from_millis(1));
    }
    let replayed = SystemTime::now();
    // Only renaming has changed its inode since it was written.
    let file = fs::metadata(pair.db2.archive().join(name)).unwrap();
    let nanos = u32::try_from(file.ctime_nsec()).unwrap();
    let arrived = Duration::new(u64::try_from(file.ctime()).unwrap(), nanos);
    replayed.duration_since(SystemTime::UNIX_EPOCH + arrived).unwrap_or_default()
}

/// From a trigger until a write is committed, with nothing left to replay.
fn promotion(pair: &Pair, pristine: &Path) -> Duration {
    let db2 = &pair.db2;
    fs::remove_dir_all(db2.pgdata()).unwrap();
    copy(pair, pristine, &db2.pgdata());
    db2.start_warm().unwrap();
    let rows = pair.db1.sql("select count(*) from replayed").unwrap();
    wait_until("all to be replayed", LIMIT, || {
        db2.sql("select count(*) from replayed").is_ok_and(|count| count == rows)
    })
    .unwrap();
    sleep(TO_ASK);
    let mut trigger = db2.command("triggerStandby");
    trigger.arg("--no-wait");
    let start = Instant::now();
    succeeds(trigger);
    let written = || db2.sql("create table written (n int)").is_ok();
    wait_until("the server to take writes", LIMIT, written).unwrap();
    let took = start.elapsed();
    db2.stop(StopMode::Immediate).unwrap();
    took
}

fn copy(pair: &Pair, from: &Path, to: &Path) {
    finish(pair.db2.program("cp").arg("-a").arg(from).arg(to)).unwrap();
}

fn median(mut durations: Vec<Duration>) -> u128 {
    durations.sort();
    durations[durations.len() / 2].as_millis()
}
