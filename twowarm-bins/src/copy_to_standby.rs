//! copyToStandby: makes a base copy of the running primary on the other node.

use twowarm_core::base_copy::TargetRole;
use twowarm_core::node::Caller;

use crate::base_copy::{self, ARGUMENTS, OPTIONS};
use crate::command::Command;
use crate::exit_codes::{DONE, ExitPolicy};
use crate::manual::{ENVIRONMENT, Manual, OTHER_NODE, SETTINGS};

/// copyToStandby as a command.
pub const COMMAND: Command = Command {
    manual: Manual {
        name: "copyToStandby",
        arguments: ARGUMENTS,
        summary: "makes a base copy of the running primary on the other node",
        description: "Makes a base copy of the running primary on the other node. Run it on the primary, after \
                configStandby on the other node. It checks that WAL can be shipped there, turns shipping on, and \
                copies the cluster over the data directory there. Files there that are not part of the cluster \
                and would be deleted or overwritten are listed first, and you are asked; --yes answers yes.",
        options: &OPTIONS,
        answers: &[(DONE, "Success.")],
        files: &[
            ENVIRONMENT,
            SETTINGS,
            OTHER_NODE,
            ("PGROOT/2warm/local/replication/archiving_active", "Created to turn shipping on."),
        ],
        see_also: &["configStandby(1)", "copyToDR(1)", "receiveBaseCopy(1)", "archiveWALFile(1)"],
    },
    caller: Caller::Person,
    failures: ExitPolicy::Scripts,
    misconfigured: None,
    run: |install, arguments| base_copy::run(install, arguments, TargetRole::Standby),
};
