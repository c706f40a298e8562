//! configStandby: prepares this node's data directory for a base copy, as a standby's.

use std::ffi::OsString;
use std::process::ExitCode;

use twowarm_core::node::{Caller, Install};
use twowarm_core::server::prepare_standby;

use crate::command::{Command, Failure, fails, print};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::Manual;

/// configStandby as a command.
pub(crate) const COMMAND: Command = Command {
    manual: Manual {
        name: "configStandby",
        arguments: "",
        summary: "prepares the data directory of a standby",
        description: "Run on the standby before copyToStandby, on an empty data directory or an older standby's: makes \
            the archive, empties pg_wal, removes a trigger and writes the recovery configuration. Refuses \
            a directory that holds a running server or what looks like a primary.",
        options: &[],
        answers: &[(DONE, "Success.")],
        files: &[
            ("PGROOT/2warm/local/environment.sh", "PGDATA and other variables of this node."),
            ("PGROOT/2warm/local/2warm.toml", "Optional settings of this node."),
            ("PGROOT/2warm/global/recovery.conf", "Optional recovery settings of all nodes."),
            ("PGROOT/2warm/local/postgresql.conf", "Optional postgresql.conf of this node."),
        ],
        see_also: &["copyToStandby(1)", "restoreWALFile(1)", "triggerStandby(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: fails,
    run,
};

/// configStandby's main.
pub fn main() -> ExitCode {
    COMMAND.main()
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
