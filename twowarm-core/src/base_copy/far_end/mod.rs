//! The far end of a base copy: what receiveBaseCopy does on the node that receives it.

mod begin;
mod checks;
mod connection;
mod error;
mod finish;
mod missing_wal;

use std::io::{Read, Write};
use std::path::PathBuf;

pub use error::FarEndError;

use self::connection::{Connection, Received, unexpected};
use super::{CopyMessage, Part, Survey};
use crate::data_directory::{check_owner, wait_for_orphans};
use crate::identifiers::NodeId;
use crate::lock::{ENDING, wait_for_lock};
use crate::server::Login;
use crate::ship::wire::{Hello, Message, Purpose, RefusalCode, Welcome};
use crate::standby::RecoverySource;

/// A node that receives a base copy over its data directory.
#[derive(Debug, Clone)]
pub struct CopyTarget {
    /// The data directory. It must have been prepared as a standby's.
    pub data_directory: PathBuf,
    /// The archive directory, into which WAL is shipped.
    pub archive: PathBuf,
    /// The node's `local/replication`, which knows the archive's [mark](crate::archive::mark).
    pub local_replication: PathBuf,
    /// The node's `2warm/local`. A configuration file in it replaces the primary's.
    pub local: PathBuf,
    /// The node's id, if it has one, by which it detects that it is the sender itself.
    pub node_id: Option<NodeId>,
    /// How to log in to a server that runs without a postmaster.pid.
    pub login: Login,
    /// The node's recovery settings.
    pub recovery: RecoverySource,
}

impl CopyTarget {
    /// Serves one connection: checks the data directory, makes sure that no server can be started in it,
    /// and finishes it at the end. In between, the near end's rsync writes into it.
    ///
    /// # Errors
    /// If the copy is refused, which the near end is told as well, if a step fails, and if the connection
    /// is lost.
    pub fn serve(&self, input: impl Read, output: impl Write + Send) -> Result<(), FarEndError> {
        let mut near_end = Connection::new(input, output);
        let served = self.serve_connection(&mut near_end);
        if let Err(error) = &served {
            near_end.refuse(error);
        }
        served
    }

    fn serve_connection(
        &self,
        near_end: &mut Connection<impl Read, impl Write + Send>,
    ) -> Result<(), FarEndError> {
        near_end.greet()?;
        let hello = match near_end.receive()? {
            Received::Common(Message::Hello(hello)) => hello,
            other => return Err(other.unexpected()),
        };
        if hello.purpose != Purpose::BaseCopy {
            let message = "receiveBaseCopy receives base copies, not WAL";
            return Err(FarEndError::refusal(RefusalCode::PURPOSE, message));
        }
        if self.node_id.as_ref() == Some(&hello.node_id) {
            let message = "both nodes have the same node_id, so the copy would overwrite its source. HINT: if these are two nodes, remove 2warm/local/replication/node_id on the one that receives the copy";
            return Err(FarEndError::refusal(RefusalCode::SELF, message));
        }
        check_owner(&self.data_directory)?;
        near_end.send(&Message::Welcome(Welcome {
            label: self.data_directory.display().to_string(),
            archive: self.archive.display().to_string(),
            ..Welcome::default()
        }))?;
        let survey = match near_end.receive()? {
            Received::Copy(CopyMessage::Survey(survey)) => survey,
            other => return Err(other.unexpected()),
        };
        // Before the lock: if this is the source, its near end holds the lock.
        checks::is_not_the_source(&self.data_directory, &survey)?;
        // Held to the end: one copy at a time.
        let _lock = near_end.while_working(|| wait_for_lock(&self.data_directory, ENDING))?;
        near_end.while_working(|| wait_for_orphans(&self.data_directory, ENDING))?;
        let target = near_end.while_working(|| checks::check(self, &hello, &survey))?;
        near_end.send_copy(&CopyMessage::Target(target))?;
        Incoming { target: self, hello, survey, parts: Parts::default() }.receive(near_end)
    }
}

/// A copy that is allowed.
struct Incoming<'a> {
    target: &'a CopyTarget,
    hello: Hello,
    survey: Survey,
    parts: Parts,
}

/// The files that are sent over the connection, not by rsync.
#[derive(Default)]
struct Parts {
    label: Vec<u8>,
    tablespace_map: Vec<u8>,
    control: Vec<u8>,
}

impl Incoming<'_> {
    fn receive(
        mut self,
        near_end: &mut Connection<impl Read, impl Write + Send>,
    ) -> Result<(), FarEndError> {
        let pgdata = &self.target.data_directory;
        let mut begun = false;
        loop {
            let message = match near_end.receive()? {
                Received::Copy(message) => message,
                Received::Common(Message::Working) => continue,
                Received::Common(Message::Goodbye) => return Ok(()),
                other => return Err(other.unexpected()),
            };
            match message {
                CopyMessage::Begin(token) => {
                    near_end
                        .while_working(|| begin::begin(pgdata, &self.hello, &self.survey, token))?;
                    begun = true;
                    near_end.send_copy(&CopyMessage::Begun)?;
                }
                CopyMessage::Part(part, bytes) if begun => self.parts.add(part, &bytes),
                CopyMessage::Finish if begun => {
                    let lacks = near_end.while_working(|| finish::finish(&self))?;
                    near_end.send_copy(&CopyMessage::Finished(lacks))?;
                }
                CopyMessage::Holds(names) => {
                    let missing = missing_wal::missing(&self.target.archive, names, &self.hello)?;
                    near_end.send_copy(&CopyMessage::Missing(missing))?;
                }
                other => return Err(unexpected(other.kind())),
            }
        }
    }
}

impl Parts {
    fn add(&mut self, part: Part, bytes: &[u8]) {
        match part {
            Part::Label => self.label.extend(bytes),
            Part::TablespaceMap => self.tablespace_map.extend(bytes),
            Part::Control => self.control.extend(bytes),
        }
    }
}
