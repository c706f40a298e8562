use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use super::local::InProcess;
use super::same_file::is_same_file;
use crate::archive::Stored;
use crate::durable::{self, Aside};
use crate::file_error::FileError;
use crate::reach::Reach;
use crate::retry::Retryable;
use crate::rsync::{Put, Remote, RsyncError, fetch, put};
use crate::ship::transport::{ConnectError, Connection, FarCommand, Transport};
use crate::ship::wire::{
    Capabilities, Codec, Features, FileStart, Message, Purpose, Refusal, RefusalCode, SESSION,
    Welcome, WireError, read_frame, read_greeting, write_frame, write_greeting,
};
use crate::ship::working::while_working;
use crate::wal::WalFileName;

/// How long an rsync without `--fsync` on the other node is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// How much is read from the near end at a time, in bytes.
const BUFFER: usize = 256 * 1024;

/// The archive directory of a node without receiveWALFile, such as one with 2warm's original scripts. rsync
/// writes each file under another name and renames it.
///
/// What receiveWALFile does on the node is missing: files of another cluster, of an abandoned timeline or of
/// another sender are stored, and an archive whose disk is not mounted is not noticed. A file with different
/// content is never overwritten. Files are on disk there only if rsync there is 3.2.4 or later.
#[derive(Debug, Clone)]
pub struct RsyncTransport {
    reach: Reach,
    archive: PathBuf,
    directory: PathBuf,
    node: String,
}

impl RsyncTransport {
    /// Sends to the archive directory of this path on the node, which must exist. `directory` is one of this
    /// node, for files on their way and for what was found out about the other one; it is created if it is
    /// missing.
    #[must_use]
    pub fn new(reach: &Reach, archive: PathBuf, directory: PathBuf) -> RsyncTransport {
        RsyncTransport { node: reach.node.to_string(), reach: reach.clone(), archive, directory }
    }
}

impl Transport for RsyncTransport {
    fn connect(&self) -> Result<Box<dyn Connection>, ConnectError> {
        let failed = |error| ConnectError::Resources { node: self.node.clone(), error };
        fs::create_dir_all(&self.directory).map_err(failed)?;
        durable::remove_abandoned(&self.directory, |_| true).map_err(|e| failed(e.error))?;
        let far = FarEnd {
            remote: Remote::for_wal(self.reach.clone()),
            archive: self.archive.clone(),
            directory: self.directory.clone(),
            notes: Notes(self.directory.join("rsync")),
        };
        let serve = move |input: UnixStream, output: UnixStream| {
            far.serve(BufReader::with_capacity(BUFFER, input), output).err()
        };
        Ok(Box::new(InProcess::start(serve, self.reach.time_limit).map_err(failed)?))
    }

    fn node(&self) -> &str {
        &self.node
    }

    fn command(&self) -> FarCommand {
        FarCommand::ReceiveWalFile
    }
}

impl Connection for InProcess<Ended> {
    fn last_words(&mut self) -> Option<String> {
        match self.reason()? {
            Ended::Rsync(error) => Some(error.to_string()),
            Ended::Wire(error) => Some(error.to_string()),
        }
    }

    fn connect_failure(&mut self) -> Option<ConnectError> {
        match self.reason()? {
            Ended::Rsync(error) => Some(error.into()),
            Ended::Wire(_) => None,
        }
    }
}

/// Why the far end ended before the near end.
#[derive(Debug)]
enum Ended {
    /// The node could not be reached.
    Rsync(RsyncError),
    Wire(WireError),
}

impl From<WireError> for Ended {
    fn from(error: WireError) -> Ended {
        Ended::Wire(error)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Ended {
        Ended::Wire(WireError::Io(error))
    }
}

/// The far end of the protocol, in this process.
struct FarEnd {
    remote: Remote,
    archive: PathBuf,
    directory: PathBuf,
    notes: Notes,
}

impl FarEnd {
    fn serve(&self, mut input: impl Read, mut output: UnixStream) -> Result<(), Ended> {
        let greeted = read_greeting(&mut input);
        write_greeting(&mut output)?;
        greeted?;
        let Message::Hello(hello) = Message::parse(&read_frame(&mut input)?)? else {
            return Err(WireError::Unexpected(0).into());
        };
        if hello.purpose != Purpose::ShipWal {
            let message = "only WAL is shipped by rsync".to_owned();
            let code = RefusalCode::PURPOSE;
            let refusal = Refusal { id: SESSION, code, retryable: false, message };
            return answer(&mut output, &Message::Refused(refusal));
        }
        let (label, archive) = (self.remote.name().to_string(), self.archive.display().to_string());
        answer(
            &mut output,
            &Message::Welcome(Welcome {
                label,
                archive,
                // rsync compresses, and leaves holes.
                understands: Capabilities { codecs: 1, features: Features::MODIFIED },
            }),
        )?;
        let output = Mutex::new(output);
        loop {
            let frame = match read_frame(&mut input) {
                Err(WireError::Closed) => return Ok(()),
                frame => frame?,
            };
            let (id, outcome) = match Message::parse(&frame)? {
                Message::File(start) => {
                    let id = start.id;
                    let received = receive(&mut input, start, &self.directory)?;
                    let store = |file| while_working(&output, || self.store(file));
                    (id, received.and_then(store))
                }
                Message::Probe { id } => (id, Ok(Stored::New)),
                Message::Working => continue,
                Message::Goodbye => return Ok(()),
                other => return Err(WireError::Unexpected(other.kind()).into()),
            };
            let message = match outcome {
                Ok(outcome) => Message::Stored { id, outcome },
                Err(Refused::Request(refusal)) => Message::Refused(Refusal { id, ..refusal }),
                Err(Refused::Node(error)) => return Err(Ended::Rsync(error)),
            };
            let mut output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            answer(&mut *output, &message)?;
        }
    }

    /// Sends a received file to the node.
    fn store(&self, (name, file): (WalFileName, Aside)) -> Result<Stored, Refused> {
        let there = self.archive.join(name.to_string());
        if self.put(file.path(), &there)? == Put::New {
            return Ok(Stored::New);
        }
        let existing = Aside::create_in(&self.directory, "existing").map_err(local)?;
        let is_found = fetch(&self.remote, &there, existing.path())?;
        if is_found && is_same_file(name, file.path(), existing.path()).map_err(local)? {
            return Ok(Stored::AlreadyThere);
        }
        let (archive, node) = (there.display(), self.remote.name());
        let message = format!(
            "\"{archive}\" already exists with different content and is not overwritten. HINT: find out which of the two is right, and remove the one on {node} if it is wrong"
        );
        Err(refused(RefusalCode::CONFLICT, false, message))
    }

    fn put(&self, file: &Path, there: &Path) -> Result<Put, RsyncError> {
        let known = self.notes.read();
        if known != Some(Fsync::No) {
            match put(&self.remote, file, there, true) {
                Err(error) if error.is_unknown_option() => {}
                done => {
                    if done.is_ok() && known.is_none() {
                        self.notes.tell(&self.remote, Fsync::Yes);
                    }
                    return done;
                }
            }
        }
        let done = put(&self.remote, file, there, false)?;
        if known != Some(Fsync::No) {
            self.notes.tell(&self.remote, Fsync::No);
        }
        Ok(done)
    }
}

/// Why a file is not stored.
enum Refused {
    Request(Refusal),
    /// The node could not be reached.
    Node(RsyncError),
}

impl From<RsyncError> for Refused {
    fn from(error: RsyncError) -> Refused {
        if let RsyncError::Ssh(_) | RsyncError::PinnedKey { .. } | RsyncError::Start(_) = error {
            return Refused::Node(error);
        }
        let code = match error.is_disk_full() {
            true => RefusalCode::FULL,
            false => RefusalCode::ARCHIVE,
        };
        refused(code, error.is_retryable(), error.to_string())
    }
}

fn refused(code: RefusalCode, retryable: bool, message: String) -> Refused {
    Refused::Request(Refusal { id: SESSION, code, retryable, message })
}

fn local(error: FileError) -> Refused {
    refused(RefusalCode::ARCHIVE, true, error.to_string())
}

fn answer(output: &mut impl Write, message: &Message) -> Result<(), Ended> {
    Ok(write_frame(output, message.kind(), &[&message.payload()])?)
}

/// Receives a file's data to its end into a temporary file.
fn receive(
    input: &mut impl Read,
    start: FileStart,
    directory: &Path,
) -> Result<Result<(WalFileName, Aside), Refused>, Ended> {
    let file = begin(&start, directory);
    let mut state = file.map(|(name, file)| (name, file, 0, crc32fast::Hasher::new()));
    loop {
        match Message::parse(&read_frame(input)?)? {
            Message::Data { id, bytes } if id == start.id => {
                if let Ok((_, file, received, crc)) = &mut state {
                    *received += bytes.len() as u64;
                    crc.update(&bytes);
                    if let Err(e) = file.file().write_all(&bytes) {
                        state = Err(local(FileError::of("write", file.path())(e)));
                    }
                }
            }
            Message::End { id, crc: expected } if id == start.id => {
                return Ok(state.and_then(|(name, mut file, received, crc)| {
                    if received == start.size && crc.finalize() == expected {
                        if let Some(at) = start.modified_time() {
                            let _ = file.file().set_modified(at);
                        }
                        return Ok((name, file));
                    }
                    let message = format!("{name} was damaged in transit");
                    Err(refused(RefusalCode::DAMAGED, true, message))
                }));
            }
            Message::Working => {}
            other => return Err(WireError::Unexpected(other.kind()).into()),
        }
    }
}

fn begin(start: &FileStart, directory: &Path) -> Result<(WalFileName, Aside), Refused> {
    if start.codec != Codec::None {
        return Err(refused(RefusalCode::CODEC, false, "unsupported codec".to_owned()));
    }
    let name: WalFileName =
        start.name.parse().map_err(|e| refused(RefusalCode::UNSOUND, false, format!("{e}")))?;
    Ok((name, Aside::create_in(directory, &start.name).map_err(local)?))
}

/// Whether rsync on the other node has the option `--fsync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fsync {
    Yes,
    No,
}

/// The file that records what is known about rsync on the other node, and that it was reported.
struct Notes(PathBuf);

impl Notes {
    fn read(&self) -> Option<Fsync> {
        let text = fs::read_to_string(&self.0).ok()?;
        let written = fs::metadata(&self.0).and_then(|found| found.modified()).ok()?;
        let is_recent = SystemTime::now().duration_since(written).is_ok_and(|age| age < REMEMBERED);
        match text.trim() {
            "fsync = yes" => Some(Fsync::Yes),
            // It may have been updated since.
            "fsync = no" if is_recent => Some(Fsync::No),
            _ => None,
        }
    }

    /// Reports once in the log what this carrier does not promise. If the file can't be written, it is reported
    /// again.
    fn tell(&self, remote: &Remote, fsync: Fsync) {
        let (text, disk) = match fsync {
            Fsync::Yes => ("fsync = yes\n", ""),
            Fsync::No => (
                "fsync = no\n",
                ". Files are not on disk there when this command succeeds, because rsync there does not know --fsync (3.2.4 or later does): a power failure there can lose them",
            ),
        };
        let node = remote.name();
        log::warn!(
            "{node} receives WAL by rsync: it does not check whose WAL it receives, nor whether the disk of its archive is mounted{disk}. HINT: install receiveWALFile there and remove carrier of [node.{node}] from 2warm/local/2warm.toml"
        );
        let _ = durable::write(&self.0, text.as_bytes());
    }
}
