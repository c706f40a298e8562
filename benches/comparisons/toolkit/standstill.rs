//! How long a client that keeps inserting can't write while the primary moves to the other node.

use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use twowarm_benches::{Samples, Table};
use twowarm_core::testbed::{Node, wait_until};

use super::nodes::{LIMIT, Nodes, caught_up, waiting};
use crate::Outcome;
use crate::programs::Programs;

const SWITCHOVERS: usize = 10;
const WITH_BACKLOG: usize = 4;
const WAITING: usize = 200;

pub fn standstill(programs: &Programs) -> Outcome<Vec<Table>> {
    let fill = "create table acknowledged (id bigint primary key); create table filler (t text)";
    let nodes = Nodes::new(&programs.commands, &["--wal-segsize=1"], fill)?;
    nodes.db2.start_warm()?;
    let mut client = Client::default();
    let [mut idle, mut behind, mut shipping] = std::array::from_fn(|_| Samples::default());
    let mut pair = (&nodes.db1, &nodes.db2);
    for _ in 0..SWITCHOVERS {
        caught_up(pair.0, pair.1)?;
        idle.push(client.during_switchover(pair.0, pair.1)?);
        pair = (pair.1, pair.0);
    }
    for _ in 0..WITH_BACKLOG {
        caught_up(pair.0, pair.1)?;
        make_wait(pair.0)?;
        shipping.push(time_of_shipping(pair.0)?);
        make_wait(pair.0)?;
        start_archiving(pair.0)?;
        behind.push(client.during_switchover(pair.0, pair.1)?);
        pair = (pair.1, pair.0);
    }
    let mut table = Table::new("T1. No insert succeeds while the primary moves");
    table.row("switchover, nothing waiting", idle);
    table.row(&format!("switchover, {WAITING} segments of 1 MB waiting"), behind);
    table.row(&format!("only shipping {WAITING} segments"), shipping);
    table.note("target: 2000 ms in the median with nothing waiting");
    table.note(format!("{} acknowledged rows are on the last primary", client.check(pair.0)?));
    Ok(vec![table])
}

/// Archiving stops, and segments are filled.
fn make_wait(node: &Node) -> Outcome<()> {
    node.append_conf("archive_command = ''")?;
    node.sql("select pg_reload_conf()")?;
    while waiting(node) < WAITING {
        node.sql("truncate filler; insert into filler select md5(n::text) from generate_series(1, 40000) n")?;
    }
    Ok(())
}

fn start_archiving(node: &Node) -> Outcome<()> {
    node.append_conf(&node.archiving_conf()?)?;
    node.sql("select pg_reload_conf()")?;
    Ok(())
}

fn time_of_shipping(node: &Node) -> Outcome<Duration> {
    let start = Instant::now();
    start_archiving(node)?;
    // The archiver would otherwise wait for up to a minute after failures.
    node.switch_wal()?;
    wait_until("all to be archived", LIMIT, || waiting(node) == 0)?;
    Ok(start.elapsed())
}

/// Inserts and commits ids, one by one, on whichever node accepts them.
#[derive(Default)]
struct Client {
    next: i64,
}

impl Client {
    /// The longest time between two inserts that succeeded, around a switchover after which the old primary follows.
    fn during_switchover(&mut self, from: &Node, to: &Node) -> Outcome<Duration> {
        let is_over = &AtomicBool::new(false);
        let mut command = from.command("switchover");
        // The client keeps its session.
        command.args(["--wait", "0"]);
        let mut longest = Duration::ZERO;
        let switched = thread::scope(|scope| {
            let switching = scope.spawn(move || {
                let ended = command.output();
                is_over.store(true, Ordering::Release);
                ended
            });
            longest = self.insert_until(is_over, [from, to]);
            switching.join()
        });
        let output = switched.map_err(|_| "the switchover panicked")??;
        check(output.status, &output.stderr)?;
        from.start_warm()?;
        Ok(longest)
    }

    /// Inserts until the switchover is over and the new primary has accepted a row.
    fn insert_until(&mut self, is_over: &AtomicBool, nodes: [&Node; 2]) -> Duration {
        let (mut last, mut longest) = (None::<Instant>, Duration::ZERO);
        let begun = Instant::now();
        let mut at = 0;
        while begun.elapsed() < LIMIT {
            let connected = nodes[at].client();
            at = 1 - at;
            let Ok(mut session) = connected else { continue };
            loop {
                let over = is_over.load(Ordering::Acquire);
                let insert = format!("insert into acknowledged values ({})", self.next);
                if let Err(error) = session.simple_query(&insert) {
                    // The commit of the id before may not have been reported.
                    self.next += i64::from(error.code().is_none_or(|code| code.code() != "25006"));
                    break;
                }
                self.next += 1;
                let now = Instant::now();
                longest = longest.max(last.map_or(Duration::ZERO, |last| now - last));
                last = Some(now);
                if over {
                    return longest;
                }
            }
        }
        longest
    }

    /// Fails unless the rows are there; returns how many.
    fn check(&self, node: &Node) -> Outcome<i64> {
        let found: i64 = node.sql("select count(*) from acknowledged")?.parse()?;
        // Each broken session may have used up one id.
        let allowed = 4 * (SWITCHOVERS + WITH_BACKLOG) as i64;
        if found + allowed < self.next {
            return Err(format!("{found} rows of {} are left", self.next).into());
        }
        Ok(found)
    }
}

fn check(status: ExitStatus, said: &[u8]) -> Outcome<()> {
    match status.success() {
        true => Ok(()),
        false => Err(format!("switchover: {status}: {}", String::from_utf8_lossy(said)).into()),
    }
}
