//! Faults of the network and of processes at any point.

use std::fs;

use twowarm_core::testbed::{Direction, Fault, wait_until};

use crate::trio::{LIMIT, Trio, holds, said};

/// Whatever happens to a byte on the way, the segment arrives bit for bit, at the standby or at the DR node.
#[test]
fn damaged_and_interrupted_transfers_arrive_on_one_of_the_routes() {
    let trio = Trio::new();
    let mut relayed = 0;
    for fault in [Fault::FlipBit, Fault::Cut] {
        for (direction, offsets) in [
            (Direction::ToServer, &[100, 1500, 2500, 4000, 50_000, 200_000, 400_000][..]),
            (Direction::ToClient, &[100, 1500, 2500, 3000][..]),
        ] {
            for &offset in offsets {
                let _ = fs::remove_file(trio.memory());
                trio.to_db2.fault_at(direction, offset, fault);
                let output = trio.archive();
                let context = format!("{fault:?} {direction:?} {offset}: {}", said(&output));
                // An altered key exchange may look like another host, which is not down.
                if !output.status.success() {
                    assert!(offset <= 4000 && fault == Fault::FlipBit, "{context}");
                    trio.succeeds();
                }
                relayed += u32::from(holds(&trio.db3, &trio.one));
                let nodes: Vec<_> = [&trio.db2, &trio.db3]
                    .into_iter()
                    .filter(|node| holds(node, &trio.one))
                    .collect();
                assert!(!nodes.is_empty(), "{context}");
                wait_until("the receivers to end", LIMIT, || {
                    [&trio.db2, &trio.db3].iter().all(|node| !node.runs("receiveWALFile"))
                })
                .unwrap();
                for node in [&trio.db2, &trio.db3] {
                    // The next receiver removes the rest of an interrupted one.
                    let _ = fs::remove_dir_all(node.archive().join(".incoming"));
                }
                trio.is_on(&nodes);
            }
        }
    }
    println!("{relayed} of 22 were relayed");
    assert!(relayed >= 15, "{relayed}");
}

/// archiveWALFile is killed around each system call with which it remembers and changes its route.
#[test]
fn a_call_that_is_killed_loses_nothing_and_blocks_nothing() {
    let mut trio = Trio::new();
    trio.db2.sshd().stop();
    trio.succeeds();
    trio.is_on(&[&trio.db3]);
    let (mut killed, mut ended) = (0, 0);
    for call in ["openat", "write", "unlink", "connect", "sendto"] {
        for number in [1, 2, 3, 5, 8, 13, 21, 34] {
            let mut strace = trio.db1.program("strace");
            let inject = format!("inject={call}:signal=KILL:when={number}");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject]);
            strace.arg(trio.db1.global().join("replication/archiveWALFile"));
            strace.args(trio.call()).current_dir(trio.db1.pgdata());
            let output = strace.output().unwrap();
            if output.status.success() {
                ended += 1;
                assert!(holds(&trio.db3, &trio.one), "acknowledged but not stored");
            } else {
                killed += 1;
            }
            wait_until("the receiver to end", LIMIT, || !trio.db3.runs("receiveWALFile")).unwrap();
            trio.succeeds();
            trio.is_on(&[&trio.db3]);
        }
    }
    println!("killed {killed}, ended {ended}");
    assert!(killed >= 15 && ended > 0, "killed {killed}, ended {ended}");
    trio.db2.sshd().restart().unwrap();
    trio.returns_to_the_standby();
}
