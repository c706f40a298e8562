use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::BedError;

/// Waits for a line. If the pipe closes without one, the test was killed: then it ends the processes in the testbed
/// (servers first by SIGQUIT, so that they release their shared memory) and removes the directory.
/// The path is in the environment and not among the arguments, so that the script does not find itself.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
read -r word && exit 0
each() {
    for process in /proc/[0-9]*; do
        traces="$(readlink "$process/cwd") "
        [ "$2" = all ] && traces="$traces $(readlink "$process/exe") $(cat "$process/cmdline")"
        case "$traces" in *"$BED"[/\ ]*) kill -s "$1" "${process#/proc/}" ;; esac
    done
}
each QUIT workers
sleep 2
each KILL all
rm -rf "$BED"
"#;

/// A process that cleans up the testbed if this process is killed.
#[derive(Debug)]
pub(super) struct Janitor(Child);

impl Janitor {
    pub(super) fn watch(bed: &Path) -> Result<Janitor, BedError> {
        Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .env("BED", bed)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Janitor)
            .map_err(|error| BedError(format!("could not run /bin/sh: {error}")))
    }

    /// Ends the janitor, once the testbed is clean.
    pub(super) fn dismiss(&mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            let _ = pipe.write_all(b"clean\n");
        }
        let _ = self.0.wait();
    }
}
