//! distrib2warm, as 2warm's scripts name it.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::distrib_2warm::main()
}
