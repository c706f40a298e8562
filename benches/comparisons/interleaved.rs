//! Programs take turns, so that other load affects all of them alike.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use twowarm_benches::{Samples, Table};

use crate::Outcome;

/// A program: its name, and a function that runs it once and returns the time it took.
pub struct Subject<'a> {
    name: String,
    run: Box<dyn FnMut() -> Outcome<Duration> + 'a>,
}

impl<'a> Subject<'a> {
    pub fn new(name: &str, run: impl FnMut() -> Outcome<Duration> + 'a) -> Subject<'a> {
        Subject { name: name.to_owned(), run: Box::new(run) }
    }
}

/// Runs each program in each round, in rotating order. The first round is not counted.
pub fn interleave(table: &mut Table, rounds: usize, mut subjects: Vec<Subject>) -> Outcome<()> {
    let mut samples = vec![Samples::default(); subjects.len()];
    for round in 0..=rounds {
        for turn in 0..subjects.len() {
            let at = (round + turn) % subjects.len();
            let took = (subjects[at].run)().map_err(|e| format!("{}: {e}", subjects[at].name))?;
            if round > 0 {
                samples[at].push(took);
            }
        }
    }
    subjects.iter().zip(samples).for_each(|(subject, samples)| table.row(&subject.name, samples));
    Ok(())
}

/// The time from before the start to after the end of a program, which must succeed.
pub fn timed(command: &mut Command) -> Outcome<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let took = start.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{command:?}: {status}").into()) }
}
