use std::error::Error;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc;

use super::*;
use crate::archive::{FetchStep, ScratchFile, Stored};
use crate::restore::RestoreRequest;

const SEGMENT: &str = "000000010000000000000007";

/// What the archive of a node does.
#[derive(Debug)]
enum Does {
    Has,
    HasDamaged,
    /// It has it, and this node's disk is full.
    CannotStore,
    Lacks,
    Fails(&'static str),
    /// Until the sender is dropped.
    Hangs(Mutex<mpsc::Receiver<()>>),
}

#[derive(Debug)]
struct Fake {
    node: &'static str,
    archive: PathBuf,
    does: Does,
    asked: Arc<Mutex<Vec<String>>>,
}

impl OtherArchive for Fake {
    fn node(&self) -> String {
        self.node.into()
    }

    fn fetch(
        &self,
        wanted: &[Wanted],
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Wanted { name, even_damaged, .. } = wanted[0];
        self.asked.lock().unwrap().push(format!("{} {name}", self.node));
        match &self.does {
            Does::Fails(why) => return Err((*why).into()),
            Does::Hangs(until) => drop(until.lock().unwrap().recv()),
            Does::HasDamaged if !even_damaged => {
                progress(FetchStep::Unfit { name, why: "bad checksum".into(), damaged: true });
            }
            Does::Has | Does::HasDamaged => {
                fs::write(self.archive.join(name.to_string()), "content")?;
                progress(FetchStep::Stored(name, Stored::New));
            }
            Does::CannotStore => {
                progress(FetchStep::NotStored(name));
                return Err("no space".into());
            }
            Does::Lacks => drop(progress(FetchStep::Absent(name))),
        }
        Ok(())
    }

    fn fetch_to_scratch(
        &self,
        wanted: Wanted,
        mut scratch: ScratchFile,
        progress: &mut dyn FnMut(FetchStep) -> bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let name = wanted.name;
        self.asked.lock().unwrap().push(format!("{} {name} to scratch", self.node));
        match &self.does {
            Does::Fails(why) => return Err((*why).into()),
            Does::Has | Does::CannotStore => {
                std::io::Write::write_all(scratch.file(), b"content")?;
                progress(FetchStep::Stored(name, Stored::New));
            }
            Does::HasDamaged => {
                progress(FetchStep::Unfit { name, why: "bad checksum".into(), damaged: true });
            }
            _ => drop(progress(FetchStep::Absent(name))),
        }
        Ok(())
    }
}

/// A standby and the requests of its server.
struct Bed {
    dir: tempfile::TempDir,
    places: Vec<Arc<dyn OtherArchive>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Bed {
    fn new(places: impl IntoIterator<Item = (&'static str, Does)>) -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        fs::create_dir(&archive).unwrap();
        // The calls of one server remember what they asked.
        let pid_file = format!("{}\n/d\n1\n", std::process::id());
        fs::write(dir.path().join("postmaster.pid"), pid_file).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let place = |(node, does)| -> Arc<dyn OtherArchive> {
            let (archive, asked) = (archive.clone(), Arc::clone(&asked));
            Arc::new(Fake { node, archive, does, asked })
        };
        let places = places.into_iter().map(place).collect();
        Bed { dir, places, asked }
    }

    /// The result of a call while this order is in force, when no answer is outstanding any more.
    fn request(&self, name: &str, order: &Order, gap: bool) -> Found {
        self.request_with(name, order, |fetching| fetching.look(order, None, &mut || gap))
    }

    /// The same for a file that is damaged in this node's archive.
    fn request_intact(&self, name: &str, order: &Order) -> Found {
        self.request_with(name, order, |fetching| fetching.look_for_intact(order, None))
    }

    fn request_with(
        &self,
        name: &str,
        order: &Order,
        look: impl Fn(&mut Fetching<'_>) -> Found,
    ) -> Found {
        let target = self.dir.path().join("target").into();
        let request = RestoreRequest::from_arguments(&[name.into(), target]).unwrap();
        let archive = self.dir.path().join("archive");
        let mut restore = StandbyRestore::new(request, self.dir.path(), &archive);
        restore.other_archives = self.places.clone();
        restore.time_limit = Duration::from_millis(200);
        let mut fetching = Fetching::of(&restore, true).unwrap();
        loop {
            let found = look(&mut fetching);
            if found == Found::Ready {
                let fetched = fetching.take_fetched().unwrap();
                let mut file = fetched.file.into_file();
                std::io::Seek::rewind(&mut file).unwrap();
                assert_eq!(std::io::read_to_string(file).unwrap(), "content");
                assert!(!archive.join(name).exists(), "{order:?}");
                return found;
            }
            let arrived = archive.join(name).exists();
            if found != Found::Fetching || (arrived && fetching.question.is_none()) {
                return if arrived { Found::Ready } else { found };
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What was asked for since the last call.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

const SMART: Order = Order::EndWhenAbsent;
const FAST: Order = Order::EndNow { serve_again: false };
const FAST_NEEDED: Order = Order::EndNow { serve_again: true };

#[test]
fn the_places_are_asked_in_order_until_one_has_the_file() {
    let bed = Bed::new([("db3", Does::Lacks), ("db4", Does::Has), ("db5", Does::Has)]);
    assert_eq!(bed.request(SEGMENT, &Order::Wait, true), Found::Ready);
    assert_eq!(bed.asked(), [format!("db3 {SEGMENT}"), format!("db4 {SEGMENT}")]);
}

#[test]
fn without_an_order_and_a_gap_nobody_is_asked_at_once() {
    let bed = Bed::new([("db3", Does::Has)]);
    assert_eq!(bed.request(SEGMENT, &Order::Wait, false), Found::Absent);
    assert!(bed.asked().is_empty());
    // A history file exists or does not.
    assert_eq!(bed.request("00000002.history", &Order::Wait, false), Found::Ready);
}

#[test]
fn a_failover_asks_each_place_once_for_each_file() {
    let bed = Bed::new([("db3", Does::Lacks), ("db4", Does::Lacks)]);
    for order in [SMART, FAST_NEEDED] {
        assert_eq!(bed.request(SEGMENT, &order, false), Found::Absent);
    }
    assert_eq!(bed.asked(), [format!("db3 {SEGMENT}"), format!("db4 {SEGMENT}")]);
    assert_eq!(bed.request("00000002.history", &SMART, false), Found::Absent);
    assert_eq!(bed.asked().len(), 2);
    // After a trigger was withdrawn and repeated, each is asked again.
    assert_eq!(bed.request(SEGMENT, &Order::Wait, false), Found::Absent);
    assert_eq!(bed.request(SEGMENT, &SMART, false), Found::Absent);
    assert_eq!(bed.asked().len(), 2);
}

#[test]
fn a_place_that_does_not_answer_is_asked_once_in_a_failover() {
    let (hold, until) = mpsc::channel();
    let hangs = Does::Hangs(Mutex::new(until));
    let bed = Bed::new([("db3", Does::Fails("no route")), ("db4", hangs), ("db5", Does::Lacks)]);
    assert_eq!(bed.request(SEGMENT, &SMART, false), Found::Absent);
    assert_eq!(bed.asked().len(), 3);
    assert_eq!(bed.request("00000002.history", &SMART, false), Found::Absent);
    assert_eq!(bed.asked(), ["db5 00000002.history"]);
    drop(hold);
}

#[test]
fn a_fast_trigger_asks_only_for_what_the_server_needs() {
    let bed = Bed::new([("db3", Does::Has)]);
    for name in [SEGMENT, "00000002.history"] {
        assert_eq!(bed.request(name, &FAST, true), Found::Absent);
    }
    assert!(bed.asked().is_empty());
    assert_eq!(bed.request(SEGMENT, &FAST_NEEDED, false), Found::Ready);
}

#[test]
fn a_place_that_fails_is_left_alone_for_a_while() {
    let bed = Bed::new([("db3", Does::Fails("no route")), ("db4", Does::Lacks)]);
    assert_eq!(bed.request(SEGMENT, &Order::Wait, true), Found::Absent);
    assert_eq!(bed.asked().len(), 2);
    // For another file the question is due at once.
    assert_eq!(bed.request("00000002.history", &Order::Wait, false), Found::Absent);
    assert_eq!(bed.asked().len(), 0, "it was asked for with the segment");
    assert_eq!(bed.request("00000003.history", &Order::Wait, false), Found::Absent);
    assert_eq!(bed.asked(), ["db4 00000003.history"]);
}

#[test]
fn a_damaged_copy_is_the_last_resort_of_a_failover() {
    let places = || [("db3", Does::HasDamaged), ("db4", Does::Lacks)];
    let bed = Bed::new(places());
    assert_eq!(bed.request(SEGMENT, &Order::Wait, true), Found::Absent);
    assert_eq!(bed.asked().len(), 2);
    assert_eq!(bed.request(SEGMENT, &SMART, false), Found::Ready);
    assert_eq!(bed.asked().len(), 3);
    let bed = Bed::new(places().into_iter().chain([("db5", Does::Has)]));
    assert_eq!(bed.request(SEGMENT, &SMART, false), Found::Ready);
    assert_eq!(bed.asked().last().unwrap(), &format!("db5 {SEGMENT}"));
}

/// Regression: a question counted although the only place was left alone, and the next one was due much later than
/// the place could be asked again.
#[test]
fn a_place_that_failed_is_asked_as_soon_as_it_is_tried_again() {
    let bed = Bed::new([("db3", Does::Fails("no route"))]);
    let memory = || FetchMemory::of(bed.dir.path()).facts().clone();
    let mut last = 0;
    for interval in [1000, 2000, 4000] {
        assert_eq!(bed.request(SEGMENT, &Order::Wait, true), Found::Absent);
        assert_eq!(bed.asked().len(), 1);
        let (failing, schedule) = (memory().failing[0].clone(), memory().segment.unwrap());
        assert!(schedule.next <= failing.next && failing.next >= last + interval / 2);
        last = failing.next;
        for _ in 0..3 {
            assert_eq!(bed.request(SEGMENT, &Order::Wait, true), Found::Absent);
        }
        assert_eq!(bed.asked(), [""; 0], "it is left alone");
        assert_eq!(memory().segment.unwrap(), schedule, "no question was asked");
        // As if the time had passed.
        FetchMemory::of(bed.dir.path()).update(|facts| {
            facts.failing[0].next = 0;
            facts.segment.as_mut().unwrap().next -= interval;
        });
    }
}

#[test]
fn a_file_that_cannot_be_stored_is_fetched_to_scratch() {
    for order in [SMART, FAST_NEEDED, Order::Wait] {
        let bed = Bed::new([("db3", Does::Lacks), ("db4", Does::CannotStore), ("db5", Does::Has)]);
        assert_eq!(bed.request(SEGMENT, &order, true), Found::Ready);
        let asked = ["db3", "db4"].map(|node| format!("{node} {SEGMENT}"));
        let to_scratch = format!("{} to scratch", asked[1]);
        assert_eq!(bed.asked(), [asked.as_slice(), &[to_scratch]].concat());
    }
}

#[test]
fn an_intact_copy_of_a_damaged_file_is_asked_for_once_in_a_failover() {
    let places = || [("db3", Does::HasDamaged), ("db4", Does::Fails("no route"))];
    let bed = Bed::new(places());
    let asked = ["db3", "db4"].map(|node| format!("{node} {SEGMENT} to scratch"));
    for _ in 0..2 {
        assert_eq!(bed.request_intact(SEGMENT, &SMART), Found::Absent);
    }
    assert_eq!(bed.asked(), asked);
    let bed = Bed::new(places().into_iter().chain([("db5", Does::Has)]));
    assert_eq!(bed.request_intact(SEGMENT, &SMART), Found::Ready);
    assert_eq!(bed.asked().len(), 3);
}

#[test]
fn an_intact_copy_is_asked_for_at_the_usual_intervals_while_waiting() {
    let bed = Bed::new([("db3", Does::Lacks)]);
    assert_eq!(bed.request_intact(SEGMENT, &Order::Wait), Found::Absent);
    assert_eq!(bed.asked(), [""; 0], "it is not due");
    FetchMemory::of(bed.dir.path()).update(|facts| facts.segment.as_mut().unwrap().next = 0);
    assert_eq!(bed.request_intact(SEGMENT, &Order::Wait), Found::Absent);
    assert_eq!(bed.request_intact(SEGMENT, &Order::Wait), Found::Absent);
    assert_eq!(bed.asked(), [format!("db3 {SEGMENT} to scratch")]);
}
