//! copyToDR: makes a base copy of the running server on the DR node.

use twowarm_core::base_copy::TargetRole;
use twowarm_core::node::Caller;

use crate::base_copy::{self, ARGUMENTS, OPTIONS};
use crate::command::Command;
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::{DR_NODE, ENVIRONMENT, Manual, SETTINGS};

/// copyToDR as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "copyToDR",
        arguments: ARGUMENTS,
        summary: "makes a base copy of this node's running server on the DR node",
        description: "Makes a base copy of this node's running server on the DR node, which becomes a standby with its \
                own archive. Run it after configStandby on the DR node: on the standby, from PostgreSQL 9.6 on, \
                so that the primary is not burdened, or on the primary. It ships the WAL that the copy requires to the \
                DR node's archive; rsyncDR ships what follows. Files there that are not part of the cluster and would \
                be deleted or overwritten are listed first, and you are asked; --yes answers yes.",
        options: &OPTIONS,
        answers: &[(DONE, "Success.")],
        files: &[ENVIRONMENT, SETTINGS, DR_NODE],
        see_also: &["configStandby(1)", "copyToStandby(1)", "receiveBaseCopy(1)", "rsyncDR(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run: |install, arguments| base_copy::run(install, arguments, TargetRole::DrNode),
};
