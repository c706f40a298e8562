use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::BedError;

/// Waits for a word; if its pipe closes without one, we were killed, and it ends what works in the
/// bed (servers by SIGQUIT first, so that they give back their shared memory) and removes it.
/// The bed's path is in the environment and not among the arguments, else it would find itself.
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

/// A process that outlives us when we are killed, and then cleans up the bed in our place.
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

    /// The bed is clean: the janitor goes home.
    pub(super) fn dismiss(&mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            let _ = pipe.write_all(b"clean\n");
        }
        let _ = self.0.wait();
    }
}
