//! The command restoreWALFile.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::restore_wal_file::COMMAND.main()
}
