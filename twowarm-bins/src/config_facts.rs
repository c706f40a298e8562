//! configFacts: says what the other commands take for this node's facts. The text file configSetup asks it,
//! and is what scripts source and people call; so messages carry configSetup's name.
//!
//! Its own name sorts before configSetup's: rsync renames files into place in that order, and a configSetup
//! without it would end every script that sources it.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use twowarm_core::node::{Caller, Install};
use twowarm_core::server::{Role, role_of, running_role};

use crate::command::{Command, Failure, fails, print};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::Manual;

/// configFacts as a command.
pub(crate) const COMMAND: Command = Command {
    manual: Manual {
        name: "configSetup",
        arguments: "[debug]",
        summary: "prints this node's settings, or sets them as variables of a script",
        description: "Prints PGROOT, PGDATA, GLOBAL, LOCAL, ARCHIVE, OTHERNODE and DRNODE as every command here sees them. \
            A script that sources configSetup gets them as variables.",
        options: &[],
        answers: &[(DONE, "Success.")],
        files: &[
            ("PGROOT/2warm/local/environment.sh", "PGDATA and other variables of this node."),
            ("PGROOT/2warm/local/2warm.toml", "Optional settings of this node."),
            ("PGROOT/2warm/local/replication/othernode", "The host name of the other node."),
            (
                "PGROOT/2warm/local/replication/drnode",
                "The host name of the DR node, if there is one.",
            ),
        ],
        see_also: &["configStandby(1)", "distrib2warm(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: fails,
    run,
};

/// configFacts's main.
pub fn main() -> ExitCode {
    COMMAND.main()
}

/// The options are between configSetup and this program.
fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    match arguments.first().map(|argument| argument.to_string_lossy()).as_deref() {
        None => print(&install.describe()),
        Some("--shell") => {
            // A script must not take half of it for all.
            let mut out = std::io::stdout();
            out.write_all(&install.shell_assignments())?;
            out.write_all(b"twowarm_facts=complete\n")?;
            out.flush()?;
        }
        Some("--role") => print(&format!("{}\n", word(role_of(install.require_pgdata()?)?))),
        Some("--running") => {
            let running = running_role(install, &install.login())?;
            print(&format!("{}\n", running.map_or("none", word)));
        }
        Some(other) => return Err(Failure::Usage(format!("invalid argument: {other}"))),
    }
    Ok(DONE)
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Standby => "standby",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_in_place_before_the_file_that_asks_it() {
        let names = twowarm_core::testbed::COMMANDS;
        let place = |name| names.iter().position(|n| *n == name).unwrap();
        assert!(names.is_sorted() && place("configFacts") < place("configSetup"));
    }
}
