//! Whether this process was called by a PostgreSQL server.

use std::fs;

/// Whether the server whose data directory is the working directory is an ancestor of this process. The answer is
/// no if it can't be determined.
pub(crate) fn include_server() -> bool {
    let text = fs::read_to_string("postmaster.pid").unwrap_or_default();
    let Some(postmaster) = text.lines().next().and_then(|line| line.trim().parse().ok()) else {
        return false;
    };
    let mut next = parent("self");
    while let Some(process) = next.filter(|&process| process > 1) {
        if process == postmaster {
            return true;
        }
        next = parent(&process.to_string());
    }
    false
}

fn parent(process: &str) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, can contain any character.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}
