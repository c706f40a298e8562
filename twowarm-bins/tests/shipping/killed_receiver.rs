//! receiveWALFile, killed before each of its system calls: the archive holds the whole file or nothing, no
//! acknowledged file is lost, and the next run cleans up.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use twowarm_core::ship::wire::{Hello, Purpose, Stored};
use twowarm_core::ship::{FarCommand, Link, LinkError, LocalTransport, SendError, Sender};
use twowarm_core::testbed::names_in;
use twowarm_core::wal::{SegmentSize, WalFileName};

const RECEIVER: &str = env!("CARGO_BIN_EXE_receiveWALFile");
const CLUSTER: u64 = 7_000_000_000_000_000_001;
const SIZE: u64 = 1 << 20;
const NAME: &str = "000000010000000000000002";

struct Node {
    dir: tempfile::TempDir,
    segment: PathBuf,
}

impl Node {
    fn new() -> Node {
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        for made in ["2warm/local/replication", "data/archive"] {
            fs::create_dir_all(dir.path().join(made)).expect(made);
        }
        let segment = dir.path().join("segment");
        fs::write(&segment, segment_two()).expect("the directory is writable");
        Node { dir, segment }
    }

    fn archive(&self) -> PathBuf {
        self.dir.path().join("data/archive")
    }

    fn transport(&self, program: &str, arguments: &[&str]) -> LocalTransport {
        let path = |p: PathBuf| p.display().to_string();
        LocalTransport {
            command: FarCommand::ReceiveWalFile,
            program: program.into(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            environment: vec![
                ("PGROOT".into(), path(self.dir.path().to_owned())),
                ("PGDATA".into(), path(self.dir.path().join("data"))),
            ],
        }
    }

    fn send(&self, transport: &LocalTransport) -> Result<Stored, SendError> {
        let mut sender = Sender::new(Link::open(transport, hello())?);
        let stored =
            sender.send(NAME.parse::<WalFileName>().expect("the name is valid"), &self.segment);
        sender.close();
        stored
    }

    /// Sends to a receiver under strace with this `-e` option.
    fn send_traced(&self, option: &str) -> Result<Stored, SendError> {
        let log = self.log().display().to_string();
        self.send(&self.transport("strace", &["-f", "-qq", "-o", &log, "-e", option, RECEIVER]))
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Asserts that an undisturbed run succeeds and cleans up.
    fn recovers(&self, context: &str) -> Stored {
        let stored = self.send(&self.transport(RECEIVER, &[])).expect(context);
        assert!(fs::read(self.archive().join(NAME)).expect(context) == segment_two(), "{context}");
        let expected = [".incoming", ".owner", ".owner.lock", NAME];
        assert_eq!(names_in(&self.archive()), expected, "{context}");
        assert_eq!(names_in(&self.archive().join(".incoming")), [""; 0], "{context}");
        stored
    }
}

fn hello() -> Hello {
    Hello {
        purpose: Purpose::ShipWal,
        system_identifier: CLUSTER,
        segment_size: SegmentSize::new(SIZE).expect("the size is valid"),
        major: "15".parse().expect("the version is valid"),
        node_id: "near-node-id".parse().expect("the id is valid"),
        label: "near".into(),
        machine: None,
        relay_for: None,
        relayed_by: None,
        promoted_to: None,
    }
}

/// The second segment of a cluster of PostgreSQL 15: a valid header, and no records.
fn segment_two() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SIZE as usize);
    bytes.extend(0xD110u16.to_le_bytes());
    bytes.extend(2u16.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend((2 * SIZE).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(CLUSTER.to_le_bytes());
    bytes.extend((SIZE as u32).to_le_bytes());
    bytes.extend(8192u32.to_le_bytes());
    bytes.resize(SIZE as usize, 7);
    bytes
}

/// The system calls of a receiver that stores one segment, in order, each with its number among those of the same
/// name and thread, by which strace counts.
fn calls() -> Vec<(String, usize)> {
    let node = Node::new();
    node.send_traced("trace=all").expect("install strace, which these tests need");
    let log = fs::read_to_string(node.log()).expect("strace's log");
    let mut turns = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        // "PID name(...": other lines are about signals and exits.
        let mut words = line.split_whitespace();
        let thread = words.next().unwrap_or_default().to_owned();
        let name = words.next().and_then(|call| call.split_once('('));
        if let Some((name, _)) = name.filter(|(name, _)| !name.starts_with(['+', '-', '<'])) {
            let turn = turns.entry((thread, name.to_owned())).or_insert(0);
            *turn += 1;
            calls.push((name.to_owned(), *turn));
        }
    }
    calls
}

#[test]
fn killed_before_each_system_call() {
    let calls = calls();
    let whole = segment_two();
    let (mut nothing, mut stored, mut acknowledged) = (0, 0, 0);
    // strace makes the execve itself.
    for (call, turn) in calls.iter().filter(|(name, _)| name != "execve" && name != "exit_group") {
        let context = format!("killed before {call} {turn}");
        let node = Node::new();
        let outcome = node.send_traced(&format!("inject={call}:signal=KILL:when={turn}"));
        match fs::read(node.archive().join(NAME)) {
            Ok(content) => {
                assert!(content == whole, "{context}: the archive holds a part of the file");
                stored += 1;
            }
            Err(e) => {
                assert_eq!(e.kind(), std::io::ErrorKind::NotFound, "{context}");
                assert!(outcome.is_err(), "{context}: acknowledged but not stored");
                nothing += 1;
            }
        }
        let again = node.recovers(&context);
        if outcome.is_ok() {
            assert_eq!(again, Stored::AlreadyThere, "{context}");
            acknowledged += 1;
        }
    }
    println!(
        "{} calls: killed {nothing} times before it was stored, {stored} after, {acknowledged} of these acknowledged",
        calls.len()
    );
    assert!(nothing > 50 && stored > acknowledged && acknowledged > 0);
}

/// A failed system call leads to a refusal that says so, never to an acknowledgement.
#[test]
fn failing_calls_are_never_acknowledged() {
    let of = |call: &str| calls().iter().filter(|(name, _)| name == call).count();
    for (call, error) in [("fsync", "EIO"), ("fsync", "ENOSPC"), ("renameat2", "EIO")] {
        for turn in 1..=of(call) {
            let context = format!("{call} {turn} fails with {error}");
            let node = Node::new();
            let outcome = node.send_traced(&format!("inject={call}:error={error}:when={turn}"));
            match outcome {
                Err(SendError::Link(LinkError::Refused { refusal, .. })) => {
                    assert!(refusal.retryable, "{context}: {}", refusal.message);
                }
                other => panic!("{context}: {other:?}"),
            }
            node.recovers(&context);
        }
    }
}
