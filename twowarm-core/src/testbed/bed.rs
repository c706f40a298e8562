use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::janitor::Janitor;
use super::processes::{self, Process};
use super::run_as::set_mode;
use super::{BedError, Node, PgInstall, RunAs, wait_until};

/// A temporary directory with nodes in it. It is removed, and whatever still runs in it is ended,
/// when the testbed and its nodes are dropped; also, by a small process that stays behind, when we
/// are killed.
#[derive(Clone, Debug)]
pub struct Testbed(Arc<Bed>);

#[derive(Debug)]
struct Bed {
    dir: Option<TempDir>,
    path: PathBuf,
    run_as: RunAs,
    install: PgInstall,
    nodes: AtomicU16,
    janitor: Janitor,
}

impl Testbed {
    /// A testbed for the servers that [`PgInstall::find`] finds.
    pub fn new() -> Result<Testbed, BedError> {
        Testbed::with_install(PgInstall::find()?)
    }

    /// A testbed for these server binaries.
    pub fn with_install(install: PgInstall) -> Result<Testbed, BedError> {
        let run_as = RunAs::detect()?;
        let dir = make_dir(&run_as)?;
        let path = dir.path().to_owned();
        let janitor = Janitor::watch(&path)?;
        let nodes = AtomicU16::new(0);
        Ok(Testbed(Arc::new(Bed { dir: Some(dir), path, run_as, install, nodes, janitor })))
    }

    /// The directory that holds everything.
    pub fn dir(&self) -> &Path {
        &self.0.path
    }

    /// Who the servers run as.
    pub fn run_as(&self) -> &RunAs {
        &self.0.run_as
    }

    /// The server binaries in use.
    pub fn install(&self) -> &PgInstall {
        &self.0.install
    }

    /// A node of this name: its directories, keys and configuration, but no data directory, no
    /// server and no sshd yet.
    pub fn node(&self, name: &str) -> Result<Node, BedError> {
        Node::new(self.clone(), name, self.0.nodes.fetch_add(1, Ordering::Relaxed))
    }

    /// The usual two, `db1` and `db2`: each with its sshd running and each able to reach the other.
    pub fn pair(&self) -> Result<(Node, Node), BedError> {
        let (mut db1, mut db2) = (self.node("db1")?, self.node("db2")?);
        db1.start_sshd()?;
        db2.start_sshd()?;
        db1.reach(&db2)?;
        db2.reach(&db1)?;
        Ok((db1, db2))
    }

    /// Everything that runs in the testbed at this moment.
    pub fn processes(&self) -> Vec<Process> {
        processes::of_directory(self.dir())
    }
}

/// The clone and TMPDIR may both lie where the servers' user can't go; /tmp is where anybody can.
fn make_dir(run_as: &RunAs) -> Result<TempDir, BedError> {
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
        // Nodes stopped their servers and sshds; what is left is what these had no hold on any more.
        let running = || processes::of_directory(&self.path);
        running().iter().for_each(|process| process.signal(Signal::SIGKILL));
        let gone = wait_until("the testbed's processes to end", Duration::from_secs(10), || {
            running().is_empty()
        });
        let removed = self.dir.take().map_or(Ok(()), TempDir::close);
        match (gone, removed) {
            // A janitor whose pipe closes without a word tries both once more.
            (Err(_), _) | (_, Err(_)) => {}
            _ => self.janitor.dismiss(),
        }
    }
}
