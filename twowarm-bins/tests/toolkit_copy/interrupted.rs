use std::process::Stdio;
use std::thread;
use std::time::{Duration, SystemTime};

use twowarm_core::testbed::wait_until;

use crate::copies::{Trio, is_clean, sum};
use crate::pair::{LIMIT, succeeds};

/// A number below `limit` that differs between runs.
fn random(limit: u64) -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::from(now.subsec_nanos()) / 1000 % limit
}

#[test]
fn a_copy_that_is_killed_at_any_time_is_completed_by_the_next() {
    let trio = Trio::new();
    // Enough for several rsyncs at once.
    trio.pair.fill("large", 600_000);
    trio.pair.fill("larger", 800_000);
    let db1 = &trio.pair.db1;
    for round in 0..5 {
        db1.sql("update large set md5 = md5(md5) where n % 100 = 0").unwrap();
        let mut command = db1.command("copyToDR");
        let mut copying = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let delay = random(3000);
        thread::sleep(Duration::from_millis(delay));
        let _ = copying.kill();
        copying.wait().unwrap();
        let is_over =
            || !trio.db3.runs("rsync") && !trio.db3.runs("receiveBaseCopy") && !db1.runs("rsync");
        wait_until("the other end to stop", LIMIT, is_over).unwrap();
        // Either the copy had not begun, or it is complete, or it can't be started.
        let pgdata = trio.db3.pgdata();
        let is_marked = pgdata.join(".twowarm-copy").exists();
        let has_control = pgdata.join("global/pg_control").exists();
        assert!(
            !(is_marked && has_control) || pgdata.join("backup_label").exists(),
            "round {round}, after {delay} ms"
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
