//! The command rsyncDR.
#![allow(non_snake_case)]

fn main() -> std::process::ExitCode {
    twowarm_bins::rsync_dr::COMMAND.main()
}
