//! Receipts of a clean shutdown.

use std::fs;
use std::io::Cursor;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::archive;
use crate::data_directory::{Role, lock_directory};
use crate::receipt::{Receipt, ReceiptFile, ReceiptId, Tail};
use crate::ship::HeldReceipt;
use crate::ship::wire::{Capabilities, Features};
use crate::wal::{ClusterState, ControlFile, Expected, Lsn, SegmentName, TimelineId};

/// The unfinished last segment of a server.
const SEGMENT: &str = "00000002000000000000001C";

struct Flushed {
    bed: Bed,
    hello: Hello,
    tail: Vec<u8>,
    receipt: Receipt,
}

impl Flushed {
    fn new() -> Flushed {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/18-1MB");
        let control = fs::read(folder.join("pg_control")).unwrap();
        let control = ControlFile::parse(&control).unwrap();
        let tail = sample_file(&format!("wal/{SEGMENT}.partial.zst"));
        let segment: SegmentName = SEGMENT.parse().unwrap();
        let end = Tail::find(&mut Cursor::new(&tail), segment, &Expected::default()).unwrap();
        let (system_identifier, major) = (control.system_identifier, "18".parse().unwrap());
        let hello = Hello { system_identifier, major, ..hello() };
        let receipt = Receipt {
            system_identifier,
            timeline: segment.timeline,
            segment,
            checkpoint: end.last_record.unwrap(),
            end: end.end,
            node_id: hello.node_id.clone(),
            label: hello.label.clone(),
            id: ReceiptId::random().unwrap(),
        };
        assert_eq!(receipt.end.to_string(), "0/1C000A0");
        Flushed { bed: Bed::new(), hello, tail, receipt }
    }

    fn with_tail() -> Flushed {
        let flushed = Flushed::new();
        flushed.send(&format!("{SEGMENT}.partial"), &flushed.tail);
        flushed
    }

    fn send(&self, name: &str, content: &[u8]) {
        self.bed.send(self.hello.clone(), name, content).unwrap();
    }

    /// Makes the far node a primary; returns its pg_control.
    fn becomes_primary(&self) -> ControlFile {
        self.has_role(Role::Standby);
        self.has_role(Role::Primary);
        let control = self.bed.far.data_directory.join("global/pg_control");
        ControlFile::parse(&fs::read(control).unwrap()).unwrap()
    }

    fn sender(&self) -> Sender {
        self.bed.open(self.hello.clone()).unwrap()
    }

    fn deliver(&self, receipt: &Receipt) -> Result<Stored, SendError> {
        self.sender().deliver_receipt(receipt)
    }

    fn void(&self) -> Result<(), SendError> {
        self.sender().void_receipt(&self.receipt.id)
    }

    fn held(&self) -> HeldReceipt {
        self.sender().held_receipt().unwrap()
    }

    fn is_refused(&self, receipt: &Receipt, code: RefusalCode, word: &str) {
        let refusal = refused(self.deliver(receipt));
        assert_eq!((refusal.code, refusal.retryable), (code, false), "{refusal:?}");
        assert!(refusal.message.contains(word), "{}", refusal.message);
        assert_eq!(self.held().receipt, None);
    }

    /// Makes the far node a cluster in recovery, or a primary.
    fn has_role(&self, role: Role) {
        let pgdata = &self.bed.far.data_directory;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/18-1MB");
        fs::create_dir_all(pgdata.join("global")).unwrap();
        fs::create_dir_all(pgdata.join("pg_wal")).unwrap();
        fs::copy(folder.join("pg_control"), pgdata.join("global/pg_control")).unwrap();
        fs::write(pgdata.join("PG_VERSION"), "18\n").unwrap();
        let signal = pgdata.join("standby.signal");
        match role {
            Role::Standby => fs::write(signal, "").unwrap(),
            Role::Primary => fs::remove_file(signal).unwrap(),
        }
    }
}

/// A file of the sample, uncompressed.
fn sample_file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/18-1MB");
    zstd::decode_all(&fs::read(folder.join(name)).unwrap()[..]).unwrap()
}

/// A process that a data directory's pid file names as its server, until this is dropped.
struct Server(Child);

fn server_in(pgdata: &Path) -> Server {
    let mut command = Command::new("sleep");
    let child = command.arg("600").current_dir(pgdata).stdout(Stdio::null()).spawn().unwrap();
    let text = format!("{}\n{}\n1700000000\n5432\n/tmp\n", child.id(), pgdata.display());
    fs::write(pgdata.join("postmaster.pid"), text).unwrap();
    Server(child)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_receipt_is_stored_with_its_tail_and_void_without() {
    let flushed = Flushed::with_tail();
    assert_eq!(flushed.held(), HeldReceipt { receipt: None, missing: None });
    assert_eq!(flushed.deliver(&flushed.receipt).unwrap(), Stored::New);
    assert_eq!(flushed.deliver(&flushed.receipt).unwrap(), Stored::AlreadyThere);
    let receipt = Some(flushed.receipt.clone());
    assert_eq!(flushed.held(), HeldReceipt { receipt: receipt.clone(), missing: None });
    assert_eq!(Receipt::in_archive(&flushed.bed.far.archive).unwrap(), receipt);

    // Another receipt's id changes nothing.
    flushed.sender().void_receipt(&ReceiptId::random().unwrap()).unwrap();
    assert_eq!(flushed.held().receipt, receipt);
    flushed.void().unwrap();
    flushed.void().unwrap();
    assert_eq!(flushed.held().receipt, None);
    assert_eq!(flushed.bed.stored(), [""; 0]);
}

/// The promoted node archives the same segment, as it was streamed: behind its end is what the recycled file contained. The
/// DR node refused it, and got no WAL any more.
#[test]
fn the_last_segment_is_the_same_whatever_is_behind_its_end() {
    let flushed = Flushed::with_tail();
    flushed.deliver(&flushed.receipt).unwrap();
    let name = format!("{SEGMENT}.partial");
    let end = (flushed.receipt.end.0 % SIZE) as usize;
    let begin = (flushed.receipt.checkpoint.0 % SIZE) as usize;
    let send = |content: &[u8]| flushed.bed.send(flushed.hello.clone(), &name, content);
    // The same records, and fewer: that node was promoted before it had the last one.
    for from in [end, begin] {
        let mut streamed = flushed.tail.clone();
        streamed[from..8192].fill(0x5a);
        send(&streamed).unwrap();
    }
    assert_eq!(flushed.held().receipt.as_ref(), Some(&flushed.receipt));
    // One with more records is another.
    let short = Flushed::new();
    let mut fewer = short.tail.clone();
    fewer[begin..].fill(0);
    short.send(&name, &fewer);
    let more = short.bed.send(short.hello.clone(), &name, &short.tail);
    assert_eq!(refused(more).code, RefusalCode::CONFLICT);
}

#[test]
fn a_receipt_replaces_an_earlier_one() {
    let flushed = Flushed::with_tail();
    flushed.deliver(&flushed.receipt).unwrap();
    let next = Receipt { id: ReceiptId::random().unwrap(), ..flushed.receipt.clone() };
    assert_eq!(flushed.deliver(&next).unwrap(), Stored::New);
    assert_eq!(flushed.held().receipt, Some(next));
}

#[test]
fn a_receipt_that_the_tail_does_not_prove_is_refused() {
    let flushed = Flushed::new();
    let receipt = &flushed.receipt;
    flushed.is_refused(receipt, RefusalCode::UNSOUND, "is not in the archive");
    flushed.send(&format!("{SEGMENT}.partial"), &flushed.tail);
    let [checkpoint, end] = [Lsn(receipt.checkpoint.0 - 8), Lsn(receipt.end.0 + 8)];
    for wrong in [
        Receipt { checkpoint, ..receipt.clone() },
        Receipt { end, ..receipt.clone() },
        Receipt { checkpoint, end: Lsn(end.0 - 16), ..receipt.clone() },
    ] {
        flushed.is_refused(&wrong, RefusalCode::UNSOUND, "WAL in");
    }
    for foreign in [
        Receipt { system_identifier: 42, ..receipt.clone() },
        Receipt { node_id: "another".parse().unwrap(), ..receipt.clone() },
        Receipt { end: "0/2C000A0".parse().unwrap(), ..receipt.clone() },
    ] {
        flushed.is_refused(&foreign, RefusalCode::UNSOUND, "not one of its sender");
    }
    let mut damaged = flushed.tail.clone();
    damaged[receipt.checkpoint.0 as usize % SIZE as usize + 30] ^= 1;
    fs::write(flushed.bed.far.archive.join(format!("{SEGMENT}.partial")), damaged).unwrap();
    flushed.is_refused(receipt, RefusalCode::UNSOUND, "WAL in");
    let mut sender = flushed.sender();
    let id = sender.request(|id| Message::Receipt { id, text: "version=1\n".into() });
    assert_eq!(refused(id).code, RefusalCode::UNSOUND);
}

/// The primary was started again after a flush and has completed the segment.
#[test]
fn a_receipt_for_a_completed_segment_is_refused() {
    let flushed = Flushed::with_tail();
    fs::write(flushed.bed.far.archive.join(SEGMENT), "").unwrap();
    flushed.is_refused(&flushed.receipt, RefusalCode::CONFLICT, "has written more WAL");
}

#[test]
fn a_receipt_of_another_sender_is_refused() {
    let flushed = Flushed::with_tail();
    let other = Hello { node_id: "another".parse().unwrap(), ..flushed.hello.clone() };
    let LinkError::Refused { refusal, .. } = flushed.bed.open(other).unwrap_err() else { panic!() };
    assert_eq!(refusal.code, RefusalCode::ANOTHER_SENDER);
}

#[test]
fn a_timeline_that_forked_elsewhere_refuses_the_receipt() {
    let flushed = Flushed::with_tail();
    let history = |fork: &str| format!("1\t0/1B00000\tx\n2\t{fork}\tx\n");
    flushed.send("00000003.history", history("0/1C00080").as_bytes());
    flushed.is_refused(&flushed.receipt, RefusalCode::PAST_FORK, "timeline 3");
    // Delivered once more after the promotion.
    fs::write(flushed.bed.far.archive.join("00000003.history"), history("0/1C000A0")).unwrap();
    flushed.deliver(&flushed.receipt).unwrap();
}

#[test]
fn a_receipt_is_not_void_once_the_node_was_promoted() {
    let flushed = Flushed::with_tail();
    flushed.has_role(Role::Standby);
    flushed.deliver(&flushed.receipt).unwrap();
    let is_kept = |word: &str| {
        let refusal = refused(flushed.void().map(|()| Stored::New));
        assert_eq!((refusal.code, refusal.retryable), (RefusalCode::PAST_FORK, false));
        assert!(refusal.message.contains(word), "{}", refusal.message);
        let kept = Receipt::in_archive(&flushed.bed.far.archive).unwrap();
        assert_eq!(kept.as_ref(), Some(&flushed.receipt));
    };
    let pgdata = &flushed.bed.far.data_directory;
    fs::write(pgdata.join("trigger"), "smart\n").unwrap();
    is_kept("being promoted");
    fs::remove_file(pgdata.join("trigger")).unwrap();
    assert_eq!(flushed.held().receipt.as_ref(), Some(&flushed.receipt));
    flushed.has_role(Role::Primary);
    is_kept("is a primary");
    // Promoted before the receipt could be delivered.
    let another = flushed.sender().void_receipt(&ReceiptId::random().unwrap());
    assert_eq!(refused(another.map(|()| Stored::New)).code, RefusalCode::PAST_FORK);
    // It is not asked as a standby that is to take over.
    let asked = refused(flushed.sender().held_receipt().map(|_| Stored::New));
    assert_eq!(asked.code, RefusalCode::NOT_A_STANDBY);
    assert!(asked.message.contains("was promoted, it is the primary"), "{}", asked.message);
    flushed.has_role(Role::Standby);
    // The histories of other timelines may be missing here.
    for name in
        ["pg_wal/00000003.history", "pg_wal/00000005.history", "../archive/00000005.history"]
    {
        let history = pgdata.join(name);
        fs::write(&history, "1\t0/1B00000\tx\n2\t0/1C000A0\tx\n").unwrap();
        is_kept(if name.contains('3') { "timeline 3" } else { "timeline 5" });
        fs::remove_file(history).unwrap();
    }
    // Promoted by SQL or pg_ctl, which write no trigger file.
    let server = server_in(pgdata);
    for name in ["promote", "fallback_promote"] {
        fs::write(pgdata.join(name), "").unwrap();
        is_kept(name);
        fs::remove_file(pgdata.join(name)).unwrap();
    }
    drop(server);
    // One that a promotion in warm mode has left behind.
    fs::write(pgdata.join("promote"), "").unwrap();
    // triggerStandby has read the receipt, and is about to write the trigger file.
    let locked = lock_directory(pgdata).unwrap();
    let refusal = refused(flushed.void().map(|()| Stored::New));
    assert!(refusal.retryable && refusal.message.contains("is running"), "{}", refusal.message);
    drop(locked);
    // What the node is must be known.
    fs::write(pgdata.join("PG_VERSION"), "x\n").unwrap();
    flushed.void().unwrap_err();
    fs::write(pgdata.join("PG_VERSION"), "18\n").unwrap();
    flushed.void().unwrap();
}

/// The disk of the data directory is not mounted.
#[test]
fn a_receipt_is_not_void_while_the_standby_cannot_be_seen() {
    let flushed = Flushed::with_tail();
    let Bed { far, .. } = &flushed.bed;
    archive::mark(&far.archive, &far.local).unwrap();
    flushed.deliver(&flushed.receipt).unwrap();
    let pgdata = &far.data_directory;
    for is_empty in [false, true] {
        if is_empty {
            fs::create_dir(pgdata).unwrap();
        }
        let refusal = refused(flushed.void().map(|()| Stored::New));
        assert!(refusal.retryable && refusal.message.contains("mount"), "{}", refusal.message);
    }
    flushed.has_role(Role::Standby);
    flushed.void().unwrap();
    assert_eq!(flushed.held().receipt, None);
}

/// It has the receipt, and has perhaps written WAL since: its archive took the new primary's WAL, which the DR node needs.
#[test]
fn an_old_primary_that_was_started_again_gets_no_wal() {
    let flushed = Flushed::new();
    let control = flushed.becomes_primary();
    assert_eq!(control.state, ClusterState::InProduction);
    let receipt = Receipt {
        timeline: control.timeline,
        segment: control.layout().containing(control.timeline, control.checkpoint),
        checkpoint: control.checkpoint,
        end: Lsn(control.checkpoint.0 + 0x78),
        ..flushed.receipt.clone()
    };
    ReceiptFile::of_node(&flushed.bed.far.local).write(&receipt).unwrap();
    let number = control.timeline.number();
    let (name, fork) = (format!("{:08X}.history", number + 1), control.checkpoint);
    let sent =
        flushed.bed.send(flushed.hello.clone(), &name, format!("{number}\t{fork}\tx\n").as_bytes());
    let refusal = refused(sent);
    assert_eq!((refusal.code, refusal.retryable), (RefusalCode::NOT_A_STANDBY, true));
}

/// Each of two primaries on one timeline stored the other's WAL.
#[test]
fn a_running_primary_gets_no_wal_of_its_own_timeline() {
    let flushed = Flushed::new();
    let control = flushed.becomes_primary();
    assert_eq!(control.timeline, TimelineId::FIRST);
    let name = "00000001000000000000001A";
    let content = sample_file(&format!("wal/{name}.zst"));
    let send = || flushed.bed.send(flushed.hello.clone(), name, &content);
    let server = server_in(&flushed.bed.far.data_directory);
    let refusal = refused(send());
    assert_eq!((refusal.code, refusal.retryable), (RefusalCode::PAST_FORK, false));
    assert!(refusal.message.contains("runs as a primary"), "{}", refusal.message);
    drop(server);
    // A copy that is not a standby yet.
    send().unwrap();
}

#[test]
fn a_missing_segment_is_named() {
    let flushed = Flushed::with_tail();
    let archive = &flushed.bed.far.archive;
    let name = |number: u32| format!("0000000200000000{number:08X}");
    for number in [0x18, 0x1A] {
        fs::write(archive.join(name(number)), "").unwrap();
    }
    let missing = || flushed.held().missing.map(|missing| missing.to_string());
    assert_eq!(missing(), Some(name(0x19)), "before the last one");
    fs::write(archive.join(name(0x19)), "").unwrap();
    assert_eq!(missing(), None);
    flushed.deliver(&flushed.receipt).unwrap();
    assert_eq!(missing(), Some(name(0x1B)), "before the receipt");
    fs::write(archive.join(name(0x1B)), "").unwrap();
    assert_eq!(missing(), None);
    // A standby needs the segments from its redo position on.
    flushed.has_role(Role::Standby);
    fs::remove_file(archive.join(name(0x18))).unwrap();
    fs::remove_file(archive.join(name(0x19))).unwrap();
    let control = fs::read(flushed.bed.far.data_directory.join("global/pg_control")).unwrap();
    let control = ControlFile::parse(&control).unwrap();
    let redo = control.layout().containing(flushed.receipt.timeline, control.redo);
    let expected = [0x18, 0x19].map(name).into_iter().find(|name| *name >= redo.to_string());
    assert_eq!(missing(), expected, "redo is in {redo}");
}

/// An earlier receiveWALFile does not announce that it stores receipts.
#[test]
fn an_older_receiver_is_not_asked() {
    let flushed = Flushed::new();
    let mut sender = flushed.sender();
    sender.link.set_understands(Capabilities { features: Features(3), ..Capabilities::OURS });
    let error = sender.held_receipt().unwrap_err().to_string();
    assert!(error.contains("too old") && error.contains("distrib2warm"), "{error}");
    for result in [
        sender.deliver_receipt(&flushed.receipt).map(drop),
        sender.void_receipt(&flushed.receipt.id),
    ] {
        assert!(matches!(result, Err(SendError::Link(LinkError::NoReceipts { .. }))));
    }
}
