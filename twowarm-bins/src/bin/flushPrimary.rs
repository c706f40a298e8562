//! The command flushPrimary.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::flush_primary::COMMAND.main()
}
