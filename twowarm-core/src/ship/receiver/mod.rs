//! The far end of shipping: receives files, checks them, and acknowledges what is on disk.

mod admission;
mod collision;
mod file;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use log::Level;

use super::wire::{
    Codec, Decoder, Features, FileStart, Hello, Message, Refusal, RefusalCode, SESSION, Stored,
    Welcome, WireError, read_frame, read_greeting, write_frame, write_greeting,
};
use super::working::while_working;
use crate::archive::{Archive, ArchiveError, Binding, Machines, check_mark};
use crate::identifiers::NodeId;
use crate::retry::Retryable;
pub(super) use file::FileInFlight;

/// Receives WAL files into a node's archive.
///
/// ```
/// use twowarm_core::archive::Machines;
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
    pub fn serve(&self, input: impl Read, output: impl Write + Send) -> Result<Served, ServeError> {
        self.serve_and_log(input, output, Level::Warn)
    }

    /// Serves a sender in this process, which reports the refusals itself.
    pub(super) fn serve_in_process(
        &self,
        input: impl Read,
        output: impl Write + Send,
    ) -> Result<Served, ServeError> {
        self.serve_and_log(input, output, Level::Debug)
    }

    fn serve_and_log(
        &self,
        mut input: impl Read,
        mut output: impl Write + Send,
        refusals: Level,
    ) -> Result<Served, ServeError> {
        let hello = read_hello(&mut input, &mut output)?;
        let archive = match self.admit(&hello) {
            Ok(archive) => archive,
            Err(refusal) => return Err(refuse(&mut output, hello, refusal)),
        };
        let path = archive.path().display().to_string();
        let welcome = Welcome {
            label: self.label.clone(),
            archive: path,
            codecs: Codec::KNOWN,
            features: Features::ALL,
        };
        answer(&mut output, &Message::Welcome(welcome))?;
        let output = Mutex::new(output);
        let served = Served::default();
        Session { receiver: self, archive, hello, input, output, served, refusals }.run()
    }

    /// Refuses a sender because this node's configuration is unusable. The sender's log is read sooner than
    /// this node's.
    pub fn refuse(reason: &dyn Error, mut input: impl Read, mut output: impl Write) -> ServeError {
        let hello = match read_hello(&mut input, &mut output) {
            Ok(hello) => hello,
            Err(error) => return error,
        };
        refuse(&mut output, hello, refusal(RefusalCode::CONFIGURATION, true, reason))
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

struct Session<'a, R, W> {
    receiver: &'a Receiver,
    archive: Archive,
    hello: Hello,
    input: R,
    output: Mutex<W>,
    served: Served,
    /// How refusals are logged.
    refusals: Level,
}

impl<R: Read, W: Write + Send> Session<'_, R, W> {
    fn run(mut self) -> Result<Served, ServeError> {
        let mut decoder = Decoder::new();
        loop {
            let frame = match read_frame(&mut self.input) {
                Ok(frame) => frame,
                Err(WireError::Closed) => return Ok(self.served),
                Err(e) => return Err(e.into()),
            };
            match Message::parse(&frame) {
                Ok(Message::File(start)) => {
                    let id = start.id;
                    let outcome = self.receive(start, &mut decoder)?;
                    self.settle(id, outcome)?;
                }
                Ok(Message::Probe { id }) => {
                    // Bound too: the archive must not be another sender's when the first file arrives.
                    let outcome = while_working(&self.output, || {
                        check_mark(self.archive.path(), &self.receiver.local_replication)?;
                        self.archive.probe()?;
                        self.archive.bind(&binding(&self.hello), self.receiver.machines)
                    });
                    let outcome = outcome.map(|()| Stored::New).map_err(|e| refusal_of(&e));
                    self.settle(id, outcome)?;
                }
                Ok(Message::Working) => {}
                Ok(Message::Goodbye) => return Ok(self.served),
                Ok(other) => {
                    let error = WireError::Unexpected(other.kind());
                    return protocol_error(self.output(), error);
                }
                Err(e) => return protocol_error(self.output(), e),
            }
        }
    }

    /// Reads a file's data to its end, even if the file is refused already: otherwise the sender, which is
    /// still writing, and this side would wait for each other.
    fn receive(
        &mut self,
        start: FileStart,
        decoder: &mut Decoder,
    ) -> Result<Result<Stored, Refusal>, ServeError> {
        let mut file = FileInFlight::begin(start, &self.archive, &self.hello, decoder);
        loop {
            let frame = read_frame(&mut self.input)?;
            if let Ok(Some((id, bytes))) = Message::parse_data(&frame)
                && id == file.id()
            {
                file.add(bytes);
                continue;
            }
            match Message::parse(&frame) {
                Ok(Message::Zeros { id, length }) if id == file.id() => file.add_zeros(length),
                Ok(Message::End { id, crc }) if id == file.id() => {
                    return Ok(while_working(&self.output, || {
                        let stored = file.finish(crc, &self.archive, self.receiver, &self.hello)?;
                        // The archive's disk may have been unmounted since the session began: a file in
                        // the empty mount point is not acknowledged.
                        check_mark(self.archive.path(), &self.receiver.local_replication)
                            .map_err(|e| refusal_of(&e))?;
                        Ok(stored)
                    }));
                }
                Ok(Message::Working) => {}
                Ok(other) => {
                    let error = WireError::Unexpected(other.kind());
                    return protocol_error(self.output(), error);
                }
                Err(e) => return protocol_error(self.output(), e),
            }
        }
    }

    fn settle(&mut self, id: u32, outcome: Result<Stored, Refusal>) -> Result<(), ServeError> {
        match outcome {
            Ok(outcome) => {
                self.served.stored += 1;
                answer(self.output(), &Message::Stored { id, outcome })
            }
            Err(refusal) => {
                self.served.refused += 1;
                log::log!(self.refusals, "refused {}: {}", self.hello.label, refusal.message);
                answer(self.output(), &Message::Refused(Refusal { id, ..refusal }))
            }
        }
    }

    fn output(&mut self) -> &mut W {
        self.output.get_mut().unwrap_or_else(PoisonError::into_inner)
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
    }
}
