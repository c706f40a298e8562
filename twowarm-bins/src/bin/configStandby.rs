//! The command configStandby.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::config_standby::COMMAND.main()
}
