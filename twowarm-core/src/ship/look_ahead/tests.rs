use std::path::Path;
use std::time::{Duration, Instant};

use super::memory::{LINGER, Memory};
use super::message::{Answer, Request};
use crate::ship::fingerprint::Fingerprint;
use crate::ship::shipper::Acknowledged;
use crate::ship::wire::{Capabilities, Refusal, RefusalCode, Stored, Welcome};
use crate::ship::{LinkError, ShipError, WalFile};

const STALLED: &str = "receiveWALFile";

fn file(number: u8) -> WalFile {
    let name = format!("0000000100000000000000{number:02X}");
    WalFile { path: Path::new("/data/pg_wal").join(&name), name: name.parse().unwrap() }
}

/// One state with different checksums: a file that was written again, with the same times.
fn content(checksum: u32) -> Fingerprint {
    Fingerprint::state_of("/proc/self/exe".as_ref()).unwrap().with_checksum(checksum)
}

fn request(number: u8) -> Request {
    let checksum = number.into();
    Request { file: file(number), content: content(checksum), destination: String::new() }
}

struct Process {
    memory: Memory,
    now: Instant,
}

impl Process {
    fn new(limit: usize) -> Process {
        let now = Instant::now();
        let mut memory = Memory::new(limit, now);
        memory.connection_begins();
        Process { memory, now }
    }

    fn later(&mut self, by: Duration) {
        self.now += by;
    }

    /// The backlog from this file on.
    fn listed(&mut self, numbers: impl IntoIterator<Item = u8>) {
        self.memory.listed(numbers.into_iter().map(file).collect(), self.now);
    }

    fn ask(&mut self, number: u8) -> Option<Answer> {
        self.memory.ask(&request(number), self.now)
    }

    fn result(&mut self, number: u8) -> Option<Answer> {
        self.memory.result(&request(number), self.now)
    }

    fn takes(&mut self, connection: usize, number: u8) {
        assert_eq!(self.memory.take(connection), Some(file(number)));
    }

    fn acknowledges(&mut self, number: u8) {
        self.memory.connected(&welcome());
        let acknowledged = Acknowledged {
            file: file(number),
            stored: Stored::New,
            defect: None,
            content: content(number.into()),
        };
        self.memory.acknowledged(acknowledged, self.now);
    }

    fn is_over(&self) -> bool {
        self.memory.is_over(self.now)
    }

    fn ends(&mut self, connection: usize, error: LinkError) {
        self.memory.connection_ended(connection, Err(ShipError::Link(error)));
    }
}

fn welcome() -> Welcome {
    Welcome {
        label: "db2".into(),
        archive: "/archive".into(),
        understands: Capabilities::default(),
    }
}

fn stored() -> Option<Answer> {
    Some(Answer::Stored { stored: Stored::New, has_defect: false, welcome: welcome() })
}

fn stalled() -> LinkError {
    LinkError::Stalled { node: "db2".into(), command: STALLED }
}

fn refused() -> LinkError {
    let refusal =
        Refusal { id: 1, code: RefusalCode(1), retryable: false, message: "already exists".into() };
    LinkError::Refused { node: "db2".into(), refusal }
}

#[test]
fn a_call_s_own_file_comes_first_and_alone() {
    let mut process = Process::new(8);
    assert_eq!(process.ask(3), None);
    process.listed(1..=5);
    process.takes(0, 3);
    assert!(process.memory.is_awaited(0) && !process.memory.is_awaited(1));
    assert_eq!(process.result(3), None);
    process.acknowledges(3);
    assert!(!process.memory.is_awaited(0));
    assert_eq!(process.result(3), stored());
    for number in [1, 2, 4, 5] {
        process.takes(0, number);
    }
    assert_eq!(process.memory.take(0), None);
}

#[test]
fn a_call_finds_its_file_acknowledged_once() {
    let mut process = Process::new(8);
    process.listed(1..=2);
    process.takes(0, 1);
    process.acknowledges(1);
    assert_eq!(process.ask(1), stored());
    // The same name again: another file, which is shipped.
    assert_eq!(process.ask(1), None);
    process.takes(0, 1);
}

/// The name is reused with the same size and times.
#[test]
fn the_checksum_is_asked_for_where_the_times_prove_nothing() {
    let mut process = Process::new(8);
    process.listed(1..=1);
    process.takes(0, 1);
    process.acknowledges(1);
    let without = Request {
        content: Fingerprint::state_of("/proc/self/exe".as_ref()).unwrap(),
        ..request(1)
    };
    for _ in 0..2 {
        let answer = process.memory.ask(&without, process.now);
        assert_eq!(answer, Some(Answer::NeedsChecksum));
    }
    assert_eq!(process.ask(1), stored());
}

#[test]
fn another_content_is_not_acknowledged() {
    let mut process = Process::new(8);
    process.listed(1..=2);
    process.takes(0, 1);
    process.acknowledges(1);
    let rewritten = Request { content: content(99), ..request(1) };
    assert_eq!(process.memory.ask(&rewritten, process.now), Some(Answer::ShipIt));
    assert_eq!(process.ask(1), None, "it is forgotten");

    // It was on its way while the file was written again.
    process.takes(0, 1);
    let rewritten = Request { content: content(98), ..request(1) };
    assert_eq!(process.memory.ask(&rewritten, process.now), None);
    process.acknowledges(1);
    assert_eq!(process.memory.result(&rewritten, process.now), Some(Answer::ShipIt));
}

#[test]
fn an_answered_file_is_not_shipped_again_until_the_server_has_noted_it() {
    let mut process = Process::new(8);
    assert_eq!(process.ask(1), None);
    process.takes(0, 1);
    process.acknowledges(1);
    assert_eq!(process.result(1), stored());
    process.listed(1..=2);
    process.takes(0, 2);
    process.acknowledges(2);
    process.listed([2]);
    assert_eq!(process.memory.take(0), None, "2 is acknowledged");
    // Recycled: the name is a new file's.
    process.listed([1, 2]);
    process.takes(0, 1);
}

#[test]
fn only_so_many_files_are_shipped_unasked() {
    let mut process = Process::new(2);
    process.listed(1..=9);
    process.takes(0, 1);
    process.takes(1, 2);
    assert_eq!(process.memory.take(0), None);
    process.acknowledges(1);
    assert_eq!(process.memory.take(0), None);
    assert_eq!(process.ask(7), None);
    process.takes(0, 7);
    assert_eq!(process.ask(1), stored());
    process.acknowledges(7);
    assert_eq!(process.result(7), stored());
    process.takes(0, 3);
}

#[test]
fn an_unreachable_node_is_reported_to_the_calls_that_wait() {
    let mut process = Process::new(8);
    assert_eq!(process.ask(1), None);
    process.listed(2..=3);
    process.takes(0, 1);
    process.ends(0, stalled());
    assert!(!process.is_over(), "the call does not have its answer yet");
    let Some(Answer::Unreachable(why)) = process.result(1) else { panic!("it waits") };
    assert!(why.contains("db2") && why.contains(STALLED), "{why}");
    assert!(process.is_over());
}

/// The far command may report that it is working although its disk hangs.
#[test]
fn a_call_does_not_wait_for_ever_for_an_acknowledgement() {
    const LIMIT: Duration = Duration::from_secs(120);
    let mut process = Process::new(8);
    assert!(!process.memory.has_hung_for(LIMIT, process.now + LIMIT), "no call waits");
    assert_eq!(process.ask(3), None);
    process.listed(1..=2);
    process.takes(0, 3);
    process.later(LIMIT / 2);
    process.takes(0, 1);
    process.acknowledges(1);
    process.later(LIMIT - Duration::from_secs(1));
    assert!(!process.memory.has_hung_for(LIMIT, process.now));
    process.later(Duration::from_secs(1));
    assert!(process.memory.has_hung_for(LIMIT, process.now));
    process.memory.give_up(&request(3), process.now);
    process.memory.end();
    assert!(process.is_over());
}

/// It might be a damaged file far behind, which is still to be asked for.
#[test]
fn after_a_refusal_what_was_acknowledged_is_still_remembered() {
    let mut process = Process::new(8);
    assert_eq!(process.ask(1), None);
    process.listed(2..=4);
    process.takes(0, 1);
    process.acknowledges(1);
    assert_eq!(process.result(1), stored());
    process.takes(0, 2);
    process.takes(0, 3);
    process.acknowledges(2);
    process.ends(0, refused());
    assert!(process.memory.is_closed() && !process.is_over());
    assert_eq!(process.memory.take(0), None);
    assert_eq!(process.ask(2), stored());
    assert_eq!(process.ask(3), Some(Answer::ShipIt), "it reports the refusal itself");
    assert!(process.is_over());
}

#[test]
fn the_files_of_a_broken_connection_are_sent_over_another() {
    let mut process = Process::new(8);
    process.memory.connection_begins();
    process.listed(1..=4);
    process.takes(0, 1);
    process.takes(1, 2);
    process.takes(1, 3);
    assert_eq!(process.ask(3), None);
    process.ends(1, stalled());
    process.takes(0, 2);
    process.takes(0, 3);
    process.acknowledges(3);
    assert_eq!(process.result(3), stored());
    // The last one.
    process.ends(0, stalled());
    assert!(process.memory.is_closed());
}

#[test]
fn it_ends_when_no_call_comes() {
    let mut process = Process::new(8);
    assert_eq!(process.ask(1), None);
    process.takes(0, 1);
    process.later(LINGER * 2);
    assert!(!process.is_over(), "a call waits");
    process.acknowledges(1);
    assert_eq!(process.result(1), stored());
    process.listed([1]);
    assert!(!process.is_over());
    process.later(LINGER);
    assert!(process.is_over());
}

#[test]
fn at_the_limit_the_rest_is_answered_and_nothing_shipped() {
    let mut process = Process::new(8);
    process.listed(1..=4);
    process.takes(0, 1);
    process.takes(0, 2);
    assert_eq!(process.ask(4), None);
    process.memory.close();
    process.takes(0, 4);
    for number in [1, 2, 4] {
        process.acknowledges(number);
    }
    assert_eq!(process.result(4), stored());
    assert_eq!(process.memory.take(0), None, "3 is not asked for");
    assert!(!process.is_over());
    assert_eq!(process.ask(1), stored());
    assert!(!process.is_over());
    assert_eq!(process.ask(2), stored());
    assert!(process.is_over());
}

#[test]
fn a_call_that_has_left_is_not_waited_for() {
    let mut process = Process::new(8);
    assert_eq!(process.ask(1), None);
    process.takes(0, 1);
    process.memory.give_up(&request(1), process.now);
    assert!(!process.memory.is_awaited(0));
    process.acknowledges(1);
    assert_eq!(process.ask(1), stored());
}
