//! What the kernel tells of a process: whether it is alive, when it started and where it runs.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// The start time, in clock ticks, of the living process with this id: `Some(None)` if the kernel does not
/// tell, `None` if the process does not exist, or is dead and not yet reaped.
pub(crate) fn process_ticks(pid: i32) -> Option<Option<u64>> {
    if pid <= 0 || kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH) {
        return None;
    }
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return Some(None) };
    // The name, in parentheses, may contain anything. The state follows it, the start time is 19 fields on.
    let after_name = stat.rfind(')').map_or("", |end| &stat[end + 1..]);
    let mut fields = after_name.split_whitespace();
    match fields.next() {
        Some("Z" | "X") => None,
        _ => Some(fields.nth(18).and_then(|ticks| ticks.parse().ok())),
    }
}

/// Whether the working directory of a process is this directory, as it is for every process of a server and
/// its data directory; `None` if that is not visible. A process that does not exist here may be on another
/// machine.
pub(crate) fn works_in(pid: i32, directory: &Path) -> Option<bool> {
    let id = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    match id(Path::new(&format!("/proc/{pid}/cwd"))) {
        Ok(found) => Some(id(directory).is_ok_and(|wanted| wanted == found)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Path::new("/proc/self").exists().then_some(false)
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_working_directory_of_a_process_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let here = std::env::current_dir().unwrap();
        let this = std::process::id() as i32;
        assert_eq!(works_in(this, &here), Some(true));
        assert_eq!(works_in(this, dir.path()), Some(false));
        assert_eq!(works_in(i32::MAX, &here), Some(false), "a process of another machine");
    }
}
