//! A clean shutdown made by hand, as flushPrimary makes it, and a pair that switches over.

use std::fs;
use std::time::{Duration, Instant};

use twowarm_core::data_directory::{Identity, identity};
use twowarm_core::receipt::{Receipt, ReceiptId, Tail};
use twowarm_core::testbed::{Node, PgInstall, StopMode, names_in, wait_until};
use twowarm_core::wal::Expected;

use crate::pair::{LIMIT, Pair, fails, succeeds};

/// Stops a primary, ships the WAL up to its shutdown checkpoint to `to`, and gives both the receipt.
pub fn flush(from: &Node, to: &Node) -> Receipt {
    // Through 9.4 a promoted server archives its first segment only after a checkpoint.
    from.sql("checkpoint").unwrap();
    ship(from, to);
    let status = wal_of(from).join("archive_status");
    let waiting = || names_in(&status).iter().any(|name| name.ends_with(".ready"));
    wait_until("all to be archived", LIMIT, || !waiting())
        .unwrap_or_else(|error| panic!("{error}\n{}", from.relevant_log()));
    from.stop(StopMode::Fast).unwrap();
    let receipt = receipt_of(from);
    write_receipt(from, to, &receipt);
    receipt
}

/// The receipt of a server that was shut down.
pub fn receipt_of(node: &Node) -> Receipt {
    let Identity { control: Some(control), .. } = identity(&node.pgdata()).unwrap().unwrap() else {
        panic!("pg_control is of a known version");
    };
    let segment = control.layout().containing(control.timeline, control.checkpoint);
    let mut file = fs::File::open(wal_of(node).join(segment.to_string())).unwrap();
    let tail = Tail::find(&mut file, segment, &Expected::of(&control)).unwrap();
    assert_eq!(tail.last_record, Some(control.checkpoint));
    let id = fs::read_to_string(node.local().join("replication/node_id")).unwrap();
    Receipt {
        system_identifier: control.system_identifier,
        timeline: control.timeline,
        segment,
        checkpoint: control.checkpoint,
        end: tail.end,
        node_id: id.trim().parse().unwrap(),
        label: node.name().into(),
        id: ReceiptId::random().unwrap(),
    }
}

fn write_receipt(from: &Node, to: &Node, receipt: &Receipt) {
    let name = receipt.segment;
    let tail = fs::read(wal_of(from).join(name.to_string())).unwrap();
    to.run_as().write(&to.archive().join(format!("{name}.partial")), tail).unwrap();
    to.run_as().write(&to.archive().join(".receipt"), receipt.to_string()).unwrap();
    from.write_local("replication/receipt", receipt.to_string()).unwrap();
}

/// The modes in which a standby of the version in use can be promoted.
pub fn modes() -> &'static [&'static str] {
    PgInstall::find().unwrap().major().unwrap().modes()
}

/// Whether an old primary can be made a standby without a copy. If not, because 8.2 begins no new timeline, rejoin says so
/// after a flush and a promotion.
pub fn can_rejoin(pair: &Pair) -> bool {
    if pair.db1.install().major().unwrap().promotes_to_new_timeline() {
        return true;
    }
    flush(&pair.db1, &pair.db2);
    succeeds(trigger(&pair.db2, &["--require-receipt"]));
    let said = fails(rejoin(&pair.db1), 1);
    assert!(said.contains("by a copy") && said.contains("--overwrite"), "{said}");
    false
}

/// The server's WAL directory.
pub fn wal_of(node: &Node) -> std::path::PathBuf {
    node.pgdata().join(node.install().major().unwrap().wal_directory())
}

/// triggerStandby with these arguments.
pub fn trigger(node: &Node, arguments: &[&str]) -> std::process::Command {
    let mut command = node.command("triggerStandby");
    command.args(arguments);
    command
}

/// configStandby --rejoin.
pub fn rejoin(node: &Node) -> std::process::Command {
    let mut command = node.command("configStandby");
    command.arg("--rejoin");
    command
}

/// Switches over, starts the old primary as a standby, and waits until it has followed. Returns how long the rejoin took.
pub fn switch_over(from: &Node, to: &Node) -> Duration {
    flush(from, to);
    let said = succeeds(trigger(to, &["--require-receipt"]));
    println!("{said}");
    assert!(said.contains("all its WAL is here") && said.contains("Archiving is on"), "{said}");
    // The history is shipped as soon as the old primary has a prepared archive; otherwise it is fetched.
    let start = Instant::now();
    let said = succeeds(rejoin(from));
    let took = start.elapsed();
    println!("{said}");
    assert!(said.contains("can follow it without a copy"), "{said}");
    from.start_warm().unwrap();
    took
}

/// Ends the current segment, and waits until the other node has it.
pub fn ship(from: &Node, to: &Node) {
    from.sql("drop table if exists shipped; create table shipped (n int)").unwrap();
    let last = from.switch_wal().unwrap();
    let arrived = to.archive().join(&last);
    wait_until(&format!("{last} to arrive"), LIMIT, || arrived.exists())
        .unwrap_or_else(|error| panic!("{error}\n{}", from.relevant_log()));
}

/// Asserts that verifyArchive certifies the archive; returns what it said.
pub fn certified(node: &Node) -> String {
    let mut command = node.command("verifyArchive");
    command.arg("--certify");
    succeeds(command)
}
