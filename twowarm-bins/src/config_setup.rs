//! configSetup: prints what the other commands take for this node's facts.

use std::process::ExitCode;

use twowarm_core::install::Caller;

use crate::command::{Command, fails, print};
use crate::exit_codes::DONE;

/// configSetup's main.
pub fn main() -> ExitCode {
    Command {
        name: "configSetup",
        arguments: "[debug]",
        about: "Prints PGROOT, PGDATA, GLOBAL, LOCAL, ARCHIVE, OTHERNODE and DRNODE as every command here sees them.",
        caller: Caller::Person,
        misconfigured: fails,
        run: |install, _| {
            print(&install.describe());
            Ok(DONE)
        },
    }
    .main()
}
