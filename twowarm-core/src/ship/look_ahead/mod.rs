//! While a server has a backlog, a process of its own ships the files behind the one that the server archives, over
//! the same connection. The next calls find theirs acknowledged.
//!
//! The process is this program once more. Nothing is remembered outside of it, and it ends within seconds when
//! it is not needed: without it each call ships its file itself.

mod backlog;
mod endpoint;
mod memory;
mod message;
mod process;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{self, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use backlog::Backlog;
use endpoint::Endpoint;
use message::{Answer, Request};

pub use process::LookAheadProcess;

use super::fingerprint::Fingerprint;
use super::shipper::{Listed, ShipQueue};
use super::wire::WireError;
use super::{ShipError, ShipProgress, Shipper, Transport, WalFile};
use crate::child_task::ChildTask;

const SHIP_AHEAD: ChildTask =
    ChildTask { parent: "TWOWARM_LOOK_AHEAD_OF", depth: "TWOWARM_LOOK_AHEAD_DEPTH" };

/// The environment variable with the name of the node that the process ships to.
const NODE: &str = "TWOWARM_LOOK_AHEAD_TO";

/// The process sends heartbeats while a call waits; after this time without any it hangs.
const SILENCE: Duration = Duration::from_secs(5);

/// Ships the files of a server's backlog ahead of the calls of its archive_command.
#[derive(Debug, Clone)]
pub struct LookAhead {
    /// The directory in which the calls find the process, by a socket `look_ahead`: `local/replication`.
    pub directory: PathBuf,
    /// How many files may be shipped before the server asks for them; with 0 each call ships its own file.
    pub files: u32,
    /// How long the process may run.
    pub limit: Duration,
    /// How many connections it uses. `None`: as many as the line's delay calls for.
    pub channels: Option<u32>,
}

impl LookAhead {
    /// Ships a file. When it succeeds, the file as it is now is durable in the archive of the shipper's node.
    /// If a process ships ahead, or the server has a backlog so that this starts one, the process ships it;
    /// otherwise, and whenever that fails, the shipper does. While the server is shutting down, all within the
    /// shipper's budget.
    ///
    /// # Errors
    /// As [`Shipper::ship`].
    pub fn ship<T: Transport + Clone + Send + 'static>(
        &self,
        shipper: &Shipper<T>,
        file: &WalFile,
        progress: &mut dyn FnMut(ShipProgress),
    ) -> Result<(), ShipError> {
        let call = Call {
            look_ahead: self.clone(),
            file: file.clone(),
            node: shipper.transport.node().to_owned(),
            destination: shipper.destination(),
        };
        let work = move |shipper: &dyn ShipQueue, progress: &mut dyn FnMut(ShipProgress)| {
            call.ship(shipper, progress)
        };
        shipper.within_budget(vec![file.name], work, progress)
    }
}

/// One call of archive_command.
struct Call {
    look_ahead: LookAhead,
    file: WalFile,
    node: String,
    destination: String,
}

impl Call {
    fn ship(
        self,
        shipper: &dyn ShipQueue,
        progress: &mut dyn FnMut(ShipProgress),
    ) -> Result<(), ShipError> {
        match self.ask_process() {
            Some(Answer::Stored { stored, has_defect, welcome }) => {
                log::debug!("{} was shipped ahead", self.file.name);
                // Of a defect, the process tells only that there is one.
                let defect = if has_defect { shipper.check(&self.file)? } else { None };
                progress(ShipProgress::Connected(welcome));
                progress(ShipProgress::Shipped { file: self.file, stored, defect });
                Ok(())
            }
            Some(Answer::Unreachable(why)) => Err(ShipError::Unreachable(why)),
            Some(Answer::ShipIt | Answer::Working | Answer::NeedsChecksum) | None => {
                let files = vec![self.file].into_iter();
                shipper.ship_queue(&mut Listed { files, progress })
            }
        }
    }

    /// The answer of the process that ships ahead; `None` if there is none or it does not answer.
    fn ask_process(&self) -> Option<Answer> {
        if self.look_ahead.files == 0 {
            return None;
        }
        let file = WalFile { path: path::absolute(&self.file.path).ok()?, ..self.file };
        file.path.to_str()?;
        let stream = match Endpoint::of(&self.look_ahead.directory).connect() {
            Ok(stream) => stream,
            Err(_) if Backlog::of(&file)?.has_others(file.name) => match self.start() {
                Ok(stream) => stream,
                Err(e) => {
                    log::debug!("could not start a process that ships ahead: {e}");
                    return None;
                }
            },
            Err(_) => return None,
        };
        let content = Fingerprint::state_of(&file.path).ok()?;
        let mut request = Request { file, content, destination: self.destination.clone() };
        let mut answer = ask(&stream, &request);
        if matches!(answer, Ok(Answer::NeedsChecksum)) {
            request.content = Fingerprint::of(&request.file.path).ok()?;
            answer = ask(&stream, &request);
        }
        answer.inspect_err(|e| log::debug!("the process that ships ahead: {e}")).ok()
    }

    /// Starts the process. It inherits neither the server's log nor a file of it; this call does not wait for its
    /// end.
    fn start(&self) -> io::Result<UnixStream> {
        let (stream, theirs) = UnixStream::pair()?;
        let mut command = SHIP_AHEAD.command()?;
        command.env(NODE, &self.node).stdin(OwnedFd::from(theirs));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(stream)
    }
}

fn ask(mut stream: &UnixStream, request: &Request) -> Result<Answer, WireError> {
    stream.set_read_timeout(Some(SILENCE)).map_err(WireError::Io)?;
    stream.set_write_timeout(Some(SILENCE)).map_err(WireError::Io)?;
    request.write(&mut stream).map_err(WireError::Io)?;
    loop {
        match Answer::read(&mut stream)? {
            Answer::Working => {}
            answer => return Ok(answer),
        }
    }
}
