//! From a smart trigger, with all WAL replayed, to a server that accepts writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use twowarm_benches::{Samples, Table};
use twowarm_core::testbed::{Node, StopMode, Testbed, finish, wait_until};

use crate::Outcome;
use crate::programs::Programs;

const PROMOTIONS: usize = 9;
/// Rounds of the C program, which take some 12 s each.
const PROMOTIONS_OF_ORIGINAL: usize = 2;
const LIMIT: Duration = Duration::from_secs(60);

/// Copies a file that exists and waits for others; with a trigger it only runs `exit 1`. Like pg_standby it does not
/// wait for timeline history files.
const BARE: &str = r#"#!/bin/sh
while :; do
    if test -f "$1/$2"; then cp "$1/$2" "$3"; exit; fi
    case $2 in *.history) exit 1 ;; esac
    if test -f "$4"; then exit 1; fi
    sleep 0.01
done
"#;

struct Promotions {
    standby: Node,
    /// A primary's data directory and its archive, from which standbys are created.
    pristine: PathBuf,
    archive: PathBuf,
    last: String,
    trigger: PathBuf,
    // Last, because dropping it removes the directory.
    _bed: Testbed,
}

pub fn compare(programs: &Programs) -> Outcome<Vec<Table>> {
    let promotions = Promotions::new()?;
    let home = promotions.standby.home();
    let (archive, trigger) = (promotions.archive.display(), promotions.trigger.display());
    let ours = install(&promotions, &programs.pg_standby, "twowarm")?;
    let bare = home.join("bare");
    promotions.standby.run_as().write(&bare, BARE)?;
    let mut ways = vec![
        ("twowarm, -s 60", PROMOTIONS, format!("{ours} -s 60 -t {trigger} {archive} %f %p %r")),
        ("a bare exit 1", PROMOTIONS, format!("sh {} {archive} %f %p {trigger}", bare.display())),
    ];
    if let Some(original) = &programs.original {
        let original = install(&promotions, original, "original")?;
        let command = format!("{original} -s 1 -t {trigger} {archive} %f %p %r");
        ways.push(("the C program, -s 1", PROMOTIONS_OF_ORIGINAL, command));
    }
    let mut samples = vec![Samples::default(); ways.len()];
    for round in 0..PROMOTIONS {
        for ((_, rounds, command), samples) in ways.iter().zip(&mut samples) {
            if round < *rounds {
                samples.push(promotions.run(command)?);
            }
        }
    }
    let mut table = Table::new("4. From a smart trigger to a server that takes writes");
    let beyond = samples[0].median().as_secs_f64() - samples[1].median().as_secs_f64();
    ways.iter().zip(samples).for_each(|((name, ..), samples)| table.row(name, samples));
    table.note(format!("twowarm takes {beyond:.3} s more than exit 1 only; target: 0.1 s"));
    Ok(vec![table])
}

/// The servers' user may have no access to the directory of the program.
fn install(promotions: &Promotions, program: &Path, name: &str) -> Outcome<String> {
    let place = promotions.standby.home().join(name);
    promotions.standby.run_as().copy_program(program, &place)?;
    Ok(place.display().to_string())
}

impl Promotions {
    fn new() -> Outcome<Promotions> {
        let bed = Testbed::new()?;
        let (primary, standby) = (bed.node("db1")?, bed.node("db2")?);
        let (pristine, archive) = (standby.home().join("pristine"), bed.dir().join("archive"));
        let trigger = standby.home().join("trigger");
        standby.run_as().make_dir(&archive, 0o700)?;
        primary.initdb(&[])?;
        let to = archive.display();
        primary.append_conf(&format!(
            "fsync = off\nwal_level = replica\narchive_mode = on\n\
             archive_command = 'cp %p {to}/%f.tmp && mv {to}/%f.tmp {to}/%f'"
        ))?;
        finish(standby.program("cp").arg("-a").arg(primary.pgdata()).arg(&pristine))?;
        primary.start()?;
        primary.sql("create table t as select n from generate_series(1, 100000) n")?;
        let last = primary.sql("select pg_walfile_name(pg_switch_wal())")?;
        let place = archive.join(&last);
        wait_until("the segment to be archived", LIMIT, || place.exists())?;
        primary.stop(StopMode::Immediate)?;
        Ok(Promotions { standby, pristine, archive, last, trigger, _bed: bed })
    }

    /// Creates a standby, waits until it has replayed everything, promotes it.
    fn run(&self, restore_command: &str) -> Outcome<Duration> {
        let standby = &self.standby;
        let _ = fs::remove_dir_all(standby.pgdata());
        let _ = fs::remove_file(&self.trigger);
        finish(standby.program("cp").arg("-a").arg(&self.pristine).arg(standby.pgdata()))?;
        standby.append_conf(&format!(
            "{}archive_mode = off\nhot_standby = off\nrestore_command = '{restore_command}'",
            standby.own_conf()?
        ))?;
        standby.run_as().write(&standby.pgdata().join("recovery.signal"), "")?;
        let replayed = format!("restored log file \"{}\"", self.last);
        let times = |log: &str| log.matches(&replayed).count();
        let before = times(&standby.log());
        standby.start_warm()?;
        wait_until("the standby to replay", LIMIT, || times(&standby.log()) > before)?;
        // It then requests the next segment, which no log line reports.
        std::thread::sleep(Duration::from_millis(500));
        standby.run_as().write(&self.trigger.with_extension("new"), "smart\n")?;
        let start = Instant::now();
        fs::rename(self.trigger.with_extension("new"), &self.trigger)?;
        wait_until("the server to take writes", LIMIT, || {
            standby.sql("create table written (n int)").is_ok()
        })
        .map_err(|e| format!("{e}\n{}", standby.log()))?;
        let took = start.elapsed();
        standby.stop(StopMode::Immediate)?;
        Ok(took)
    }
}
