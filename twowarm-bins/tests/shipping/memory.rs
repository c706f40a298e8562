//! How much memory both ends use.

use std::collections::BTreeMap;
use std::fs;

use twowarm_core::testbed::Call;

use crate::pair::{ONE, Pair};

/// The limit for either process, in kB.
const LIMIT: u64 = 32 * 1024;

/// The peak resident set of a process so far, in kB.
fn peak(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Sends the first segment and returns the peaks of both ends, in kB.
fn peaks(pair: &Pair) -> BTreeMap<&'static str, u64> {
    let mut command = pair.db1.command("archiveWALFile");
    command.args([format!("pg_wal/{ONE}"), ONE.to_owned()]);
    let mut call = Call::start(command);
    let mut peaks = BTreeMap::new();
    let mut see = |name, pid| {
        let most = peaks.entry(name).or_default();
        *most = peak(pid).unwrap_or_default().max(*most);
    };
    while !call.has_ended() {
        see("archiveWALFile", call.pid());
        for process in pair.bed.processes() {
            if process.command.ends_with("/receiveWALFile") {
                see("receiveWALFile", process.pid);
            }
        }
    }
    call.exits(0);
    peaks
}

#[test]
fn both_ends_use_little_memory_for_large_segments() {
    let pair = Pair::with_cluster(&["--wal-segsize=64"]);
    pair.db1.start().unwrap();
    let fill = "create table t as select md5(i::text) from generate_series(1, 1100000) i";
    pair.db1.sql(fill).unwrap();
    pair.db1.sql("select pg_switch_wal()").unwrap();
    let sent = fs::read(pair.db1.pgdata().join("pg_wal").join(ONE)).unwrap();
    assert_eq!(sent.len(), 64 << 20);
    let check = |case: &str| {
        let peaks = peaks(&pair);
        assert_eq!(peaks.len(), 2, "{case}: {peaks:?}");
        let within = peaks.values().all(|peak| (1000..LIMIT).contains(peak));
        assert!(within, "{case}: {peaks:?}");
    };
    check("a new file");
    assert!(fs::read(pair.archived(ONE)).unwrap() == sent);
    check("the same file");
    // The beginning of the segment, as flushPrimary of 2warm leaves it, is compared record by record.
    let mut unfinished = sent.clone();
    unfinished[48 << 20..].fill(0);
    pair.db2.run_as().write(&pair.archived(ONE), &unfinished).unwrap();
    check("a file that differs");
    assert!(fs::read(pair.archived(ONE)).unwrap() == sent);
    assert!(fs::read(pair.archived(&format!("{ONE}.foreign"))).unwrap() == unfinished);
}
