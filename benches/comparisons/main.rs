//! twowarm and the tools that it replaces, in one run. Names on the command line select comparisons:
//! `cargo bench -p twowarm-benches --bench comparisons -- present arrival`.

mod arrival;
mod interleaved;
mod present;
mod programs;
mod promotion;
mod pruning;
mod scratch;
mod shipping;
mod toolkit;
mod waiting;

use std::error::Error;
use std::process::ExitCode;

use programs::Programs;
use twowarm_benches::Table;

/// Errors are only printed.
type Outcome<T> = Result<T, Box<dyn Error>>;

type Comparison = fn(&Programs) -> Outcome<Vec<Table>>;

const COMPARISONS: [(&str, Comparison); 15] = [
    ("present", present::compare),
    ("arrival", arrival::compare),
    ("pruning", pruning::compare),
    ("promotion", promotion::compare),
    ("waiting", waiting::compare),
    ("segment", shipping::one_segment),
    ("backlog", shipping::backlog),
    ("empty", shipping::empty),
    ("memory", shipping::large_segments),
    ("line", shipping::long_line),
    ("shutdown", shipping::shutdown),
    ("standstill", toolkit::standstill),
    ("failover", toolkit::failover),
    ("rejoin", toolkit::rejoin),
    ("relay", toolkit::relay),
];

fn main() -> ExitCode {
    // Cargo adds --bench.
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    match run(&asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn run(asked: &[String]) -> Outcome<()> {
    let known = |name: &String| COMPARISONS.iter().any(|(known, _)| known == name);
    if let Some(unknown) = asked.iter().find(|name| !known(name)) {
        let names = COMPARISONS.map(|(name, _)| name).join(", ");
        return Err(format!("unknown comparison \"{unknown}\": must be one of {names}").into());
    }
    let programs = Programs::build()?;
    match &programs.original {
        Some(path) => println!("C program: {}\n", path.display()),
        None => {
            println!("no C pg_standby: there is none in PATH, and PG_STANDBY_ORIGINAL is not set\n")
        }
    }
    for (name, compare) in COMPARISONS {
        if asked.is_empty() || asked.iter().any(|asked| asked == name) {
            compare(&programs)?.iter().for_each(|table| println!("{table}"));
        }
    }
    Ok(())
}
