//! The command receiveWALFile.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::receive_wal_file::COMMAND.main()
}
