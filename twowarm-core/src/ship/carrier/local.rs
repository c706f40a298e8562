use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver as Messages};
use std::thread;
use std::time::Duration;

use super::duplex::Duplex;
use crate::archive::{self, ArchiveError, Machines};
use crate::file_error::FileError;
use crate::identifiers::{NodeId, random_id};
use crate::limits::{Closed, receive};
use crate::lock::wait_for_turn;
use crate::ship::Receiver;
use crate::ship::transport::{ConnectError, Connection, FarCommand, Transport};

/// How much is read from the near end at a time, in bytes.
const BUFFER: usize = 256 * 1024;

/// The archive directory of another node, which is mounted on this one. This process is both ends: files are
/// checked and stored as on the other node.
#[derive(Debug, Clone)]
pub struct MountedArchive {
    /// The other node's name, for messages.
    pub node: String,
    /// The directory, as mounted here. It must exist and have a [mark](archive::mark) or an empty file in its place.
    pub archive: PathBuf,
    /// A directory of this node for the archive's [mark](archive::mark), by which an unmounted disk is noticed.
    /// It is created with the first connection.
    pub mark_directory: PathBuf,
    /// This node's own archive, which must be another one.
    pub own_archive: Option<PathBuf>,
    /// Whether the archive's sender may be on another machine than before.
    pub machines: Machines,
    /// A step without progress for this long fails.
    pub time_limit: Duration,
}

impl MountedArchive {
    fn receiver(&self) -> Result<Receiver, ArchiveError> {
        // Without a stored mark this is the first connection. Later an empty mount point has another one or none.
        if !archive::is_marked_for(&self.mark_directory)? {
            if !archive::has_mark(&self.archive)? {
                return Err(ArchiveError::Unmarked(self.archive.clone()));
            }
            let failed = FileError::of("create the directory", &self.mark_directory);
            fs::create_dir_all(&self.mark_directory).map_err(failed)?;
            // Two first connections at the same time would each store another mark.
            let _lock = wait_for_turn(&self.mark_directory)?;
            if !archive::is_marked_for(&self.mark_directory)? {
                archive::mark(&self.archive, &self.mark_directory)?;
            }
        }
        Ok(Receiver {
            archive: self.archive.clone(),
            local_replication: self.mark_directory.clone(),
            data_directory: None,
            label: self.node.clone(),
            node_id: own_id()?,
            machines: self.machines,
            retain: crate::prune::Keep::default(),
        })
    }

    fn is_own(&self) -> bool {
        let same = |own: &PathBuf| real(own).is_some_and(|own| Some(own) == real(&self.archive));
        self.own_archive.as_ref().is_some_and(same)
    }
}

fn real(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok()
}

/// An id that no sender has: which node a mounted archive belongs to is told by its mark.
fn own_id() -> Result<NodeId, FileError> {
    let id = random_id()?;
    Ok(id.parse().expect("a random id is a node id"))
}

impl Transport for MountedArchive {
    fn connect(&self) -> Result<Box<dyn Connection>, ConnectError> {
        if self.is_own() {
            let (node, archive) = (self.node.clone(), self.archive.clone());
            return Err(ConnectError::OwnArchive { node, archive });
        }
        let unusable = |error| {
            let error = Box::new(error);
            ConnectError::Mounted { node: self.node.clone(), error }
        };
        let receiver = self.receiver().map_err(unusable)?;
        let serve = move |input: UnixStream, output: UnixStream| {
            let input = BufReader::with_capacity(BUFFER, input);
            receiver.serve_in_process(input, output).err().map(|error| error.to_string())
        };
        let failed = |error| ConnectError::Resources { node: self.node.clone(), error };
        Ok(Box::new(InProcess::start(serve, self.time_limit).map_err(failed)?))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn command(&self) -> FarCommand {
        FarCommand::ReceiveWalFile
    }
}

/// A far end that runs on a thread of this process. The thread is left behind if it hangs in the kernel.
pub(super) struct InProcess<T> {
    pipes: Option<Duplex<UnixStream, UnixStream>>,
    ended: Messages<Option<T>>,
    limit: Duration,
}

impl<T: Send + 'static> InProcess<T> {
    /// The far end reads the first stream, writes to the second, and returns why it ended before the near end.
    pub(super) fn start(
        serve: impl FnOnce(UnixStream, UnixStream) -> Option<T> + Send + 'static,
        limit: Duration,
    ) -> io::Result<InProcess<T>> {
        let (near, far) = UnixStream::pair()?;
        // One socket for each direction: the near end's does not block.
        let pipes = Duplex::new(near.try_clone()?, near, limit)?;
        let output = far.try_clone()?;
        let (sender, ended) = mpsc::channel();
        thread::Builder::new().spawn(move || {
            let _ = sender.send(serve(far, output));
        })?;
        Ok(InProcess { pipes: Some(pipes), ended, limit })
    }

    /// Whether an answer of the far end can be read.
    pub(super) fn has_data(&self) -> bool {
        self.pipes.as_ref().is_some_and(Duplex::has_arrived)
    }

    /// Why the far end ended; `None` if it had no reason, or did not end in time.
    pub(super) fn reason(&mut self) -> Option<T> {
        self.pipes = None;
        match receive(&self.ended, self.limit) {
            Ok(reason) => reason.flatten(),
            Err(Closed) => None,
        }
    }
}

impl<T> Read for InProcess<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pipes.as_mut().map_or(Ok(0), |pipes| pipes.read(buffer))
    }
}

impl<T> Write for InProcess<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.pipes {
            Some(pipes) => pipes.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for InProcess<String> {
    fn last_words(&mut self) -> Option<String> {
        self.reason()
    }

    fn has_arrived(&mut self) -> bool {
        self.has_data()
    }
}
