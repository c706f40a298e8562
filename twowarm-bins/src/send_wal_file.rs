//! sendWALFile: the far end of fetching, started by sshd.

use std::ffi::OsString;
use std::io::BufReader;

use twowarm_core::node::{Caller, Install};
use twowarm_core::ship::{TimedOutput, refuse_caller};

use crate::command::{Command, Failure};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::far_end::{connection, refuse_rsync};
use crate::manual::{ENVIRONMENT, Manual, SETTINGS};

/// sendWALFile as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "sendWALFile",
        arguments: "",
        summary: "sends WAL files from this node's archive to a standby",
        description: "The far end of restoreWALFile: sends the WAL files that a standby asks for on standard input \
            from this node's archive, and changes no WAL file. If they were relayed to this node for that standby, it \
            records what has been fetched, so that the rest is kept. Started by sshd; it can be the forced command of \
            a key in authorized_keys.",
        options: &[],
        answers: &[(DONE, "Success.")],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            ("ARCHIVE/.owner", "The cluster that the archive belongs to."),
            ("ARCHIVE/.consumers/NAME", "What a standby has not fetched yet."),
        ],
        see_also: &["restoreWALFile(1)", "receiveWALFile(1)", "sshd(8)"],
    },
    caller: Caller::FarNode,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

fn run(install: &Install, _arguments: &[OsString]) -> Result<u8, Failure> {
    refuse_rsync(COMMAND.manual.name)?;
    let limit = install.settings.time_limit;
    let (input, output) = connection(limit)?;
    let (input, output) = (BufReader::new(input), TimedOutput::new(output, limit));
    match install.supplier() {
        Ok(supplier) => supplier.serve(input, output)?,
        Err(e) => return Err(refuse_caller(&e, input, output).into()),
    };
    Ok(DONE)
}
