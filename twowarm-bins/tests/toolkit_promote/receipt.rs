use std::fs;

use crate::pair::{Pair, fails, succeeds};
use crate::switching::{flush, modes, trigger};

#[test]
fn a_required_receipt_must_be_complete() {
    for mode in modes() {
        let pair = Pair::with_standby_in(mode);
        pair.fill("second", 500);
        let file = pair.db2.pgdata().join("trigger");
        let required = || trigger(&pair.db2, &["--require-receipt"]);
        let check = || trigger(&pair.db2, &["--check", "--require-receipt"]);
        for command in [required(), check()] {
            let said = fails(command, 1);
            assert!(said.contains("there is no receipt of flushPrimary"), "{said}");
            assert!(said.contains("omit --require-receipt"), "{said}");
        }
        let receipt = flush(&pair.db1, &pair.db2);
        // One after the other: the end of the WAL, and a segment below it that is not replayed yet.
        let partial = pair.db2.archive().join(format!("{}.partial", receipt.segment));
        let content = fs::read(&partial).unwrap();
        fs::remove_file(&partial).unwrap();
        let said = fails(required(), 1);
        let missing = format!("{}.partial is missing", receipt.segment);
        assert!(said.contains("not complete") && said.contains(&missing), "{said}");
        assert!(fails(check(), 1).contains(&missing));
        let mut cut = content.clone();
        cut[60..200].fill(0);
        pair.db2.run_as().write(&partial, cut).unwrap();
        let said = fails(required(), 1);
        assert!(said.contains("WAL ends at"), "{said}");
        assert!(!file.exists());
        pair.db2.run_as().write(&partial, &content).unwrap();
        assert!(succeeds(check()).contains("all its WAL is here"));
        assert!(!file.exists() && pair.db2.is_in_recovery().unwrap());
        let said = succeeds(required());
        assert!(
            said.contains("all its WAL is here") && !said.contains("last transaction"),
            "{said}"
        );
        assert_eq!(pair.db2.sql("select count(*) from second").unwrap(), "500", "{mode}");
    }
}

#[test]
fn without_the_option_an_incomplete_receipt_is_told_and_an_outdated_one_ignored() {
    let pair = Pair::with_standby();
    let receipt = flush(&pair.db1, &pair.db2);
    // flushPrimary was undone while this node could not be reached, and the primary filled the segment.
    let name = receipt.segment.to_string();
    let partial = fs::read(pair.db2.archive().join(format!("{name}.partial"))).unwrap();
    pair.db2.run_as().write(&pair.db2.archive().join(&name), partial).unwrap();
    let said = fails(trigger(&pair.db2, &["--require-receipt"]), 1);
    assert!(said.contains("was started again"), "{said}");
    fs::remove_file(pair.db2.archive().join(&name)).unwrap();
    fs::remove_file(pair.db2.archive().join(format!("{name}.partial"))).unwrap();
    let mut command = trigger(&pair.db2, &["--no-wait"]);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("will not be able to rejoin"), "{said}");
}
