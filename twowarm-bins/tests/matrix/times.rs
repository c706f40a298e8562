use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use postgres::SimpleQueryMessage;
use twowarm_core::testbed::{StopMode, finish, wait_until};
use twowarm_core::wal::Lsn;

use crate::mode::Mode;
use crate::pair::{LIMIT, Pair, names, succeeds};

/// The environment variable with the number of measurements; `make test-matrix` sets it.
const ROUNDS: &str = "TWOWARM_ROUNDS";

/// Prints a row of the table of times. It asserts nothing about them.
#[test]
fn from_arrival_to_replayed_and_from_trigger_to_writable() {
    let rounds = env::var(ROUNDS).ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for &mode in Mode::all() {
        let pair = mode.pair();
        let major = pair.db1.install().major().unwrap();
        // Before 9.0 a standby does not report its replay position.
        let arrivals = if major.has_hot_standby() { rounds } else { 0 };
        create_table(&pair);
        let arrivals = (0..arrivals).map(|_| arrival_to_replayed(&pair)).collect();
        pair.db2.stop(StopMode::Fast).unwrap();
        let pristine = pair.db2.home().join("pristine");
        copy(&pair, &pair.db2.pgdata(), &pristine);
        let promotions: Vec<Duration> = (0..rounds).map(|_| promotion(&pair, &pristine)).collect();
        let (arrival, promotion) = (median(arrivals), median(promotions));
        let major = major.to_string();
        println!(
            "TIMES PostgreSQL {major:<4} {:<8} {rounds:>2} rounds  arrival to replayed {arrival:>5} ms  \
             trigger to writable {promotion:>5} ms",
            mode.name()
        );
    }
}

fn create_table(pair: &Pair) {
    pair.db1.sql("create table replayed (n int)").unwrap();
}

/// Waits until the standby has restored all segments that have arrived and waits for the next.
fn asks_for_more(pair: &Pair) {
    let last = names(&pair.db2.archive()).into_iter().rfind(|name| name.len() == 24).unwrap();
    wait_until("db2 to wait for a segment", LIMIT, || pair.db2.waits_after(&last))
        .unwrap_or_else(|error| panic!("{error}\n{}", pair.db2.relevant_log()));
}

/// From the moment a segment got its final name in the archive until all of it is replayed.
fn arrival_to_replayed(pair: &Pair) -> Duration {
    asks_for_more(pair);
    let major = pair.db1.install().major().unwrap();
    pair.db1.sql("insert into replayed select generate_series(1, 1000)").unwrap();
    let position: Lsn = pair.db1.sql(major.current_wal_position()).unwrap().parse().unwrap();
    let name = pair.db1.sql(major.current_wal_file()).unwrap();
    let mut client = pair.db2.client().unwrap();
    pair.db1.sql(major.switch_wal()).unwrap();
    let mut replayed =
        || match client.simple_query(major.last_replayed()).unwrap().iter().find_map(row) {
            Some(text) => text.parse::<Lsn>().unwrap(),
            None => Lsn::INVALID,
        };
    let start = Instant::now();
    while replayed() < position {
        assert!(start.elapsed() < LIMIT, "{name} is not replayed");
        sleep(Duration::from_millis(1));
    }
    let replayed = SystemTime::now();
    // The rename was the last change of its inode.
    let file = fs::metadata(pair.db2.archive().join(name)).unwrap();
    let nanos = u32::try_from(file.ctime_nsec()).unwrap();
    let arrived = Duration::new(u64::try_from(file.ctime()).unwrap(), nanos);
    replayed.duration_since(SystemTime::UNIX_EPOCH + arrived).unwrap_or_default()
}

/// From a trigger until a write is committed, when everything has been replayed.
fn promotion(pair: &Pair, pristine: &Path) -> Duration {
    let db2 = &pair.db2;
    fs::remove_dir_all(db2.pgdata()).unwrap();
    copy(pair, pristine, &db2.pgdata());
    db2.start_warm().unwrap();
    let rows = pair.db1.sql("select count(*) from replayed").unwrap().parse().unwrap();
    pair.wait_for_rows("replayed", rows);
    asks_for_more(pair);
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

fn row(message: &SimpleQueryMessage) -> Option<String> {
    match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }
}

fn copy(pair: &Pair, from: &Path, to: &Path) {
    finish(pair.db2.program("cp").arg("-a").arg(from).arg(to)).unwrap();
}

/// In milliseconds, or `-` without a measurement.
fn median(mut durations: Vec<Duration>) -> String {
    durations.sort();
    let middle = durations.get(durations.len() / 2);
    middle.map_or("-".to_owned(), |duration| duration.as_millis().to_string())
}
