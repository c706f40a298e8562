//! Whether a server is among the processes that called this one.

use std::fs;

/// Whether the server whose data directory is the working directory called this process, directly or by a
/// script. What can't be read counts as no.
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
    // The name, in parentheses, may hold anything.
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(1)?.parse().ok()
}
