//! The far end of shipping: receives files, checks them, and acknowledges what is on disk.

mod admission;
mod collision;
mod file;
mod finishing;
mod pruning;
mod receipt;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::{self, Read, Write};
use std::mem;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use log::Level;

use super::wire::{
    Capabilities, Decoder, FileStart, Hello, Message, Refusal, RefusalCode, SESSION, Welcome,
    WireError, read_frame, read_greeting, write_frame, write_greeting,
};
use crate::archive::{Archive, ArchiveError, Binding, Machines};
use crate::identifiers::NodeId;
use crate::prune::Keep;
use crate::retry::Retryable;
pub(super) use file::FileInFlight;
use finishing::{Finisher, Patient, Progress, Request, Requests};

/// Receives WAL files into a node's archive.
///
/// ```
/// use twowarm_core::archive::Machines;
/// use twowarm_core::prune::Keep;
/// use twowarm_core::ship::{Receiver, ServeError};
///
/// # let node = tempfile::tempdir()?;
/// let receiver = Receiver {
///     archive: node.path().join("archive"),
///     local_replication: node.path().join("2warm/local/replication"),
///     data_directory: Some(node.path().join("data")),
///     label: "db2".into(),
///     node_id: "db2".parse()?,
///     machines: Machines::One,
///     retain: Keep::default(),
/// };
/// // sshd connects standard input and output with the sender. This one hangs up at once.
/// let (input, mut output) = (std::io::empty(), Vec::new());
/// assert!(matches!(receiver.serve(input, &mut output), Err(ServeError::Wire(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Receiver {
    /// The archive directory, which must exist.
    pub archive: PathBuf,
    /// The node's `local/replication`, which contains the archive's stored [mark](crate::archive::mark).
    pub local_replication: PathBuf,
    /// The node's data directory, if it is known. It may be empty.
    pub data_directory: Option<PathBuf>,
    /// The node's name in messages.
    pub label: String,
    /// The node's own id, by which it recognizes itself as the sender.
    pub node_id: NodeId,
    /// Whether the sender may come from another machine than before.
    pub machines: Machines,
    /// In an archive without a standby: what is kept when a segment arrives. Nothing is removed if it is not set, or if
    /// the data directory is not known or contains a cluster, whose standby removes what it does not need, or if the node
    /// has had a standby: the disk of an empty data directory is perhaps not mounted.
    pub retain: Keep,
}

/// Why a session ended before the sender said goodbye.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// No data arrived within the time limit.
    #[error("no data from the sender within the time limit")]
    Silent,
    /// The sender violated the protocol, or the connection broke.
    #[error("could not read from the sender: {0}")]
    Wire(WireError),
    /// An answer could not be sent.
    #[error("could not write to the sender: {0}")]
    Answer(io::Error),
    /// The sender was refused.
    #[error("refused {sender}: {}", refusal.message)]
    Refused {
        /// The sender's label.
        sender: String,
        /// The refusal.
        refusal: Refusal,
    },
}

impl From<WireError> for ServeError {
    fn from(error: WireError) -> ServeError {
        match error {
            WireError::Io(e) if e.kind() == io::ErrorKind::TimedOut => ServeError::Silent,
            other => ServeError::Wire(other),
        }
    }
}

/// The files of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// Requests that were carried out: files that are durable in the archive, and probes.
    pub stored: u32,
    /// Requests that were refused.
    pub refused: u32,
}

impl Receiver {
    /// Serves one sender until it says goodbye or closes the connection. A file is acknowledged when it is
    /// durable in the archive.
    ///
    /// # Errors
    /// If the sender may not send here, violates the protocol, or the connection fails. A refused file is not
    /// an error.
    pub fn serve(
        &self,
        input: impl Read + Send,
        output: impl Write + Send,
    ) -> Result<Served, ServeError> {
        self.serve_by(input, output, Capabilities::OURS, Level::Warn)
    }

    /// Serves a sender in this process, which reports the refusals itself. Compression would save nothing.
    pub(super) fn serve_in_process(
        &self,
        input: impl Read + Send,
        output: impl Write + Send,
    ) -> Result<Served, ServeError> {
        let uncompressed = Capabilities { codecs: 1, ..Capabilities::OURS };
        self.serve_by(input, output, uncompressed, Level::Debug)
    }

    fn serve_by(
        &self,
        mut input: impl Read + Send,
        mut output: impl Write + Send,
        understands: Capabilities,
        refusals: Level,
    ) -> Result<Served, ServeError> {
        let hello = read_hello(&mut input, &mut output)?;
        let archive = match self.admit(&hello) {
            Ok(archive) => archive,
            Err(refusal) => return Err(refuse(&mut output, hello, refusal)),
        };
        let path = archive.path().display().to_string();
        let welcome = Welcome { label: self.label.clone(), archive: path, understands };
        answer(&mut output, &Message::Welcome(welcome))?;
        let (output, progress) = (Mutex::new(output), Progress::default());
        let (archive, hello) = (&archive, &hello);
        let finisher = Finisher {
            receiver: self,
            archive,
            hello,
            output: &output,
            progress: &progress,
            refusals,
        };
        let (served, end) = finisher.during(|requests| {
            let input = Patient { input, progress: &progress };
            Session { archive, hello, input, requests, decoder: Decoder::new() }.receive_all()
        })?;
        match end {
            End::Regular => Ok(served),
            End::Failed(error) => Err(error.into()),
            End::Violated(error) => {
                let mut output = output.into_inner().unwrap_or_else(PoisonError::into_inner);
                protocol_error(&mut output, error)
            }
        }
    }
}

/// Refuses another node because this node's configuration is unusable. The other node's log is read sooner than this
/// node's.
pub fn refuse_caller(
    reason: &dyn Error,
    mut input: impl Read,
    mut output: impl Write,
) -> ServeError {
    match read_hello(&mut input, &mut output) {
        Ok(hello) => refuse(&mut output, hello, refusal(RefusalCode::CONFIGURATION, true, reason)),
        Err(error) => error,
    }
}

pub(super) fn read_hello(
    input: &mut impl Read,
    output: &mut impl Write,
) -> Result<Hello, ServeError> {
    let greeted = read_greeting(input);
    write_greeting(output).map_err(ServeError::Answer)?;
    greeted?;
    match Message::parse(&read_frame(input)?) {
        Ok(Message::Hello(hello)) => Ok(hello),
        Ok(other) => protocol_error(output, WireError::Unexpected(other.kind())),
        Err(e) => protocol_error(output, e),
    }
}

pub(super) fn refuse(output: &mut impl Write, hello: Hello, refusal: Refusal) -> ServeError {
    match answer(output, &Message::Refused(refusal.clone())) {
        Ok(()) => ServeError::Refused { sender: hello.label, refusal },
        Err(error) => error,
    }
}

/// What a sender sends after its hello.
struct Session<'a, R> {
    archive: &'a Archive,
    hello: &'a Hello,
    input: R,
    requests: Requests<'a>,
    /// For one file after the other.
    decoder: Decoder,
}

/// Why no further request is received.
enum End {
    /// The sender said goodbye or closed the connection, or no answer could be sent any more.
    Regular,
    /// The connection failed.
    Failed(WireError),
    /// The sender violated the protocol.
    Violated(WireError),
}

impl<R: Read> Session<'_, R> {
    fn receive_all(mut self) -> End {
        loop {
            let frame = match read_frame(&mut self.input) {
                Ok(frame) => frame,
                Err(WireError::Closed) => return End::Regular,
                Err(e) => return End::Failed(e),
            };
            let request = match Message::parse(&frame) {
                Ok(Message::File(start)) => match self.receive(start) {
                    Ok(file) => Request::File(Box::new(file)),
                    Err(end) => return end,
                },
                Ok(Message::Probe { id }) => Request::Probe(id),
                Ok(Message::Receipt { id, text }) => Request::Receipt(id, text),
                Ok(Message::Void { id, receipt }) => Request::Void(id, receipt),
                Ok(Message::AskMissing { id, from }) => Request::AskMissing(id, from),
                Ok(Message::AskReceipt { id }) => Request::AskReceipt(id),
                Ok(Message::Working) => continue,
                Ok(Message::Goodbye) => return End::Regular,
                Ok(other) => return End::Violated(WireError::Unexpected(other.kind())),
                Err(e) => return End::Violated(e),
            };
            if !self.requests.add(request) {
                return End::Regular;
            }
        }
    }

    /// Reads a file's data to its end, even if the file is refused already: otherwise the sender, which is
    /// still writing, and this side would wait for each other.
    fn receive(&mut self, start: FileStart) -> Result<FileInFlight, End> {
        let decoder = mem::take(&mut self.decoder);
        let mut file = FileInFlight::begin(start, self.archive, self.hello, decoder);
        loop {
            let frame = read_frame(&mut self.input).map_err(End::Failed)?;
            if let Ok(Some((id, bytes))) = Message::parse_data(&frame)
                && id == file.id()
            {
                file.add(bytes);
                continue;
            }
            match Message::parse(&frame) {
                Ok(Message::Zeros { id, length }) if id == file.id() => file.add_zeros(length),
                Ok(Message::End { id, crc }) if id == file.id() => {
                    self.decoder = file.end(crc);
                    return Ok(file);
                }
                Ok(Message::Working) => {}
                Ok(other) => return Err(End::Violated(WireError::Unexpected(other.kind()))),
                Err(e) => return Err(End::Violated(e)),
            }
        }
    }
}

pub(super) fn answer(output: &mut impl Write, message: &Message) -> Result<(), ServeError> {
    write_frame(output, message.kind(), &[&message.payload()]).map_err(ServeError::Answer)
}

/// Reports an error to the sender and ends the session: where the next frame begins is not known after it.
pub(super) fn protocol_error<T>(
    output: &mut impl Write,
    error: WireError,
) -> Result<T, ServeError> {
    let refusal = Refusal {
        id: SESSION,
        code: RefusalCode::PROTOCOL,
        retryable: error.is_retryable(),
        message: error.to_string(),
    };
    let _ = answer(output, &Message::Refused(refusal));
    Err(error.into())
}

/// A refusal. The request's id is set when it is sent.
pub(super) fn refusal(code: RefusalCode, retryable: bool, message: impl ToString) -> Refusal {
    Refusal { id: SESSION, code, retryable, message: message.to_string() }
}

/// An error of the archive as a refusal.
pub(super) fn refusal_of(error: &ArchiveError) -> Refusal {
    let code = match error {
        _ if error.is_full() => RefusalCode::FULL,
        ArchiveError::Conflict(_) => RefusalCode::CONFLICT,
        ArchiveError::AnotherCluster { .. } => RefusalCode::ANOTHER_CLUSTER,
        ArchiveError::AnotherSender { .. }
        | ArchiveError::Promoted { .. }
        | ArchiveError::NotASuccessor { .. }
        | ArchiveError::AnotherId { .. }
        | ArchiveError::AnotherMachine { .. } => RefusalCode::ANOTHER_SENDER,
        _ => RefusalCode::ARCHIVE,
    };
    refusal(code, error.is_retryable(), error)
}

fn binding(hello: &Hello) -> Binding {
    Binding {
        system_identifier: hello.system_identifier,
        node_id: hello.node_id.clone(),
        label: hello.label.clone(),
        machine: hello.machine.clone(),
        timeline: None,
        former: None,
    }
}
