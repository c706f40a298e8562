//! The command distrib2warm.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::distrib_2warm::COMMAND.main()
}
