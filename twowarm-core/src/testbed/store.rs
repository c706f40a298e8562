//! What the testbeds of a process share, so that it is made once: copies of the commands, and a new cluster.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bed::make_dir;
use super::janitor::Janitor;
use super::{BedError, Node, RunAs, finish};

static STORE: Mutex<Option<Store>> = Mutex::new(None);

/// A directory in the file system of the testbeds. It is removed when the process ends, by its janitor.
struct Store {
    directory: PathBuf,
    /// New clusters without settings, as archives of tar, by initdb's arguments.
    clusters: Vec<(String, File)>,
    _janitor: Janitor,
}

fn store(run_as: &RunAs) -> Result<MutexGuard<'static, Option<Store>>, BedError> {
    let mut store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
    if store.is_none() {
        let directory = make_dir(run_as)?.keep();
        let _janitor = Janitor::watch(&directory)?;
        *store = Some(Store { directory, clusters: Vec::new(), _janitor });
    }
    Ok(store)
}

/// Makes `to` a hard link to the shared copy of a command. A command has 30 MB, and a node has fifteen of them.
pub(super) fn link_command(run_as: &RunAs, from: &Path, to: &Path) -> Result<(), BedError> {
    let store = store(run_as)?;
    let directory = &store.as_ref().expect("it was created").directory;
    let shared = directory.join(from.to_string_lossy().replace('/', "%"));
    if !shared.exists() {
        run_as.copy_program(from, &shared)?;
    }
    if to.exists() {
        fs::remove_file(to).map_err(BedError::io("remove", to))?;
    }
    fs::hard_link(&shared, to).map_err(BedError::io("link", to))
}

/// Makes a new cluster by initdb, or by copying the one that initdb made with the same arguments in this process. Both
/// have the same system identifier.
pub(super) fn new_cluster(
    node: &Node,
    arguments: &str,
    initdb: impl FnOnce() -> Result<(), BedError>,
) -> Result<(), BedError> {
    let mut store = store(node.run_as())?;
    let clusters = &mut store.as_mut().expect("it was created").clusters;
    let pgdata = node.pgdata();
    let mut tar = node.program("tar");
    tar.arg("-C").arg(&pgdata);
    match clusters.iter().find(|(known, _)| known == arguments) {
        Some((_, archive)) => {
            // Opened again, so that it is read from its start.
            let path = PathBuf::from(format!("/proc/self/fd/{}", archive.as_raw_fd()));
            let archive = File::open(&path).map_err(BedError::io("open", &path))?;
            if !pgdata.exists() {
                node.run_as().make_dir(&pgdata, 0o700)?;
            }
            finish(tar.args(["-x", "-p", "-f", "-"]).stdin(archive))?;
        }
        None => {
            initdb()?;
            let failed = |error| BedError(format!("could not make a temporary file: {error}"));
            let archive = tempfile::tempfile().map_err(failed)?;
            let written = archive.try_clone().map_err(failed)?;
            let made = tar.args(["-c", "-f", "-", "."]).stdout(written).status();
            if !made.map_err(failed)?.success() {
                return Err(BedError("tar failed".into()));
            }
            clusters.push((arguments.to_owned(), archive));
        }
    }
    Ok(())
}
