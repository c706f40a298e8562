//! The far end of shipping: takes files in, checks them, and acknowledges what is on disk.

mod admission;
mod collision;
mod file;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::wire::{
    Codec, Hello, Message, Refusal, RefusalCode, SESSION, Stored, Welcome, WireError, read_frame,
    read_greeting, write_frame, write_greeting,
};
use super::working::while_working;
use crate::archive::{Archive, ArchiveError, Machines, Owner, check_mark};
use crate::identifiers::NodeId;
use crate::wal::SegmentSize;
use file::FileInFlight;

/// The receiving node's archive, and what it knows of itself.
#[derive(Debug)]
pub struct Receiver {
    /// The archive directory, where files go.
    pub archive: PathBuf,
    /// The node's `local/replication`, which knows the archive's [mark](crate::archive::mark).
    pub local_replication: PathBuf,
    /// The node's data directory, where one is known.
    pub data_directory: Option<PathBuf>,
    /// What the node calls itself.
    pub label: String,
    /// The node's own id, to know itself when it is the sender.
    pub node_id: NodeId,
    /// Whether the sender may come from another machine than before.
    pub machines: Machines,
    /// The cluster in its data directory, where there is one.
    pub cluster: Option<Cluster>,
}

/// What tells one cluster from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// Its system identifier.
    pub system_identifier: u64,
    /// Its segment size, where that can be told.
    pub segment_size: Option<SegmentSize>,
}

/// Why a session ended before its goodbye.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ServeError {
    #[error("the sender was silent for longer than the time limit")]
    Silent,
    #[error("the sender: {0}")]
    Wire(#[source] WireError),
    #[error("could not answer the sender: {0}")]
    Answer(#[source] io::Error),
    #[error("refused {sender}: {}", refusal.message)]
    Refused { sender: String, refusal: Refusal },
}

impl From<WireError> for ServeError {
    fn from(error: WireError) -> ServeError {
        match error {
            WireError::Io(e) if e.kind() == io::ErrorKind::TimedOut => ServeError::Silent,
            other => ServeError::Wire(other),
        }
    }
}

/// What went on in a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Files that were stored, or were there already.
    pub stored: u32,
    /// Files that were refused.
    pub refused: u32,
}

/// Serves one sender until it says goodbye or is gone.
///
/// With an error in place of a receiver, every sender is told of it in a refusal: that reaches the log
/// of the primary, where somebody looks.
pub fn serve(
    mut input: impl Read,
    mut output: impl Write + Send,
    receiver: Result<Receiver, Refusal>,
) -> Result<Served, ServeError> {
    let greeted = read_greeting(&mut input);
    write_greeting(&mut output).map_err(ServeError::Answer)?;
    greeted?;
    let hello = match Message::parse(&read_frame(&mut input)?) {
        Ok(Message::Hello(hello)) => hello,
        Ok(other) => return protocol_error(&mut output, WireError::Unexpected(other.kind())),
        Err(e) => return protocol_error(&mut output, e),
    };
    let admitted = receiver.and_then(|receiver| Ok((receiver.admit(&hello)?, receiver)));
    let (archive, receiver) = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => {
            answer(&mut output, &Message::Refused(refusal.clone()))?;
            return Err(ServeError::Refused { sender: hello.label, refusal });
        }
    };
    let Receiver { label, local_replication, data_directory, machines, .. } = receiver;
    let path = archive.path().display().to_string();
    answer(&mut output, &Message::Welcome(Welcome { label, archive: path, codecs: 1 }))?;
    let output = Mutex::new(output);
    Session {
        archive,
        local_replication,
        data_directory,
        machines,
        hello,
        input,
        output,
        served: Served::default(),
    }
    .run()
}

struct Session<R, W> {
    archive: Archive,
    local_replication: PathBuf,
    data_directory: Option<PathBuf>,
    machines: Machines,
    hello: Hello,
    input: R,
    output: Mutex<W>,
    served: Served,
}

impl<R: Read, W: Write + Send> Session<R, W> {
    fn run(mut self) -> Result<Served, ServeError> {
        loop {
            let frame = match read_frame(&mut self.input) {
                Ok(frame) => frame,
                Err(WireError::Closed) => return Ok(self.served),
                Err(e) => return Err(e.into()),
            };
            match Message::parse(&frame) {
                Ok(Message::File(start)) => {
                    let id = start.id;
                    let file = FileInFlight::begin(start, &self.archive, &self.hello);
                    let outcome = self.receive(file)?;
                    self.settle(id, outcome)?;
                }
                Ok(Message::Probe { id }) => {
                    // A sender that has been told that it may send here must not find the archive to be
                    // another's when it does.
                    let outcome = while_working(&self.output, || {
                        check_mark(self.archive.path(), &self.local_replication)?;
                        self.archive.probe()?;
                        self.archive.bind(&owner(&self.hello), self.machines)
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

    /// Takes a file's data to its end, also when it is refused already: a sender that is still writing
    /// would else wait for us, and we for it.
    fn receive(&mut self, mut file: FileInFlight) -> Result<Result<Stored, Refusal>, ServeError> {
        loop {
            let frame = read_frame(&mut self.input)?;
            match Message::parse(&frame) {
                Ok(Message::Data { id, bytes }) if id == file.id() => file.add(&bytes),
                Ok(Message::End { id, crc }) if id == file.id() => {
                    let data_directory = self.data_directory.as_deref();
                    return Ok(while_working(&self.output, || {
                        let stored = file.finish(
                            crc,
                            &self.archive,
                            data_directory,
                            &self.hello,
                            self.machines,
                        )?;
                        // Its disk may have gone since the session began, and what went to the bare
                        // mount point instead is not acknowledged.
                        check_mark(self.archive.path(), &self.local_replication)
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
                log::warn!("refused {}: {}", self.hello.label, refusal.message);
                answer(self.output(), &Message::Refused(Refusal { id, ..refusal }))
            }
        }
    }

    fn output(&mut self) -> &mut W {
        self.output.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(output: &mut impl Write, message: &Message) -> Result<(), ServeError> {
    write_frame(output, message.kind(), &[&message.payload()]).map_err(ServeError::Answer)
}

/// Tells the sender, if it still listens, and ends the session: after such an error nobody knows where
/// in the stream the next frame begins.
fn protocol_error<T>(output: &mut impl Write, error: WireError) -> Result<T, ServeError> {
    let refusal = Refusal {
        id: SESSION,
        code: RefusalCode::PROTOCOL,
        retryable: error.is_retryable(),
        message: error.to_string(),
    };
    let _ = answer(output, &Message::Refused(refusal));
    Err(error.into())
}

/// A refusal; the request's id is set when it is sent.
fn refusal(code: RefusalCode, retryable: bool, message: impl ToString) -> Refusal {
    Refusal { id: SESSION, code, retryable, message: message.to_string() }
}

/// What an archive can't do, as the sender is told.
pub fn refusal_of(error: &ArchiveError) -> Refusal {
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

fn owner(hello: &Hello) -> Owner {
    Owner {
        system_identifier: hello.system_identifier,
        node_id: hello.node_id.clone(),
        label: hello.label.clone(),
        machine: hello.machine.clone(),
    }
}

fn understood(codec: Codec) -> Result<(), Refusal> {
    match codec {
        Codec::None => Ok(()),
        Codec::Other(number) => {
            Err(refusal(RefusalCode::CODEC, false, format!("codec {number} is not known here")))
        }
    }
}
