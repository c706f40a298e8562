//! Senders that are clones of the one to which the archive is bound.

use super::*;

fn on(machine: &str) -> Hello {
    Hello { machine: machine.parse().ok(), label: format!("{machine}:/pg"), ..hello() }
}

/// A primary whose data directory and 2warm tree were copied to another machine has the same node id and
/// system identifier: its segment was stored and replayed.
#[test]
fn a_cloned_primary_is_refused() {
    let mut bed = Bed::new();
    bed.send(on("one"), TWO, &segment(2, CLUSTER)).unwrap();
    let refusal = refused(bed.open(on("two")).map(|_| Stored::New).map_err(Into::into));
    assert_eq!((refusal.code, refusal.retryable), (RefusalCode::ANOTHER_SENDER, false));
    for word in ["one:/pg", "two:/pg", "clone", "node_id", "configStandby", "any_machine"] {
        assert!(refusal.message.contains(word), "{}", refusal.message);
    }
    // A sender of a version that does not send its machine, and shared disks.
    bed.open(Hello { machine: None, ..hello() }).unwrap().close();
    bed.far.machines = Machines::Any;
    let three = "000000010000000000000003";
    bed.send(on("two"), three, &segment(3, CLUSTER)).unwrap();
    bed.far.machines = Machines::One;
    bed.open(on("one")).unwrap().close();
}

/// Both are accepted while the archive is not bound to a machine; one of them stores.
#[test]
fn one_of_two_concurrent_clones_may_store() {
    let bed = Bed::new();
    bed.send(Hello { machine: None, ..hello() }, TWO, &segment(2, CLUSTER)).unwrap();
    let (mut one, mut two) = (bed.open(on("one")).unwrap(), bed.open(on("two")).unwrap());
    let path = bed.file(&segment(3, CLUSTER));
    let three: WalFileName = "000000010000000000000003".parse().unwrap();
    assert_eq!(one.send(three, &path).unwrap(), Stored::New);
    assert_eq!(refused(two.send(three, &path)).code, RefusalCode::ANOTHER_SENDER);
    one.close();
    two.close();
}
