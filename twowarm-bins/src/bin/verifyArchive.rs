//! The command verifyArchive.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::verify_archive::COMMAND.main()
}
