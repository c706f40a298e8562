//! configStandby: prepares this node's data directory for a base copy, as a standby's.

use std::ffi::OsString;
use std::process::ExitCode;

use twowarm_core::node::{Caller, Install};
use twowarm_core::standby::prepare_standby;

use crate::command::{Command, Failure, fails, print};
use crate::exit_codes::DONE;

/// configStandby's main.
pub fn main() -> ExitCode {
    Command {
        name: "configStandby",
        arguments: "",
        about: "Run on the standby before copyToStandby, on an empty data directory or an older standby's: makes \
                the archive, empties pg_wal, removes a trigger and writes the recovery configuration. Refuses \
                a directory that holds a running server or what looks like a primary.",
        caller: Caller::Person,
        misconfigured: fails,
        run,
    }
    .main()
}

fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    if !arguments.is_empty() {
        return Err(Failure::Usage("it takes no arguments".into()));
    }
    prepare_standby(install, &mut |line| print(&format!("{line}\n")))?;
    install.remember_data_directory()?;
    let archive = install.require_archive()?;
    print(&format!(
        "The standby is ready for a base copy (copyToStandby on the primary). Shipped WAL will arrive in {}\n",
        archive.display()
    ));
    if let Some(node) = &install.dr_node {
        print(&format!(
            "Nothing is removed from it while local/replication/drnode names {node}, since no relay says yet what {node} has got: watch its disk, or empty drnode\n"
        ));
    }
    Ok(DONE)
}
