//! Calls that have nothing to remove, in a small and a very large archive.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use twowarm_benches::{Samples, Table};

use crate::Outcome;
use crate::interleaved::timed;
use crate::programs::Programs;
use crate::scratch::{Scratch, segment_name, write_segment};

const SMALL: u32 = 100;
const LARGE: u32 = 1_000_000;
/// The first segment of both archives, which is also the restart point.
const FIRST: u32 = 0x1000;
/// Calls for consecutive segments: enough that the occasional listing occurs as often as in use.
const CALLS: u32 = 8192;
const CALLS_THAT_COPY: u32 = 512;
const CALLS_OF_ORIGINAL: u32 = 10;
/// Consecutive calls on one archive before the other's turn.
const TURN: u32 = 64;

struct Filled {
    archive: PathBuf,
    /// The number of files that are segments; the others are empty.
    real: u32,
}

pub fn compare(programs: &Programs) -> Outcome<Vec<Table>> {
    let scratch = Scratch::new()?;
    let small = fill(&scratch, "small", SMALL, SMALL)?;
    let large = fill(&scratch, "large", LARGE, CALLS)?;
    let ours = &programs.pg_standby;
    let mut tables = vec![
        table(
            "3. Nothing to prune, linking (8.3's -l)",
            &scratch,
            CALLS,
            [&small, &large],
            |a, n| {
                let mut command = call(&scratch, ours, a, n);
                command.args(["--dialect", "8.3", "-l"]);
                command
            },
        )?,
        table(
            "3. Nothing to prune, copying",
            &scratch,
            CALLS_THAT_COPY,
            [&small, &large],
            |a, n| call(&scratch, ours, a, n),
        )?,
    ];
    if let Some(original) = &programs.original {
        let calls = CALLS_OF_ORIGINAL;
        let title = "3. Nothing to prune, the C program, copying";
        tables.push(table(title, &scratch, calls, [&small, &large], |a, n| {
            call(&scratch, original, a, n)
        })?);
    }
    Ok(tables)
}

fn call(scratch: &Scratch, program: &Path, archive: &Filled, number: u32) -> Command {
    let mut command = scratch.command(program);
    command.arg(&archive.archive).arg(segment_name(FIRST + number % archive.real));
    command.arg(scratch.target()).arg(segment_name(FIRST));
    command
}

fn table(
    title: &str,
    scratch: &Scratch,
    calls: u32,
    [small, large]: [&Filled; 2],
    command: impl Fn(&Filled, u32) -> Command,
) -> Outcome<Table> {
    let mut samples = [Samples::default(), Samples::default()];
    for turn in (0..calls).step_by(TURN as usize) {
        for (archive, samples) in [small, large].into_iter().zip(&mut samples) {
            for number in turn..calls.min(turn + TURN) {
                scratch.taken()?;
                samples.push(timed(&mut command(archive, number))?);
            }
        }
    }
    let per_second = samples.each_ref().map(|s| s.count() as f64 / s.total().as_secs_f64());
    let mut table = Table::new(title);
    let [of_small, of_large] = samples;
    table.row("1,000,000 files", of_large);
    table.row("100 files", of_small);
    let [few, many] = per_second;
    table.note(format!(
        "{many:.0} calls a second with 1,000,000 files, {few:.0} with 100: {:.3}; target: 0.9",
        many / few
    ));
    Ok(table)
}

fn fill(scratch: &Scratch, directory: &str, files: u32, real: u32) -> Outcome<Filled> {
    let archive = scratch.path().join(directory);
    fs::create_dir(&archive)?;
    let first = archive.join(segment_name(FIRST));
    write_segment(&first)?;
    let start = Instant::now();
    for number in 1..files {
        let path = archive.join(segment_name(FIRST + number));
        if number < real {
            fs::hard_link(&first, path)?;
        } else {
            File::create(path)?;
        }
    }
    if start.elapsed() > Duration::from_secs(5) {
        eprintln!("({files} files took {:?} to make)", start.elapsed());
    }
    Ok(Filled { archive, real })
}
