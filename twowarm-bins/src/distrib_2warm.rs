//! distrib2warm: brings the 2warm installation to the other nodes.

use std::convert::Infallible;
use std::ffi::OsString;
use std::process::ExitCode;

use twowarm_core::install::{Caller, Install, NodeName};
use twowarm_core::rsync::{Event, Outcome, Remote, Transfer};

use crate::command::{Command, Failure, fails, print};
use crate::exit_codes::DONE;

/// What stands in `local` is the node's own (and may be a key); the directories must be there.
const RULES: &str = "+ /local/\n+ /local/replication/\n- /local/**\n";

/// Links are followed, since they lead elsewhere on another node; checksums tell what has changed; the
/// other node's own files are left alone.
const OPTIONS: [&str; 3] = ["-rptL", "--checksum", "--info=name1,stats1"];

/// distrib2warm's main.
pub fn main() -> ExitCode {
    Command {
        name: "distrib2warm",
        arguments: "",
        about: "Copies PGROOT/2warm to the other node, and to the disaster-recovery node if there is one. Of \
                2warm/local, which is each node's own, nothing is copied but the directories.",
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
    let other = install.require_other_node().map_err(|e| Failure::Unusable(Box::new(e)))?;
    distribute(install, other)?;
    if let Some(node) = &install.dr_node {
        distribute(install, node)?;
    }
    Ok(DONE)
}

fn distribute(install: &Install, node: &NodeName) -> Result<(), Failure> {
    let remote = Remote::of(install, node);
    let from = install.pgroot.join("2warm");
    let to = remote.pgroot(install).join("2warm");
    print(&format!("Copying {} to {node}:{}\n", from.display(), to.display()));
    let transfer =
        Transfer { remote: &remote, from: &from, to: &to, options: &OPTIONS, rules: RULES };
    let outcome = transfer.run(&mut |event| -> Result<(), Infallible> {
        if let Event::Line(line) = event {
            print(&format!("{line}\n"));
        }
        Ok(())
    })?;
    match outcome {
        Outcome::Complete => Ok(()),
        Outcome::Partial(said) => {
            let text = format!("not all could be copied to {node}: {}", said.join("; "));
            Err(Failure::Failed(text.into()))
        }
    }
}
