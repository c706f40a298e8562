//! The command archiveWALFile.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::archive_wal_file::COMMAND.main()
}
