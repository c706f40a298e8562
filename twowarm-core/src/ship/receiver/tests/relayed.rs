use super::*;

#[test]
fn a_segment_that_is_relayed_for_a_standby_is_kept_for_it() {
    let bed = Bed::new();
    let relayed = || Hello { relay_for: Some("db2".parse().unwrap()), ..hello() };
    let kept = || {
        let consumers = Archive::open(&bed.far.archive).unwrap().consumers().unwrap();
        let kept = consumers.first().map(|consumer| consumer.floor.clone().unwrap().to_string());
        kept.unwrap_or_default()
    };
    bed.send(hello(), TWO, &segment(2, CLUSTER)).unwrap();
    assert_eq!(kept(), "");
    let history = b"1\t0/3000158\tno recovery target specified\n";
    bed.send(relayed(), "00000002.history", history).unwrap();
    assert_eq!(kept(), "");
    // Also if it is here already.
    assert_eq!(bed.send(relayed(), TWO, &segment(2, CLUSTER)).unwrap(), Stored::AlreadyThere);
    assert_eq!(kept(), TWO);
    // What is not recorded is not acknowledged.
    std::fs::remove_dir_all(bed.far.archive.join(".consumers")).unwrap();
    std::fs::write(bed.far.archive.join(".consumers"), "not a directory").unwrap();
    refused(bed.send(relayed(), TWO, &segment(2, CLUSTER)));
}
