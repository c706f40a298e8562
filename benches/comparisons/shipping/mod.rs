//! Archiving to another node: twowarm, rsync as 2warm ran it, and pgBackRest. archive_command is called once for each
//! segment, as PostgreSQL's archiver does.

mod archiver;
mod lab;
mod line;
mod memory;
mod report;
mod shutdown;
mod ways;

use twowarm_benches::Table;

use self::archiver::archive;
use self::lab::Lab;
use self::memory::{MemoryWatch, Peaks};
use self::report::{Measured, Row};
use self::ways::{Target, Way, other, pgbackrest, rsync, twowarm, twowarm_local};
use crate::Outcome;
use crate::programs::Programs;

pub use line::long_line;
pub use shutdown::shutdown;

/// Segments in a backlog.
const BACKLOG: usize = 64;
/// Megabytes in a segment, unless said otherwise.
const USUAL: u64 = 16;

/// Prints tables of its own kind.
type Printed = Outcome<Vec<Table>>;

pub fn one_segment(programs: &Programs) -> Printed {
    let lab = Lab::new(&programs.commands, USUAL, 1)?;
    let to = lab.destination();
    // -O because the testbed's sshd has no sftp. Of ssh's options, scp spells only the port's differently.
    let ssh = lab.ssh()?[1..].join(" ").replacen("-p ", "-P ", 1);
    let scp = format!("scp -q -O {ssh} %p {to}:{}/%f", lab.db2.archive().display());
    let ways = [
        twowarm("twowarm, fsynced", ""),
        twowarm("twowarm, carrier openssh", "carrier = \"openssh\""),
        rsync(&lab, "rsync -cz, as 2warm", "-cz")?,
        rsync(&lab, "rsync -c --fsync", "-c --fsync")?,
        other("scp", "scp", scp),
        pgbackrest(&lab, "pgBackRest", false, true)?,
        pgbackrest(&lab, "pgBackRest async", true, true)?,
    ];
    let rows = compare(&lab, &ways, &lab.loaded, 20)?;
    let title = "S1. One 16 MB segment to another node by ssh, over loopback";
    report::print(title, &rows, 1, lab.segment, &["target: 0.4 of rsync -cz, below pgBackRest"]);
    Ok(Vec::new())
}

pub fn backlog(programs: &Programs) -> Printed {
    let lab = Lab::new(&programs.commands, USUAL, BACKLOG)?;
    let far = [
        twowarm("twowarm, fsynced", ""),
        twowarm("twowarm, carrier openssh", "carrier = \"openssh\""),
        rsync(&lab, "rsync -cz, as 2warm", "-cz")?,
        pgbackrest(&lab, "pgBackRest", false, true)?,
        pgbackrest(&lab, "pgBackRest async", true, true)?,
    ];
    let rows = compare(&lab, &far, &lab.loaded, 3)?;
    let notes = ["target: 0.125 of rsync -cz, 0.67 of pgBackRest async; at most 32 MB at each end"];
    report::print("S2. A backlog of 64 segments by ssh", &rows, BACKLOG, lab.segment, &notes);
    let local = [
        twowarm_local(&lab, "twowarm, carrier local"),
        pgbackrest(&lab, "pgBackRest", false, false)?,
        pgbackrest(&lab, "pgBackRest async", true, false)?,
        other("cp", "cp, not fsynced", format!("cp %p {}/%f", lab.db2.archive().display())),
    ];
    let rows = compare(&lab, &local, &lab.loaded, 5)?;
    let notes = ["target: 15 ms a segment"];
    let title = "S2. A backlog of 64 segments to a local directory";
    report::print(title, &rows, BACKLOG, lab.segment, &notes);
    Ok(Vec::new())
}

pub fn empty(programs: &Programs) -> Printed {
    let lab = Lab::new(&programs.commands, USUAL, 1)?;
    let names = lab.make_empty(BACKLOG)?;
    let ways = [
        twowarm("twowarm, fsynced", ""),
        rsync(&lab, "rsync -cz, as 2warm", "-cz")?,
        pgbackrest(&lab, "pgBackRest async", true, true)?,
    ];
    let rows = compare(&lab, &ways, &names, 3)?;
    let title = "S3. A backlog of 64 mostly empty segments by ssh";
    let notes = ["target: 0.2 of pgBackRest async"];
    report::print(title, &rows, BACKLOG, lab.segment, &notes);
    Ok(Vec::new())
}

pub fn large_segments(programs: &Programs) -> Printed {
    let lab = Lab::new(&programs.commands, 64, 8)?;
    let ways = [
        twowarm("twowarm", ""),
        twowarm_local(&lab, "twowarm, carrier local"),
        rsync(&lab, "rsync -cz, as 2warm", "-cz")?,
        pgbackrest(&lab, "pgBackRest async", true, true)?,
    ];
    let rows = compare(&lab, &ways, &lab.loaded, 1)?;
    let notes = ["target: at most 32 MB at each end, as for S2"];
    report::print("S5. A backlog of 8 segments of 64 MB", &rows, 8, lab.segment, &notes);
    Ok(Vec::new())
}

/// Runs the ways in rotating order. The first round is not counted: its results are checked and memory is watched.
fn compare(lab: &Lab, ways: &[Way], names: &[String], rounds: usize) -> Outcome<Vec<Row>> {
    let mut rows: Vec<Row> = ways.iter().map(|way| try_out(lab, way, names)).collect();
    for round in 0..rounds {
        for turn in 0..ways.len() {
            let at = (round + turn) % ways.len();
            if let Measured::Runs { costs, .. } = &mut rows[at].outcome {
                ways[at].prepare(lab, names)?;
                costs.push(archive(lab, &ways[at].command, names)?);
                ways[at].check(lab, names, false)?;
            }
        }
    }
    Ok(rows)
}

fn try_out(lab: &Lab, way: &Way, names: &[String]) -> Row {
    let run = || -> Outcome<Peaks> {
        way.prepare(lab, names)?;
        let watch = MemoryWatch::start(lab.bed.dir());
        let archived = archive(lab, &way.command, names);
        let peaks = watch.stop();
        archived?;
        way.check(lab, names, true)?;
        Ok(peaks)
    };
    let outcome = match (&way.target, run()) {
        (Target::Absent, _) => Measured::Absent,
        (_, Ok(peaks)) => Measured::Runs { costs: Vec::new(), peaks },
        (_, Err(error)) => Measured::Failed(error.to_string()),
    };
    Row { name: way.name.to_owned(), outcome }
}
