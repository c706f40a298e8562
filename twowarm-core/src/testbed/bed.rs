use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::janitor::Janitor;
use super::processes::{self, Process};
use super::run_as::set_mode;
use super::{BedError, Node, PgInstall, RunAs, wait_until};

/// A temporary directory with nodes in it.
///
/// When the testbed and its nodes are dropped, its processes are ended and the directory is removed. If this process
/// is killed, a small helper process does that.
#[derive(Clone, Debug)]
pub struct Testbed(Arc<Bed>);

#[derive(Debug)]
struct Bed {
    dir: Option<TempDir>,
    path: PathBuf,
    run_as: RunAs,
    install: PgInstall,
    nodes: AtomicU16,
    has_cluster: AtomicBool,
    janitor: Janitor,
}

impl Testbed {
    /// A testbed that uses the server binaries found by [`PgInstall::find`].
    pub fn new() -> Result<Testbed, BedError> {
        let install = PgInstall::find()?;
        let run_as = RunAs::detect()?;
        let dir = make_dir(&run_as)?;
        let path = dir.path().to_owned();
        let janitor = Janitor::watch(&path)?;
        let (nodes, has_cluster) = (AtomicU16::new(0), AtomicBool::new(false));
        let dir = Some(dir);
        let bed = Bed { dir, path, run_as, install, nodes, has_cluster, janitor };
        Ok(Testbed(Arc::new(bed)))
    }

    /// The directory with all files of the testbed.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.path
    }

    /// The operating system user that the servers run as.
    #[must_use]
    pub fn run_as(&self) -> &RunAs {
        &self.0.run_as
    }

    /// The server binaries in use.
    #[must_use]
    pub fn install(&self) -> &PgInstall {
        &self.0.install
    }

    /// Creates a node: its directories, keys and configuration, without data directory, server and sshd.
    pub fn node(&self, name: &str) -> Result<Node, BedError> {
        Node::new(self.clone(), name, self.0.nodes.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether no cluster has been created yet; from now on there is one.
    pub(super) fn is_first_cluster(&self) -> bool {
        !self.0.has_cluster.swap(true, Ordering::Relaxed)
    }

    /// Creates two nodes, `db1` and `db2`, with running sshds, each able to reach the other.
    pub fn pair(&self) -> Result<(Node, Node), BedError> {
        let (mut db1, mut db2) = (self.node("db1")?, self.node("db2")?);
        db1.start_sshd()?;
        db2.start_sshd()?;
        db1.reach(&db2)?;
        db2.reach(&db1)?;
        Ok((db1, db2))
    }

    /// All processes of the testbed.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        processes::of_directory(self.dir())
    }
}

/// The servers' user may be unable to enter TMPDIR. Any user can enter /tmp.
pub(super) fn make_dir(run_as: &RunAs) -> Result<TempDir, BedError> {
    let wanted = [env::temp_dir(), PathBuf::from("/tmp")];
    for parent in &wanted {
        let made = tempfile::Builder::new().prefix("twowarm-").tempdir_in(parent);
        let dir = made.map_err(BedError::io("make a directory in", parent))?;
        set_mode(dir.path(), 0o755)?;
        if run_as.can_enter(dir.path()) {
            return Ok(dir);
        }
    }
    let (user, tried) = (run_as.user(), wanted[0].display());
    Err(BedError(format!("user {user} can enter neither {tried} nor /tmp: set TMPDIR")))
}

impl Drop for Bed {
    fn drop(&mut self) {
        // The nodes have stopped their servers and sshds. Other processes may remain.
        let running = || processes::of_directory(&self.path);
        running().iter().for_each(|process| process.signal(Signal::SIGKILL));
        let gone = wait_until("the testbed's processes to end", Duration::from_secs(10), || {
            running().is_empty()
        });
        let removed = self.dir.take().map_or(Ok(()), TempDir::close);
        match (gone, removed) {
            // The janitor tries both again when its pipe closes without a line.
            (Err(_), _) | (_, Err(_)) => {}
            _ => self.janitor.dismiss(),
        }
    }
}
