//! A WAL record that spans several segments. restoreWALFile checks it from its beginning. It restores a segment
//! without this check only if the server does not replay the record.

use std::fs;
use std::sync::OnceLock;

use twowarm_core::wal::PageHeader;

use crate::support::{
    BedError, LIMIT, Scratch, StopMode, Testbed, restoring_pair, segments_in, wait_until,
};

/// WAL with a message of 3 MB in segments of 1 MB.
struct Log {
    /// Names and contents, in order.
    segments: Vec<(String, Vec<u8>)>,
    /// pg_control after a shutdown that followed all of the segments.
    shut_down: Vec<u8>,
    /// The index of the segment in which the message ends. It begins three segments earlier.
    end: usize,
}

/// The WAL that these tests share; `None` before PostgreSQL 11, whose segments can't be that small.
fn log() -> Option<&'static Log> {
    static LOG: OnceLock<Option<Log>> = OnceLock::new();
    LOG.get_or_init(|| Log::make().expect("the server can be set up")).as_ref()
}

const MESSAGE: &str =
    "select pg_logical_emit_message(false, 'test', repeat('0123456789', 300 * 1024))";

impl Log {
    fn make() -> Result<Option<Log>, BedError> {
        let node = Testbed::new()?.node("db1")?;
        if !node.install().major()?.has_segment_size_option() {
            return Ok(None);
        }
        node.initdb(&["--wal-segsize=1"])?;
        let archive = node.home().join("archive");
        node.archive_into(&archive)?;
        node.start()?;
        node.sql("create table t as select 0 as batch")?;
        node.sql(MESSAGE)?;
        node.sql("insert into t select 1")?;
        node.wait_until_archived(&node.switch_wal()?)?;
        node.stop(StopMode::Fast)?;
        let segments = segments_in(&archive);
        let shut_down = fs::read(node.pgdata().join("global/pg_control"));
        let shut_down = shut_down.expect("initdb created it");
        let end = segments.iter().rposition(|(_, bytes)| continues(bytes));
        let end = end.expect("the message crosses into a segment");
        assert!(end >= 3 && (end - 2..end).all(|n| continues(&segments[n].1)));
        Ok(Some(Log { segments, shut_down, end }))
    }

    /// A data directory whose archive holds all segments.
    fn scratch(&self) -> Scratch {
        let scratch = Scratch::new();
        scratch.write("global/pg_control", at_redo(&self.shut_down, self.start(0)));
        for (name, bytes) in &self.segments {
            scratch.put_old(name, bytes);
        }
        scratch
    }

    fn name(&self, number: usize) -> &str {
        &self.segments[number].0
    }

    /// The position of a segment's first byte.
    fn start(&self, number: usize) -> u64 {
        PageHeader::parse(&self.segments[number].1)
            .expect("the segment begins with a page header")
            .address
            .0
    }

    fn damaged(&self, number: usize) -> Vec<u8> {
        flipped(&self.segments[number].1)
    }
}

fn continues(bytes: &[u8]) -> bool {
    bytes[2] & 1 != 0
}

/// A copy with one changed byte in the middle.
fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2 + 100;
    bytes[middle] ^= 1;
    bytes
}

/// The same pg_control (of PostgreSQL 11 or later) with another redo location.
fn at_redo(control: &[u8], redo: u64) -> Vec<u8> {
    let mut control = control.to_vec();
    let checksum = |bytes: &[u8]| {
        bytes.iter().fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ (0x82F6_3B78 & (!(crc & 1)).wrapping_add(1))
            })
        }) ^ !0
    };
    let stands_at =
        (200..400).find(|&at| control[at..at + 4] == checksum(&control[..at]).to_le_bytes());
    let stands_at = stands_at.expect("pg_control ends with its checksum");
    control[40..48].copy_from_slice(&redo.to_le_bytes());
    let checksum = checksum(&control[..stands_at]);
    control[stands_at..stands_at + 4].copy_from_slice(&checksum.to_le_bytes());
    control
}

fn assert_restores(scratch: &Scratch, log: &Log, number: usize) {
    let ended = scratch.run(log.name(number));
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(scratch.restored().as_deref() == Some(&log.segments[number].1), "{}", ended.said);
}

#[test]
fn a_message_of_3_mb_that_is_sound() {
    let Some(log) = log() else { return };
    let scratch = log.scratch();
    (0..log.segments.len()).for_each(|number| assert_restores(&scratch, log, number));
}

#[test]
fn a_message_of_3_mb_with_a_damaged_byte_in_a_middle_segment() {
    let Some(log) = log() else { return };
    for number in [log.end - 3, log.end - 2, log.end - 1] {
        let scratch = log.scratch();
        scratch.put_old(log.name(number), log.damaged(number));
        let mut call = scratch.start(log.name(log.end));
        call.waits_for("as it crosses from");
        assert!(call.said().contains(log.name(number)), "{}", call.said());
        assert_eq!(scratch.restored(), None);
        // The server still has the damaged segment in pg_wal, and would replay that.
        scratch.write(&format!("pg_wal/{}", log.name(number)), log.damaged(number));
        scratch.put_old(log.name(number), &log.segments[number].1);
        drop(call);
        let mut call = scratch.start(log.name(log.end));
        call.waits_for("start the server again");
        drop(call);
        // After a restart the server has replayed the sound segment.
        scratch.write(&format!("pg_wal/{}", log.name(number)), &log.segments[number].1);
        assert_restores(&scratch, log, log.end);
    }
}

#[test]
fn a_failover_is_not_delayed_by_the_check() {
    let Some(log) = log() else { return };
    let scratch = log.scratch();
    scratch.write("trigger", "smart");
    scratch.put_old(log.name(log.end - 1), log.damaged(log.end - 1));
    assert_restores(&scratch, log, log.end);
    fs::remove_file(scratch.archived(log.name(log.end - 1))).unwrap();
    assert_restores(&scratch, log, log.end);
}

#[test]
fn an_earlier_segment_that_is_missing_is_waited_for() {
    let Some(log) = log() else { return };
    for (missing, wanted) in [(3, 0), (2, 0), (2, 1), (1, 0)] {
        let (missing, wanted) = (log.end - missing, log.end - wanted);
        let scratch = log.scratch();
        fs::remove_file(scratch.archived(log.name(missing))).unwrap();
        let mut call = scratch.start(log.name(wanted));
        call.waits_for(&format!("put an intact {} into the archive", log.name(missing)));
        assert_eq!(scratch.restored(), None);
        scratch.put(log.name(missing), &log.segments[missing].1);
        call.exits(0);
        assert!(scratch.restored().as_deref() == Some(&log.segments[wanted].1));
    }
}

/// From 9.2 on the server keeps restored segments in pg_wal until a restart point, including those that have been
/// pruned from the archive.
#[test]
fn segments_kept_in_pg_wal_are_enough() {
    let Some(log) = log() else { return };
    let scratch = log.scratch();
    for number in 0..log.end {
        let (from, name) = (scratch.archived(log.name(number)), log.name(number));
        fs::rename(from, scratch.data().join("pg_wal").join(name)).unwrap();
    }
    assert_restores(&scratch, log, log.end);
}

/// After a restart the server begins with the segment of its restart point. All earlier segments may have been
/// pruned.
#[test]
fn the_first_segment_after_a_restart_needs_nothing_before_it() {
    let Some(log) = log() else { return };
    let scratch = log.scratch();
    (0..log.end).for_each(|n| fs::remove_file(scratch.archived(log.name(n))).unwrap());
    let within = log.start(log.end) + 0x8_0000;
    scratch.write("global/pg_control", at_redo(&log.shut_down, within));
    assert_restores(&scratch, log, log.end);
    if log.end + 1 < log.segments.len() {
        assert_restores(&scratch, log, log.end + 1);
    }
    // Damage before the restart point does not matter: the server does not replay it.
    scratch.put_old(log.name(log.end - 1), log.damaged(log.end - 1));
    assert_restores(&scratch, log, log.end);
    // From a restart point one segment earlier, the server would replay the message.
    scratch.write("global/pg_control", at_redo(&log.shut_down, log.start(log.end) - 1));
    scratch.start(log.name(log.end)).waits_for("put an intact");
}

/// After a base backup, backup_label says where replay starts, regardless of the copied pg_control. Archiving may
/// have begun with that segment.
#[test]
fn the_first_segment_after_a_base_backup_needs_nothing_before_it() {
    let Some(log) = log() else { return };
    let scratch = log.scratch();
    (0..log.end).for_each(|n| fs::remove_file(scratch.archived(log.name(n))).unwrap());
    let label = |redo: u64, number: usize| {
        let at = format!("{:X}/{:X}", redo >> 32, redo as u32);
        format!(
            "START WAL LOCATION: {at} (file {})\nCHECKPOINT LOCATION: {at}\nLABEL: copy\n",
            log.name(number)
        )
    };
    scratch.write("backup_label", label(log.start(log.end) + 0x8_0000, log.end));
    assert_restores(&scratch, log, log.end);
    // A backup that started before the message needs all of it, regardless of pg_control.
    scratch.write("global/pg_control", &log.shut_down);
    scratch.write("backup_label", label(log.start(log.end - 3) + 40, log.end - 3));
    scratch.start(log.name(log.end)).waits_for("put an intact");
    // The first segment of that backup is the one where the message begins.
    scratch.put_old(log.name(log.end - 3), &log.segments[log.end - 3].1);
    assert_restores(&scratch, log, log.end - 3);
}

/// `keep`, for servers that report no restart point, does not prune the beginning of a message before its end has
/// been restored.
#[test]
fn a_small_keep_does_not_cut_a_message() {
    let Some(log) = log() else { return };
    let scratch = log.scratch();
    scratch.write_local("2warm.toml", "[archive]\nkeep = 1\n");
    for number in log.end - 3..log.segments.len() {
        assert_restores(&scratch, log, number);
    }
    assert!(!scratch.archived(log.name(log.end - 3)).exists(), "it is pruned later");
}

/// Regression: a server in warm mode took the damaged message for the end of WAL and ended recovery.
#[test]
fn a_damaged_message_does_not_end_recovery() -> Result<(), BedError> {
    if log().is_none() {
        return Ok(());
    }
    let pair = restoring_pair(false, &["--wal-segsize=1"])?;
    pair.primary.sql(MESSAGE)?;
    pair.primary.sql("insert into t select 1")?;
    pair.ship_segment()?;
    let segments = segments_in(&pair.standby.archive());
    let end = segments
        .iter()
        .rposition(|(_, bytes)| continues(bytes))
        .expect("the message crosses into a segment");
    let (name, good) = &segments[end - 2];
    let middle = pair.standby.archive().join(name);
    pair.standby.run_as().write(&middle, flipped(good))?;
    pair.standby.start_warm()?;
    pair.standby.wait_for_log("as it crosses from")?;
    pair.standby.wait_for_log(&format!("restored log file \"{}\"", segments[end - 1].0))?;
    pair.not_promoted()?;
    // The copy in the server's pg_wal is still damaged.
    pair.standby.run_as().write(&middle, good)?;
    pair.standby.stop(StopMode::Fast)?;
    pair.standby.start_warm()?;
    pair.standby
        .wait_for_log(&format!("restored log file \"{}\"", segments[segments.len() - 1].0))?;
    pair.primary.sql("insert into t select 2")?;
    pair.ship_segment()?;
    wait_until("the standby to wait", LIMIT, || pair.standby.runs("restoreWALFile"))?;
    pair.not_promoted()?;
    pair.standby.run_as().write(&pair.standby.pgdata().join("trigger"), "smart")?;
    pair.standby.wait_for_promotion()?;
    assert_eq!(pair.standby.sql("select max(batch) from t")?, "2");
    Ok(())
}
