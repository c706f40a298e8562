use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs;

use super::*;
use crate::ship::wire::{Refusal, RefusalCode};
use crate::ship::{LinkError, OutOfTime};

/// What a node does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Stored,
    Hangs,
    /// It has no space.
    Full,
    /// It belongs to another sender.
    AnotherSender,
    ShuttingDown,
    /// The file is damaged.
    Damaged,
}
use Answer::{AnotherSender, Damaged, Full, Hangs, ShuttingDown, Stored};

#[derive(Debug)]
struct Node {
    name: &'static str,
    answers: RefCell<VecDeque<Answer>>,
}

impl Route for Node {
    fn node(&self) -> &str {
        self.name
    }

    fn ship(
        &self,
        file: &WalFile,
        _: bool,
        _: &mut dyn FnMut(ShipProgress),
    ) -> Result<(), ShipError> {
        let node = self.name.to_owned();
        let refused = |code, retryable| {
            let message = "why".into();
            let refusal = Refusal { id: 1, code, retryable, message };
            Err(LinkError::Refused { node: self.name.into(), refusal }.into())
        };
        match self.answers.borrow_mut().pop_front().expect("this node is not to be tried") {
            Stored => Ok(()),
            Hangs => Err(LinkError::Stalled { node, command: "receiveWALFile" }.into()),
            Full => refused(RefusalCode::FULL, true),
            AnotherSender => refused(RefusalCode::ANOTHER_SENDER, false),
            ShuttingDown => {
                Err(ShipError::ShuttingDown { name: file.name, node, why: OutOfTime::Now })
            }
            Damaged => Err(ShipError::Thread(std::io::Error::other("a local fault"))),
        }
    }
}

struct Bed {
    dir: tempfile::TempDir,
    with_relay: bool,
}

/// The nodes that told of a file, in order: "relayed", "back NODE".
type Told = Vec<String>;

impl Bed {
    fn new(with_relay: bool) -> Bed {
        Bed { dir: tempfile::tempdir().unwrap(), with_relay }
    }

    /// One call. Each node must be tried exactly as often as it has answers.
    fn call(&self, standby: &[Answer], relay: &[Answer]) -> (Result<(), ArchiveCallError>, Told) {
        let node = |name, answers: &[Answer]| Node {
            name,
            answers: RefCell::new(answers.iter().copied().collect()),
        };
        let call = ArchiveCall {
            standby: node("db2", standby),
            relay: self.with_relay.then(|| node("db3", relay)),
            memory: self.memory(),
            data_directory: self.dir.path().to_owned(),
        };
        let file = WalFile {
            name: "000000010000000000000001".parse().unwrap(),
            path: self.dir.path().join("segment"),
        };
        let mut told = Told::new();
        let result = call.archive(&file, &mut |progress| match progress {
            ArchiveProgress::Relayed { standby, relay, .. } => {
                told.push(format!("{standby} to {relay}"));
            }
            ArchiveProgress::Back { node, .. } => told.push(format!("{node} is back")),
            ArchiveProgress::Ship { .. } => {}
        });
        let nodes = [Some(&call.standby), call.relay.as_ref()];
        for node in nodes.into_iter().flatten() {
            assert!(node.answers.borrow().is_empty(), "{} was not tried", node.name);
        }
        (result, told)
    }

    fn memory(&self) -> PathBuf {
        self.dir.path().join("unreachable_nodes")
    }

    /// Lets the next attempt to reach the standby become due.
    fn wait(&self) {
        let text = fs::read_to_string(self.memory()).unwrap();
        let due = text.lines().map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
            ["db2", since, _, interval] => format!("db2 {since} {since} {interval}\n"),
            _ => format!("{line}\n"),
        });
        fs::write(self.memory(), due.collect::<String>()).unwrap();
    }

    /// Keeps the standby from being due, however long the test takes.
    fn is_not_due(&self) {
        let next = now() + 60;
        let text = format!("version=1 reported={}\ndb2 {} {next} 60\nend\n", now(), now());
        fs::write(self.memory(), text).unwrap();
    }
}

fn succeeds(call: (Result<(), ArchiveCallError>, Told), told: &[&str]) {
    call.0.unwrap();
    assert_eq!(call.1, told);
}

fn fails(call: (Result<(), ArchiveCallError>, Told), words: &[&str]) {
    let error = call.0.unwrap_err().to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
    assert_eq!(call.1, [""; 0]);
}

#[test]
fn while_the_standby_is_down_the_dr_node_gets_the_files() {
    let bed = Bed::new(true);
    succeeds(bed.call(&[Stored], &[]), &[]);
    assert!(!bed.memory().exists());
    succeeds(bed.call(&[Hangs], &[Stored]), &["db2 to db3"]);
    // Not tried again before its time.
    bed.is_not_due();
    succeeds(bed.call(&[], &[Stored]), &[]);
    succeeds(bed.call(&[], &[Stored]), &[]);
    bed.wait();
    succeeds(bed.call(&[Full], &[Stored]), &[]);
    bed.wait();
    succeeds(bed.call(&[Stored], &[]), &["db2 is back"]);
    assert!(!bed.memory().exists());
    succeeds(bed.call(&[Stored], &[]), &[]);
}

#[test]
fn a_refusal_is_never_relayed() {
    let bed = Bed::new(true);
    fails(bed.call(&[AnotherSender], &[]), &["db2 refused"]);
    assert!(!bed.memory().exists());
    // It answers, so it is not down any longer.
    succeeds(bed.call(&[Hangs], &[Stored]), &["db2 to db3"]);
    bed.wait();
    fails(bed.call(&[AnotherSender], &[]), &["db2 refused"]);
    succeeds(bed.call(&[Stored], &[]), &[]);
}

#[test]
fn a_fault_of_the_file_is_not_one_of_the_nodes() {
    let bed = Bed::new(true);
    fails(bed.call(&[Damaged], &[]), &["local fault"]);
    bed.is_not_due();
    fails(bed.call(&[], &[Damaged]), &["local fault"]);
}

#[test]
fn a_standby_that_is_not_due_is_tried_if_the_dr_node_fails() {
    for failure in [Hangs, Full, AnotherSender] {
        let bed = Bed::new(true);
        bed.is_not_due();
        succeeds(bed.call(&[Stored], &[failure]), &["db2 is back"]);
        assert!(!bed.memory().exists());
    }
}

#[test]
fn with_both_down_the_details_follow_once_a_minute() {
    let bed = Bed::new(true);
    fs::create_dir_all(bed.dir.path().join("pg_wal/archive_status")).unwrap();
    let details = ["db2: no progress", "; db3 refused", "nothing could be archived", "waiting"];
    fails(bed.call(&[Hangs], &[Full]), &details);
    let (result, _) = bed.call(&[Hangs], &[Full]);
    let error = result.unwrap_err();
    assert!(error.is_retryable());
    assert!(!error.to_string().contains("waiting"), "{error}");
    let text = fs::read_to_string(bed.memory()).unwrap();
    fs::write(bed.memory(), text.replacen(&now().to_string()[..7], "1000000", 1)).unwrap();
    fails(bed.call(&[Hangs], &[Full]), &["waiting"]);
}

#[test]
fn without_a_dr_node_each_call_tries_the_standby() {
    let bed = Bed::new(false);
    fails(bed.call(&[Hangs], &[]), &["db2: no progress", "nothing could be archived"]);
    for _ in 0..3 {
        fails(bed.call(&[Hangs], &[]), &["db2: no progress"]);
    }
    succeeds(bed.call(&[Stored], &[]), &["db2 is back"]);
}

/// The standby has used its share of the time of a shutdown; it is not known to be down.
#[test]
fn in_a_shutdown_the_dr_node_gets_the_rest_of_the_time() {
    let bed = Bed::new(true);
    succeeds(bed.call(&[ShuttingDown], &[Stored]), &[]);
    assert!(!bed.memory().exists());
    fails(bed.call(&[ShuttingDown], &[ShuttingDown]), &["db2", "db3", "shutting down"]);
}

#[test]
fn an_invalid_memory_costs_one_attempt() {
    let bed = Bed::new(true);
    bed.is_not_due();
    let text = fs::read_to_string(bed.memory()).unwrap();
    fs::write(bed.memory(), &text[..text.len() / 2]).unwrap();
    succeeds(bed.call(&[Hangs], &[Stored]), &["db2 to db3"]);
}

/// A memory that can't be written changes nothing but the time that a call takes.
#[test]
fn a_memory_that_cannot_be_written_is_done_without() {
    let bed = Bed::new(true);
    fs::create_dir(bed.memory()).unwrap();
    for _ in 0..2 {
        succeeds(bed.call(&[Hangs], &[Stored]), &["db2 to db3"]);
    }
    succeeds(bed.call(&[Stored], &[]), &[]);
}
