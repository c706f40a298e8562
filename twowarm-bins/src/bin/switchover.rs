//! The command switchover.

fn main() -> std::process::ExitCode {
    twowarm_bins::switchover::COMMAND.main()
}
