//! A complete run of the process if the segment is present.

use std::path::Path;
use std::process::Command;

use twowarm_benches::Table;

use crate::Outcome;
use crate::interleaved::{Subject, interleave, timed};
use crate::programs::Programs;
use crate::scratch::{Scratch, segment_name, write_segment};

const ROUNDS: usize = 200;

pub fn compare(programs: &Programs) -> Outcome<Vec<Table>> {
    let scratch = Scratch::new()?;
    let name = segment_name(0x1234);
    let segment = scratch.archive().join(&name);
    write_segment(&segment)?;
    let run = |mut command: Command| {
        scratch.taken()?;
        timed(&mut command)
    };
    let mut subjects = Vec::new();
    for (title, program) in programs.both() {
        let (scratch, name) = (&scratch, &name);
        subjects.push(Subject::new(title, move || {
            let mut command = scratch.command(program);
            command.arg(scratch.archive()).arg(name).arg(scratch.target());
            run(command)
        }));
    }
    subjects.push(Subject::new("a program that only copies", || {
        let mut command = scratch.command(&programs.copy_only);
        command.arg(&segment).arg(scratch.target());
        run(command)
    }));
    subjects.push(Subject::new("cp", || {
        let mut command = scratch.command(Path::new("cp"));
        command.arg(&segment).arg(scratch.target());
        run(command)
    }));
    // What the C program runs when it has found the segment.
    subjects.push(Subject::new("sh -c 'cp ...'", || {
        let mut command = scratch.command(Path::new("sh"));
        let (from, to) = (segment.display(), scratch.target());
        command.arg("-c").arg(format!("cp \"{from}\" \"{}\"", to.display()));
        run(command)
    }));
    let mut table = Table::new("1. 16 MB segment present: the whole process");
    interleave(&mut table, ROUNDS, subjects)?;
    table.note("target: 0.65 of the C program, 1.15 of the program that only copies");
    Ok(vec![table])
}
