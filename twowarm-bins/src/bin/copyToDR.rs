//! The command copyToDR.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::copy_to_dr::COMMAND.main()
}
