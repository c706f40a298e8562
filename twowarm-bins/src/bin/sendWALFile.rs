//! The command sendWALFile.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::send_wal_file::COMMAND.main()
}
