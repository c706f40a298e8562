//! The question whether files of the other node may be lost.

use std::io::{self, BufRead, IsTerminal};

use twowarm_core::base_copy::CopyLosses;

use crate::command::print;

/// Lists the files and asks, unless `yes` is the answer. Where there is no terminal, the answer is no.
pub(super) fn ask(losses: &CopyLosses, yes: bool) -> bool {
    if !yes && !io::stdin().is_terminal() {
        return false;
    }
    print(&format!(
        "Files in {} that are not part of the cluster will be lost: {}\n",
        losses.target, losses
    ));
    if yes {
        return true;
    }
    print("Type yes to continue: ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}
