//! The command configFacts.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::config_facts::COMMAND.main()
}
