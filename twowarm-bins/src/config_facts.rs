//! configFacts: prints the settings of this node as all commands see them. It is called by the text file
//! configSetup, which scripts source and users run, so its messages have configSetup's name.
//!
//! Its name sorts before configSetup's because rsync renames files into place in that order, and a script that
//! sources configSetup without it would end.

use std::ffi::OsString;
use std::io::Write;

use twowarm_core::data_directory::{Role, role_of};
use twowarm_core::node::{Caller, Install};
use twowarm_core::server::running_role;

use crate::command::{Command, Failure, print};
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::{DR_NODE, ENVIRONMENT, Manual, OTHER_NODE, SETTINGS};

/// configFacts as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "configSetup",
        arguments: "[debug]",
        summary: "prints the settings of this node, or sets them as variables of a script",
        description: "Prints PGROOT, PGDATA, GLOBAL, LOCAL, ARCHIVE, OTHERNODE and DRNODE as all commands of this \
            installation see them. In a script that sources configSetup they are variables.",
        options: &[],
        answers: &[(DONE, "Success.")],
        files: &[ENVIRONMENT, SETTINGS, OTHER_NODE, DR_NODE],
        see_also: &["configStandby(1)", "distrib2warm(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run,
};

/// The options are for configSetup only.
fn run(install: &Install, arguments: &[OsString]) -> Result<u8, Failure> {
    match arguments.first().map(|argument| argument.to_string_lossy()).as_deref() {
        None => print(&install.describe()),
        Some("--shell") => {
            // The script recognizes an incomplete answer by the missing last line.
            let mut out = std::io::stdout();
            out.write_all(&install.shell_assignments())?;
            out.write_all(b"twowarm_facts=complete\n")?;
            out.flush()?;
        }
        Some("--role") => print(&format!("{}\n", word(role_of(install.require_pgdata()?)?))),
        Some("--running") => {
            let running = running_role(install.pgdata.as_deref(), &install.login())?;
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
    fn it_sorts_before_the_script_that_calls_it() {
        let names = twowarm_core::testbed::COMMANDS;
        let place = |name| names.iter().position(|n| *n == name).unwrap();
        assert!(names.is_sorted() && place("configFacts") < place("configSetup"));
    }
}
