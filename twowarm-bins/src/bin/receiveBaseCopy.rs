//! The command receiveBaseCopy.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::receive_base_copy::COMMAND.main()
}
