//! Whether a server lets new sessions in. While a primary is flushed, and until it is a standby or the flush is undone, its
//! pg_hba.conf begins with lines that reject all, superusers too. A setting in the catalogs would be replicated, and the
//! promoted standby would refuse sessions.
//!
//! `all` does not match the connections of streaming standbys, which must get the last WAL too.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;
#[cfg(feature = "ship")]
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::data_directory::running_server;
#[cfg(feature = "ship")]
use crate::data_directory::{server_configuration, server_settings};
use crate::durable::{self, Aside};
use crate::file_error::{FileError, if_exists};

const BEGIN: &str = "# flushPrimary: begin. No session is let in until this server is a standby, or flushPrimary --undo is run.\n";
#[cfg(feature = "ship")]
const REJECT: &str =
    "local all all reject\nhost all all 0.0.0.0/0 reject\nhost all all ::/0 reject\n";
const END: &str = "# flushPrimary: end\n";

/// The file in `local/replication` that names the changed pg_hba.conf.
const STATE: &str = "flushing";

/// Whether sessions are kept out, as far as this node knows.
#[cfg(feature = "ship")]
pub(crate) fn are_kept_out(local_replication: &Path) -> bool {
    local_replication.join(STATE).exists()
}

/// Makes this pg_hba.conf reject all sessions. A running server reads it at once.
#[cfg(feature = "ship")]
pub(crate) fn keep_sessions_out(
    file: &Path,
    data_directory: &Path,
    local_replication: &Path,
) -> Result<(), FileError> {
    let file = file.canonicalize().map_err(FileError::of("find", file))?;
    let text = fs::read(&file).map_err(FileError::of("read", &file))?;
    let state = format!("version=1\nhba_file={}\n", file.display());
    durable::write(&local_replication.join(STATE), state.as_bytes())?;
    let rejecting = [BEGIN.as_bytes(), REJECT.as_bytes(), END.as_bytes(), &without_block(&text)];
    replace(&file, &rejecting.concat())?;
    reload(data_directory)
}

/// The same for a server that is stopped, in case that it is started again.
#[cfg(feature = "ship")]
pub(crate) fn keep_sessions_out_of_stopped(
    data_directory: &Path,
    local_replication: &Path,
) -> Result<(), FileError> {
    let state = local_replication.join(STATE);
    let text = if_exists(fs::read_to_string(&state)).map_err(FileError::of("read", &state))?;
    let known = text.as_deref().and_then(hba_file_in).map(PathBuf::from);
    let file = known.unwrap_or_else(|| configured(data_directory));
    keep_sessions_out(&file, data_directory, local_replication)
}

/// The pg_hba.conf of a server that can't be asked.
#[cfg(feature = "ship")]
fn configured(data_directory: &Path) -> PathBuf {
    let mut file = None;
    if let Some(configuration) = server_configuration(data_directory) {
        server_settings(&configuration, data_directory, &mut |name, value| {
            if name.eq_ignore_ascii_case("hba_file") {
                file = Some(data_directory.join(value));
            }
        });
    }
    file.unwrap_or_else(|| data_directory.join("pg_hba.conf"))
}

fn hba_file_in(state: &str) -> Option<&str> {
    state.lines().find_map(|line| line.strip_prefix("hba_file="))
}

/// Lets sessions in again after a flush, also one that was interrupted. Nothing is changed if they were not kept out.
///
/// # Errors
/// If pg_hba.conf or the file that names it can't be read or written.
pub fn let_sessions_in(data_directory: &Path, local_replication: &Path) -> Result<(), FileError> {
    let state = local_replication.join(STATE);
    let text = if_exists(fs::read_to_string(&state)).map_err(FileError::of("read", &state))?;
    let Some(text) = text else { return Ok(()) };
    // An incomplete file was written before pg_hba.conf was changed.
    if let Some(file) = hba_file_in(&text) {
        let file = Path::new(file);
        let text = fs::read(file).map_err(FileError::of("read", file))?;
        let original = without_block(&text);
        if original != text {
            replace(file, &original)?;
        }
        reload(data_directory)?;
    }
    durable::remove(&state)
}

/// The text without the lines of a flush; all other lines are kept, also ones that were added meanwhile.
fn without_block(text: &[u8]) -> Vec<u8> {
    let is = |line: &[u8], mark: &str| line == mark.as_bytes();
    let mut inside = false;
    let mut kept = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if is(line, BEGIN) {
            inside = true;
        } else if inside && is(line, END) {
            inside = false;
        } else if !inside {
            kept.extend(line);
        }
    }
    kept
}

/// Replaces the file atomically by one of the same owner and mode.
fn replace(file: &Path, text: &[u8]) -> Result<(), FileError> {
    let before = fs::metadata(file).map_err(FileError::of("read", file))?;
    let directory = file.parent().unwrap_or(Path::new("/"));
    let mut aside = Aside::create_in(directory, ".pg_hba.conf")?;
    let mut write = || {
        aside.file().write_all(text)?;
        aside.file().set_permissions(before.permissions())?;
        let now = aside.file().metadata()?;
        if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
            fchown(aside.file(), Some(before.uid()), Some(before.gid()))?;
        }
        Ok(())
    };
    write().map_err(FileError::of::<std::io::Error>("write", file))?;
    aside.replace(file)
}

/// Makes a running server read pg_hba.conf again, as pg_ctl reload does.
fn reload(data_directory: &Path) -> Result<(), FileError> {
    let Some(server) = running_server(data_directory)? else { return Ok(()) };
    let file = data_directory.join("postmaster.pid");
    kill(Pid::from_raw(server.pid), Signal::SIGHUP).map_err(FileError::of("signal", &file))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_lines_of_the_flush_are_removed() {
        let own = "# mine\nlocal all all trust\nhost all all ::/0 reject";
        let block = [BEGIN, REJECT, END].concat();
        assert_eq!(without_block(own.as_bytes()), own.as_bytes());
        let closed = format!("{block}{own}");
        assert_eq!(without_block(closed.as_bytes()), own.as_bytes());
        let twice = format!("{block}local a a md5\n{closed}");
        assert_eq!(without_block(twice.as_bytes()), format!("local a a md5\n{own}").as_bytes());
        assert_eq!(without_block(b"\xff\n"), b"\xff\n");
    }

    #[test]
    fn the_file_keeps_its_mode_and_is_found_after_an_interruption() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pg_hba.conf");
        fs::write(&file, [BEGIN, REJECT, END, "local all all trust\n"].concat()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let open = || let_sessions_in(dir.path(), dir.path());
        open().unwrap();
        assert!(fs::read_to_string(&file).unwrap().starts_with(BEGIN), "no flush is known");
        let state = dir.path().join(STATE);
        fs::write(&state, "version=1\n").unwrap();
        open().unwrap();
        assert!(!state.exists());
        fs::write(&state, format!("version=1\nhba_file={}\n", file.display())).unwrap();
        open().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "local all all trust\n");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(!state.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
