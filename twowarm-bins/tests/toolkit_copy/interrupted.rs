use twowarm_core::testbed::{Call, wait_until};

use crate::copies::{Trio, is_clean, sum};
use crate::pair::{LIMIT, succeeds};

/// What the command has printed when it is killed.
const MOMENTS: [&str; 5] = [
    "Copying",
    "The online backup begins",
    // Or that rsync runs on the other node.
    "",
    "are copied or unchanged",
    "The online backup ends",
];

#[test]
fn a_copy_that_is_killed_at_any_time_is_completed_by_the_next() {
    let trio = Trio::new();
    // Enough for several rsyncs at once.
    trio.pair.fill("large", 600_000);
    trio.pair.fill("larger", 800_000);
    let db1 = &trio.pair.db1;
    for moment in MOMENTS {
        db1.sql("update large set md5 = md5(md5) where n % 100 = 0").unwrap();
        let mut copying = Call::start(db1.command("copyToDR"));
        match moment {
            "" => wait_until("rsync to start", LIMIT, || trio.db3.runs("rsync")).unwrap(),
            line => {
                let has_come = || copying.said().contains(line) || copying.has_ended();
                wait_until(line, LIMIT * 5, has_come).unwrap();
            }
        }
        drop(copying);
        let is_over =
            || !trio.db3.runs("rsync") && !trio.db3.runs("receiveBaseCopy") && !db1.runs("rsync");
        wait_until("the other end to stop", LIMIT, is_over).unwrap();
        // Either the copy had not begun, or it is complete, or it can't be started.
        let pgdata = trio.db3.pgdata();
        let is_marked = pgdata.join(".twowarm-copy").exists();
        let has_control = pgdata.join("global/pg_control").exists();
        assert!(
            !(is_marked && has_control) || pgdata.join("backup_label").exists(),
            "killed after \"{moment}\""
        );
    }
    succeeds(db1.command("copyToDR"));
    [db1, &trio.db3].into_iter().for_each(is_clean);
    trio.db3.start_warm().unwrap();
    trio.follow();
    crate::pair::wait_for_rows(&trio.db3, "larger", 800_000);
    for table in ["large", "larger"] {
        assert_eq!(sum(&trio.db3, table), sum(&trio.pair.db1, table));
    }
}
