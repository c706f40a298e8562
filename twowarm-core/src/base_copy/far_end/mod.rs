//! The far end of a base copy: what receiveBaseCopy does.

mod arrived;
mod error;
mod examine;
mod own_tablespaces;
mod place;
mod talk;

use std::io::{Read, Write};
use std::path::PathBuf;

pub use error::FarEndError;

use self::talk::Talk;
use super::{CopyMessage, Part, Survey};
use crate::data_directory::{check_owner, lock_directory};
use crate::node::Install;
use crate::ship::wire::{Hello, Message, Purpose, RefusalCode, Welcome};
use crate::standby::lacks_for_failover;

/// Serves one connection: looks at the target, makes it unable to start, and at the end finishes it.
/// Between the two the near end's rsync writes into it.
///
/// What is refused is told to the near end, and is the error returned.
pub fn serve(
    install: &Install,
    input: impl Read,
    output: impl Write + Send,
) -> Result<(), FarEndError> {
    let mut talk = Talk::new(input, output);
    let served = serve_session(install, &mut talk);
    if let Err(error) = &served {
        talk.refuse(error);
    }
    served
}

fn serve_session(
    install: &Install,
    talk: &mut Talk<impl Read, impl Write + Send>,
) -> Result<(), FarEndError> {
    talk.greet()?;
    let hello = match talk.receive()? {
        talk::Received::Common(Message::Hello(hello)) => hello,
        other => return Err(other.unexpected()),
    };
    if hello.purpose != Purpose::BaseCopy {
        return Err(FarEndError::refusal(
            RefusalCode::PURPOSE,
            "this is no command to ship WAL with",
        ));
    }
    if hello.node_id == install.node_id()? {
        let itself = "it would copy to itself: both nodes have the same 2warm/local/replication/node_id. If they are two, remove the file on the one that receives";
        return Err(FarEndError::refusal(RefusalCode::SELF, itself));
    }
    let pgdata = install.require_pgdata()?;
    check_owner(pgdata)?;
    let archive = install.require_archive()?.to_owned();
    talk.send(&Message::Welcome(Welcome {
        label: pgdata.display().to_string(),
        archive: archive.display().to_string(),
        codecs: 0,
    }))?;
    let survey = match talk.receive()? {
        talk::Received::Copy(CopyMessage::Survey(survey)) => survey,
        other => return Err(other.unexpected()),
    };
    examine::not_the_source(pgdata, &survey)?;
    // Held to the end: one copy at a time.
    let _lock = lock_directory(pgdata)?;
    let target = talk.while_working(|| examine::examine(install, &hello, &survey))?;
    talk.send_copy(&CopyMessage::Target(target))?;
    let copy = Copy { install, hello, survey, archive, parts: Parts::default() };
    copy.receive(talk)
}

/// A copy that was allowed.
struct Copy<'a> {
    install: &'a Install,
    hello: Hello,
    survey: Survey,
    archive: PathBuf,
    parts: Parts,
}

/// The files that come through the connection rather than by rsync.
#[derive(Default)]
struct Parts {
    label: Vec<u8>,
    tablespace_map: Vec<u8>,
    control: Vec<u8>,
}

impl Copy<'_> {
    fn receive(mut self, talk: &mut Talk<impl Read, impl Write + Send>) -> Result<(), FarEndError> {
        let mut begun = false;
        loop {
            let message = match talk.receive()? {
                talk::Received::Copy(message) => message,
                talk::Received::Common(Message::Working) => continue,
                talk::Received::Common(Message::Goodbye) => return Ok(()),
                other => return Err(other.unexpected()),
            };
            match message {
                CopyMessage::Begin(token) => {
                    talk.while_working(|| {
                        place::begin(self.install, &self.hello, &self.survey, token)
                    })?;
                    begun = true;
                    talk.send_copy(&CopyMessage::Begun)?;
                }
                CopyMessage::Part(part, bytes) if begun => self.parts.add(part, &bytes),
                CopyMessage::Finish if begun => {
                    talk.while_working(|| {
                        place::finish(self.install, &self.hello, &self.survey, &self.parts)
                    })?;
                    let pgdata = self.install.require_pgdata()?;
                    let lacks = lacks_for_failover(pgdata, self.hello.major);
                    talk.send_copy(&CopyMessage::Finished(lacks))?;
                }
                CopyMessage::Holds(names) => {
                    let missing = arrived::missing(&self.archive, names, &self.hello)?;
                    talk.send_copy(&CopyMessage::Missing(missing))?;
                }
                other => return Err(talk::unexpected(other.kind())),
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
