use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::*;
use crate::ship::transport::{ConnectError, Connection, FarCommand, Transport};
use crate::ship::wire::{Codec, Purpose, Stored};
use crate::ship::{Link, LinkError, SendError, Sender};
use crate::wal::{SegmentSize, WalFileName};

mod broken_streams;
mod collisions;
mod encodings;
mod machines;
mod receipts;
mod relayed;
mod takeover;

const CLUSTER: u64 = 7_000_000_000_000_000_001;
const SIZE: u64 = 1 << 20;

/// A receiver in a thread, at the other end of two pipes.
#[derive(Debug)]
struct InThread {
    archive: PathBuf,
    local: PathBuf,
    data_directory: PathBuf,
    machines: Machines,
}

struct Pipes {
    input: io::PipeReader,
    output: Option<io::PipeWriter>,
    thread: Option<JoinHandle<Result<Served, ServeError>>>,
}

impl Transport for InThread {
    fn connect(&self) -> Result<Box<dyn Connection>, ConnectError> {
        let (far_input, output) = io::pipe().unwrap();
        let (input, far_output) = io::pipe().unwrap();
        let receiver = Receiver {
            archive: self.archive.clone(),
            local_replication: self.local.clone(),
            data_directory: Some(self.data_directory.clone()),
            label: "far:/pg".into(),
            node_id: "far-node-id".parse().unwrap(),
            machines: self.machines,
            retain: crate::prune::Keep::default(),
        };
        let thread = Some(std::thread::spawn(move || receiver.serve(far_input, far_output)));
        Ok(Box::new(Pipes { input, output: Some(output), thread }))
    }

    fn node(&self) -> &str {
        "far"
    }

    fn command(&self) -> FarCommand {
        FarCommand::ReceiveWalFile
    }
}

impl Read for Pipes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Pipes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.as_mut().map_or(Err(io::ErrorKind::BrokenPipe.into()), |o| o.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for Pipes {
    fn last_words(&mut self) -> Option<String> {
        self.output = None;
        self.thread.take()?.join().unwrap().err().map(|e| e.to_string())
    }
}

struct Bed {
    dir: tempfile::TempDir,
    far: InThread,
}

impl Bed {
    fn new() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let [archive, local, data_directory] =
            ["archive", "local", "data"].map(|name| dir.path().join(name));
        for made in [&archive, &local] {
            std::fs::create_dir(made).unwrap();
        }
        Bed { dir, far: InThread { archive, local, data_directory, machines: Machines::One } }
    }

    fn receiver(&self) -> Receiver {
        Receiver {
            archive: self.far.archive.clone(),
            local_replication: self.far.local.clone(),
            data_directory: None,
            label: "far:/pg".into(),
            node_id: "far-node-id".parse().unwrap(),
            machines: Machines::One,
            retain: crate::prune::Keep::default(),
        }
    }

    fn open(&self, hello: Hello) -> Result<Sender, LinkError> {
        Link::open(&self.far, hello).map(Sender::new)
    }

    fn file(&self, content: &[u8]) -> PathBuf {
        let path = self.dir.path().join("to-send");
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Sends the segment `TWO` over several connections at once; returns how many stored it as new.
    fn send_concurrently(&self, senders: usize, path: &Path) -> usize {
        let send = || {
            let mut sender = self.open(hello()).unwrap();
            let stored = sender.send(TWO.parse().unwrap(), path).unwrap();
            sender.close();
            stored
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..senders).map(|_| scope.spawn(send)).collect();
            let stored = threads.into_iter().map(|thread| thread.join().unwrap());
            stored.filter(|stored| *stored == Stored::New).count()
        })
    }

    fn send(&self, hello: Hello, name: &str, content: &[u8]) -> Result<Stored, SendError> {
        let path = self.file(content);
        let mut sender = self.open(hello)?;
        let bound = self.is_bound();
        let stored = sender.send(name.parse().unwrap(), &path);
        assert_eq!(self.is_bound(), bound || stored.is_ok(), "a refused file binds nothing");
        // The connection can be used further in either case.
        sender.probe()?;
        sender.close();
        stored
    }

    fn stored(&self) -> Vec<String> {
        let archive = Archive::open(&self.far.archive).unwrap();
        archive.names().unwrap().iter().map(WalFileName::to_string).collect()
    }

    fn is_bound(&self) -> bool {
        Archive::open(&self.far.archive).unwrap().binding().unwrap().is_some()
    }

    fn leftovers(&self) -> usize {
        std::fs::read_dir(self.far.archive.join(".incoming")).map_or(0, Iterator::count)
    }
}

fn hello() -> Hello {
    Hello {
        purpose: Purpose::ShipWal,
        system_identifier: CLUSTER,
        segment_size: SegmentSize::new(SIZE).unwrap(),
        major: "15".parse().unwrap(),
        node_id: "near-node-id".parse().unwrap(),
        label: "near:/pg".into(),
        machine: Some("near-machine".parse().unwrap()),
        relay_for: None,
        relayed_by: None,
        promoted_to: None,
    }
}

/// A segment of PostgreSQL 15 with this number, timeline 1, as far as its header goes.
fn segment(number: u64, cluster: u64) -> Vec<u8> {
    let mut bytes = vec![0u8; SIZE as usize];
    let mut at = 0;
    let mut put = |field: &[u8]| {
        bytes[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    };
    put(&0xD110u16.to_le_bytes());
    put(&2u16.to_le_bytes());
    put(&1u32.to_le_bytes());
    put(&(number * SIZE).to_le_bytes());
    put(&[0; 8]);
    put(&cluster.to_le_bytes());
    put(&(SIZE as u32).to_le_bytes());
    put(&8192u32.to_le_bytes());
    bytes
}

fn refused(result: Result<Stored, SendError>) -> Refusal {
    match result {
        Err(SendError::Link(LinkError::Refused { refusal, .. })) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

const TWO: &str = "000000010000000000000002";

#[test]
fn each_kind_of_file_arrives() {
    let bed = Bed::new();
    let history = b"1\t0/3000158\tno recovery target specified\n";
    let backup = b"START WAL LOCATION: 0/200028 (file 000000010000000000000002)\n\
        STOP WAL LOCATION: 0/200100 (file 000000010000000000000002)\n\
        CHECKPOINT LOCATION: 0/200060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n\
        START TIME: 2025-01-01 00:00:00 UTC\nLABEL: x\nSTART TIMELINE: 1\n\
        STOP TIME: 2025-01-01 00:00:01 UTC\nSTOP TIMELINE: 1\n";
    let files: [(&str, &[u8]); 4] = [
        (TWO, &segment(2, CLUSTER)),
        ("000000010000000000000003.partial", &segment(3, CLUSTER)),
        ("00000002.history", history),
        ("000000010000000000000002.00000028.backup", backup),
    ];
    for (name, content) in files {
        assert_eq!(bed.send(hello(), name, content).unwrap(), Stored::New, "{name}");
        assert_eq!(bed.send(hello(), name, content).unwrap(), Stored::AlreadyThere);
        assert_eq!(std::fs::read(bed.far.archive.join(name)).unwrap(), content);
    }
    assert_eq!(bed.leftovers(), 0);
}

#[test]
fn files_with_the_content_of_another_are_refused() {
    let bed = Bed::new();
    let short = segment(2, CLUSTER)[..5000].to_vec();
    let long = [segment(2, CLUSTER), vec![0]].concat();
    let cases: [(&str, &[u8], RefusalCode); 7] = [
        (TWO, &short, RefusalCode::UNSOUND),
        (TWO, &long, RefusalCode::UNSOUND),
        (TWO, &segment(3, CLUSTER), RefusalCode::UNSOUND),
        (TWO, &vec![0; SIZE as usize], RefusalCode::UNSOUND),
        (TWO, &segment(2, 42), RefusalCode::ANOTHER_CLUSTER),
        ("00000002.history", b"2\t0/3000158\tnot an ancestor\n", RefusalCode::UNSOUND),
        ("00000002.history", &vec![b'#'; 1 << 20], RefusalCode::UNSOUND),
    ];
    for (name, content, code) in cases {
        let refusal = refused(bed.send(hello(), name, content));
        assert_eq!((refusal.code, refusal.retryable), (code, false), "{name}: {refusal:?}");
    }
    assert_eq!(bed.stored(), [""; 0]);
    assert_eq!(bed.leftovers(), 0);
}

#[test]
fn an_abandoned_timeline_is_refused_past_the_fork() {
    let bed = Bed::new();
    bed.send(hello(), "00000002.history", b"1\t0/200158\tx\n").unwrap();
    bed.send(hello(), TWO, &segment(2, CLUSTER)).unwrap();
    let three = "000000010000000000000003";
    let refusal = refused(bed.send(hello(), three, &segment(3, CLUSTER)));
    assert_eq!(refusal.code, RefusalCode::PAST_FORK);
    assert!(refusal.message.contains("timeline 2"), "{}", refusal.message);
}

/// A promoted node acknowledged the old primary's segments past the fork: its archive did not have the new
/// timeline's history.
#[test]
fn a_promoted_node_refuses_the_old_timeline_past_the_fork() {
    for wal in ["pg_wal", "pg_xlog"] {
        let bed = Bed::new();
        let wal = bed.far.data_directory.join(wal);
        std::fs::create_dir_all(&wal).unwrap();
        std::fs::write(wal.join("00000002.history"), b"1\t0/200158\tx\n").unwrap();
        // The segment in which the timeline forked belongs to both.
        bed.send(hello(), TWO, &segment(2, CLUSTER)).unwrap();
        for name in ["000000010000000000000003", "000000010000000000000003.partial"] {
            let refusal = refused(bed.send(hello(), name, &segment(3, CLUSTER)));
            assert_eq!((refusal.code, refusal.retryable), (RefusalCode::PAST_FORK, false));
            assert!(refusal.message.contains("timeline 2"), "{}", refusal.message);
        }
        assert_eq!(bed.stored(), [TWO]);
    }
}

#[test]
fn a_probe_binds_the_archive_to_the_sender() {
    let bed = Bed::new();
    let mut first = bed.open(hello()).unwrap();
    // Both were accepted while the archive was not bound.
    let other =
        Hello { node_id: "another-node".parse().unwrap(), label: "third:/pg".into(), ..hello() };
    let mut second = bed.open(other).unwrap();
    first.probe().unwrap();
    first.probe().unwrap();
    let SendError::Link(LinkError::Refused { refusal, .. }) = second.probe().unwrap_err() else {
        panic!("not refused")
    };
    assert_eq!(refusal.code, RefusalCode::ANOTHER_SENDER);
    first.close();
    second.close();
}

#[test]
fn unacceptable_senders_are_refused_before_they_send() {
    let bed = Bed::new();
    bed.send(hello(), TWO, &segment(2, CLUSTER)).unwrap();
    let open = |bed: &Bed, hello| refused(bed.open(hello).map(|_| Stored::New).map_err(Into::into));

    let other_node =
        Hello { node_id: "another-node".parse().unwrap(), label: "third:/pg".into(), ..hello() };
    let refusal = open(&bed, other_node);
    assert_eq!(refusal.code, RefusalCode::ANOTHER_SENDER);
    assert!(refusal.message.contains("near:/pg") && refusal.message.contains("configStandby"));

    let refusal = open(&bed, Hello { system_identifier: 42, ..hello() });
    assert_eq!(refusal.code, RefusalCode::ANOTHER_CLUSTER);

    let refusal = open(&bed, Hello { node_id: "far-node-id".parse().unwrap(), ..hello() });
    assert_eq!(refusal.code, RefusalCode::SELF);
    assert!(refusal.message.contains("othernode") && refusal.message.contains("node_id"));

    assert_eq!(
        open(&bed, Hello { purpose: Purpose::BaseCopy, ..hello() }).code,
        RefusalCode::PURPOSE
    );

    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    bed.give_pg_control(&samples.join("15/pg_control"));
    let refusal = open(&bed, hello());
    assert_eq!(refusal.code, RefusalCode::ANOTHER_CLUSTER);
    assert!(refusal.message.contains("another cluster"), "{}", refusal.message);
    std::fs::write(bed.far.data_directory.join("global/pg_control"), "").unwrap();
    let refusal = open(&bed, hello());
    assert_eq!((refusal.code, refusal.retryable), (RefusalCode::CONFIGURATION, true));

    std::fs::remove_dir_all(&bed.far.data_directory).unwrap();
    std::fs::remove_dir_all(&bed.far.archive).unwrap();
    let refusal = open(&bed, hello());
    assert_eq!((refusal.code, refusal.retryable), (RefusalCode::ARCHIVE, true));
    assert!(!bed.far.archive.exists());
}

/// The empty mount point of an archive whose disk was not mounted was taken for an empty archive: segments
/// were acknowledged that were hidden below the disk later.
#[test]
fn an_archive_without_its_mark_stores_nothing() {
    let bed = Bed::new();
    crate::archive::mark(&bed.far.archive, &bed.far.local).unwrap();
    bed.send(hello(), TWO, &segment(2, CLUSTER)).unwrap();
    std::fs::rename(&bed.far.archive, bed.dir.path().join("disk")).unwrap();
    std::fs::create_dir(&bed.far.archive).unwrap();
    let refusal = refused(bed.send(hello(), TWO, &segment(2, CLUSTER)));
    assert_eq!((refusal.code, refusal.retryable), (RefusalCode::ARCHIVE, true));
    assert!(refusal.message.contains("mount its disk"), "{}", refusal.message);
    assert_eq!(std::fs::read_dir(&bed.far.archive).unwrap().count(), 0);
}

#[test]
fn several_files_are_in_flight() {
    let bed = Bed::new();
    let mut sender = bed.open(hello()).unwrap();
    let mut ids = Vec::new();
    for number in 2..10 {
        let path = bed.file(&segment(number, if number == 5 { 42 } else { CLUSTER }));
        let name = format!("0000000100000000{number:08X}").parse().unwrap();
        ids.push(sender.start(name, &path).unwrap());
    }
    for (at, id) in ids.iter().enumerate() {
        let (answered, result) = sender.next_answer().unwrap();
        assert_eq!(answered, *id);
        assert_eq!(result.is_ok(), at != 3, "{result:?}");
    }
    sender.close();
    assert_eq!(bed.stored().len(), 7);
}

#[test]
fn two_concurrent_senders_of_one_segment_both_succeed() {
    let bed = Bed::new();
    let path = bed.file(&segment(2, CLUSTER));
    for round in 0..20 {
        assert_eq!(bed.send_concurrently(2, &path), 1, "round {round}");
        assert_eq!(bed.leftovers(), 0);
        Archive::open(&bed.far.archive).unwrap().remove(TWO.parse().unwrap()).unwrap();
    }
}
