//! The command triggerStandby.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::trigger_standby::main()
}
