//! triggerStandby, as 2warm's scripts name it.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::trigger_standby::main()
}
