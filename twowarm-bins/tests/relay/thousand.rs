//! 1,000 segments on the way to a standby that replays them, while the network to both nodes fails at random.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};

use twowarm_core::archive::Archive;
use twowarm_core::testbed::{Direction, Fault, FaultProxy, Node, names_in, wait_until};

use crate::trio::{LIMIT, Trio, holds, said, start_standby};

const SEGMENTS: usize = 1000;
/// How many calls run at the same time, so that the test does not take minutes.
const CALLS: usize = 6;
/// The limit for all of it.
const TIME: Duration = Duration::from_secs(180);

#[test]
fn a_thousand_segments_arrive_while_both_nodes_come_and_go() {
    let start = Instant::now();
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
    let seed = std::env::var("SEED").ok().map_or(seed, |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let trio = Trio::without_directories();
    let settings = fs::read_to_string(trio.db1.local().join("2warm.toml")).unwrap();
    let brief = settings.replace("time_limit = 3", "time_limit = 1");
    trio.db1.write_local("2warm.toml", brief).unwrap();
    let names = written(&trio);
    assert_eq!(names.len(), SEGMENTS);
    trio.standby_fetches();
    trio.db2.prepend_settings("time_limit = 3").unwrap();
    start_standby(&trio.db2);

    let mut archiver = Archiver::new(&trio, &names, Random(seed));
    let mut lines = [Line::new(&trio.to_db2), Line::new(&trio.to_db3)];
    wait_until("all segments to be archived", TIME - start.elapsed(), || {
        for line in &mut lines {
            line.changes(&mut archiver.random);
        }
        archiver.proceeds();
        archiver.is_done()
    })
    .unwrap();
    for line in &mut lines {
        line.recovers();
        line.proxy.clear_faults();
    }
    println!("archived after {:?}", start.elapsed());
    let replayed = || trio.db2.log().matches("restored log file").count();
    println!("{} replayed", replayed());
    let rows = (SEGMENTS - 1).to_string();
    wait_until("the standby to replay all", TIME.saturating_sub(start.elapsed()), || {
        trio.db2.sql("select count(*) from t").is_ok_and(|found| found == rows)
    })
    .unwrap_or_else(|error| {
        panic!("{error}: {} segments replayed\n{}", replayed(), trio.db2.log())
    });
    println!("replayed after {:?}", start.elapsed());
    let archive = Archive::open(&trio.db3.archive()).unwrap();
    wait_until(
        "the DR node to keep nothing for the standby",
        TIME.saturating_sub(start.elapsed()),
        || archive.consumers().unwrap().is_empty(),
    )
    .unwrap();
    let [on_db2, on_db3] = [&trio.db2, &trio.db3].map(|node| verified(&trio, node, &names));
    assert!(on_db2.iter().eq(names.iter()), "the standby's archive lacks segments");
    let (failed, killed, relayed) = (archiver.failed, archiver.killed, on_db3.len());
    println!(
        "{relayed} segments were relayed; {failed} calls failed, {killed} were killed; faults: {:?}",
        lines.map(|line| line.faults)
    );
    assert!((20..SEGMENTS - 20).contains(&relayed), "one route only");
    assert!(failed > 0 && killed > 0, "nothing failed");
}

/// Makes db2 and db3 copies of db1, and lets db1 write; returns the names of its segments.
fn written(trio: &Trio) -> Vec<String> {
    let Trio { db1, db3, .. } = trio;
    trio.copy_to(&trio.db2);
    for directory in [db3.pgdata(), db3.archive()] {
        db3.run_as().make_dir(&directory, 0o700).unwrap();
    }
    // Without an archive_command the server keeps all its WAL, and the test calls archiveWALFile in its place.
    db1.append_conf("archive_mode = on\narchive_command = ''\nmax_wal_size = 8GB\ncheckpoint_timeout = 1h\nwal_init_zero = off")
        .unwrap();
    db1.start().unwrap();
    db1.sql("create table t (n int)").unwrap();
    let rows = SEGMENTS - 1;
    db1.sql(&format!("do $$ begin for n in 1..{rows} loop insert into t values (n); perform pg_switch_wal(); end loop; end $$"))
        .unwrap();
    // The commit is in the last one.
    db1.switch_wal().unwrap();
    let names = names_in(&db1.pgdata().join("pg_wal/archive_status"));
    names.iter().filter_map(|name| name.strip_suffix(".ready")).map(str::to_owned).collect()
}

/// The segments in a node's archive. Each has the primary's content, and there are no others.
fn verified(trio: &Trio, node: &Node, names: &[String]) -> BTreeSet<String> {
    wait_until("receivers to end", LIMIT, || !node.runs("receiveWALFile")).unwrap();
    let found: BTreeSet<String> =
        names_in(&node.archive()).into_iter().filter(|name| !name.starts_with('.')).collect();
    for name in &found {
        assert!(names.contains(name), "{name} on {}", node.name());
        let sent = fs::read(trio.db1.pgdata().join("pg_wal").join(name)).unwrap();
        let stored = fs::read(node.archive().join(name)).unwrap();
        assert!(sent == stored, "{name} on {}", node.name());
    }
    found
}

/// Calls archiveWALFile for each segment until it succeeds, as a server's archiver does, and now and then kills it.
struct Archiver<'a> {
    trio: &'a Trio,
    waiting: BTreeSet<&'a str>,
    running: Vec<(&'a str, Child)>,
    random: Random,
    failed: u32,
    killed: u32,
}

impl<'a> Archiver<'a> {
    fn new(trio: &'a Trio, names: &'a [String], random: Random) -> Archiver<'a> {
        let waiting = names.iter().map(String::as_str).collect();
        Archiver { trio, waiting, running: Vec::new(), random, failed: 0, killed: 0 }
    }

    fn proceeds(&mut self) {
        let mut still = Vec::new();
        for (name, mut child) in self.running.drain(..) {
            if self.random.one_in(1000) {
                self.killed += u32::from(child.kill().is_ok());
            }
            match child.try_wait().unwrap() {
                Some(status) if status.success() => {
                    let trio = self.trio;
                    assert!(holds(&trio.db3, name) || holds(&trio.db2, name), "{name} is lost");
                    // As the server does, so that it is not shipped ahead again.
                    let status = trio.db1.pgdata().join("pg_wal/archive_status").join(name);
                    let [ready, done] = ["ready", "done"].map(|state| status.with_extension(state));
                    fs::rename(ready, done).unwrap();
                }
                Some(status) => {
                    let output = child.wait_with_output().unwrap();
                    assert!(status.code() != Some(101), "{}", said(&output));
                    self.failed += 1;
                    self.waiting.insert(name);
                }
                None => still.push((name, child)),
            }
        }
        while still.len() < CALLS
            && let Some(name) = self.waiting.pop_first()
        {
            let mut call = self.trio.db1.command("archiveWALFile");
            call.args([&format!("pg_wal/{name}"), name]);
            call.stdout(Stdio::piped()).stderr(Stdio::piped());
            still.push((name, call.spawn().unwrap()));
        }
        self.running = still;
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }
}

/// The network to one node.
struct Line<'a> {
    proxy: &'a FaultProxy,
    next_change: Instant,
    is_down: bool,
    faults: u32,
}

impl<'a> Line<'a> {
    fn new(proxy: &'a FaultProxy) -> Line<'a> {
        Line { proxy, next_change: Instant::now(), is_down: false, faults: 0 }
    }

    /// Interrupts or restores the connection, or schedules a fault, when it is time for that.
    fn changes(&mut self, random: &mut Random) {
        if Instant::now() < self.next_change {
            return;
        }
        self.next_change += Duration::from_millis(100 + random.next(900));
        if self.is_down {
            return self.recovers();
        }
        self.faults += 1;
        let direction = [Direction::ToServer, Direction::ToClient][random.next(2) as usize];
        let offset = random.next(20_000);
        match random.next(6) {
            0 | 1 => self.proxy.refuse(true),
            2 => self.proxy.stall(),
            3 => self.proxy.cut(),
            4 => self.proxy.fault_at(direction, offset, Fault::Cut),
            _ => self.proxy.fault_at(direction, offset, Fault::FlipBit),
        }
        self.is_down = true;
    }

    fn recovers(&mut self) {
        self.proxy.refuse(false);
        self.proxy.resume();
        self.is_down = false;
    }
}

/// Pseudo-random numbers (xorshift64*): a printed seed repeats the faults.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next(n) == 0
    }
}
