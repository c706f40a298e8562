use std::path::{Path, PathBuf};

use super::nonce::are_random_digits;
use crate::ship::wire::{FIRST_OWN_KIND, Fields, Frame, Payload, WireError};

/// A message of a base copy's protocol. These follow the HELLO and WELCOME of all connections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopyMessage {
    /// Near end: what is to be copied; asks whether it is allowed.
    Survey(Survey),
    /// Far end: it is allowed.
    Target(Target),
    /// Near end: the copy begins. The far end writes this token into the target's marker file, where the
    /// near end's rsync must find it.
    Begin(String),
    /// Far end: no server can be started in the target now.
    Begun,
    /// Near end: bytes of a file that the far end writes when it finishes. Those of one file are concatenated.
    Part(Part, Vec<u8>),
    /// Near end: everything was copied and sent.
    Finish,
    /// Far end: the copy is on disk and can be started. The settings that it lacks for a failover.
    Finished(Vec<String>),
    /// Near end: asks which of these WAL files are not in the archive.
    Holds(Vec<String>),
    /// Far end: these are not.
    Missing(Vec<String>),
}

/// What is to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The name of a file that exists in the source's directories during the survey.
    pub nonce: String,
    /// The source's data directory, without symbolic links in its path.
    pub source: PathBuf,
    /// Its tablespaces.
    pub tablespaces: Vec<Tablespace>,
}

/// A tablespace and its path on the other node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tablespace {
    /// Its OID.
    pub oid: u32,
    /// Its directory on the source.
    pub from: PathBuf,
    /// Its directory on the target.
    pub to: PathBuf,
}

/// What the far end reports about its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its data directory.
    pub pgdata: PathBuf,
    /// Whether it contains an older copy, which is updated.
    pub older_copy: bool,
    /// Paths relative to the data directory that belong to the node: archive, logs, configuration files.
    pub own_paths: Vec<PathBuf>,
}

/// A file that is sent over the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `backup_label`.
    Label,
    /// `tablespace_map`.
    TablespaceMap,
    /// `global/pg_control`.
    Control,
}

mod kind {
    use super::FIRST_OWN_KIND;

    pub(super) const SURVEY: u8 = FIRST_OWN_KIND;
    pub(super) const TARGET: u8 = SURVEY + 1;
    pub(super) const BEGIN: u8 = SURVEY + 2;
    pub(super) const BEGUN: u8 = SURVEY + 3;
    pub(super) const PART: u8 = SURVEY + 4;
    pub(super) const FINISH: u8 = SURVEY + 5;
    pub(super) const FINISHED: u8 = SURVEY + 6;
    pub(super) const HOLDS: u8 = SURVEY + 7;
    pub(super) const MISSING: u8 = SURVEY + 8;
}

impl CopyMessage {
    /// The maximum number of names in one `Holds`.
    pub const NAMES: usize = 1000;

    /// The kind of its frame.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            CopyMessage::Survey(_) => kind::SURVEY,
            CopyMessage::Target(_) => kind::TARGET,
            CopyMessage::Begin(_) => kind::BEGIN,
            CopyMessage::Begun => kind::BEGUN,
            CopyMessage::Part(..) => kind::PART,
            CopyMessage::Finish => kind::FINISH,
            CopyMessage::Finished(_) => kind::FINISHED,
            CopyMessage::Holds(_) => kind::HOLDS,
            CopyMessage::Missing(_) => kind::MISSING,
        }
    }

    /// The payload of its frame. Paths must be UTF-8.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let payload = match self {
            CopyMessage::Survey(survey) => {
                let payload = Payload::new().text(&survey.nonce).text(&text_of(&survey.source));
                let count = payload.u32(survey.tablespaces.len() as u32);
                survey.tablespaces.iter().fold(count, |payload, t| {
                    payload.u32(t.oid).text(&text_of(&t.from)).text(&text_of(&t.to))
                })
            }
            CopyMessage::Target(target) => {
                let payload = Payload::new()
                    .text(&text_of(&target.pgdata))
                    .u8(u8::from(target.older_copy))
                    .u32(target.own_paths.len() as u32);
                target.own_paths.iter().fold(payload, |payload, p| payload.text(&text_of(p)))
            }
            CopyMessage::Part(part, bytes) => Payload::new()
                .u8(match part {
                    Part::Label => 1,
                    Part::TablespaceMap => 2,
                    Part::Control => 3,
                })
                .rest(bytes),
            CopyMessage::Holds(texts)
            | CopyMessage::Missing(texts)
            | CopyMessage::Finished(texts) => {
                let payload = Payload::new().u32(texts.len() as u32);
                texts.iter().fold(payload, |payload, name| payload.text(name))
            }
            CopyMessage::Begin(token) => Payload::new().text(token),
            CopyMessage::Begun | CopyMessage::Finish => Payload::new(),
        };
        payload.into_bytes()
    }

    /// Parses a frame.
    ///
    /// # Errors
    /// If the kind is unknown or the payload is malformed.
    pub fn parse(frame: &Frame) -> Result<CopyMessage, WireError> {
        let mut fields = Fields::new(frame.kind, &frame.payload);
        let message = match frame.kind {
            kind::SURVEY => CopyMessage::Survey(Survey {
                nonce: fields.text()?,
                source: absolute(&mut fields)?,
                tablespaces: list(&mut fields, |fields| {
                    let oid = fields.u32()?;
                    Ok(Tablespace { oid, from: absolute(fields)?, to: absolute(fields)? })
                })?,
            }),
            kind::TARGET => CopyMessage::Target(Target {
                pgdata: absolute(&mut fields)?,
                older_copy: flag(&mut fields)?,
                own_paths: list(&mut fields, |fields| Ok(PathBuf::from(fields.text()?)))?,
            }),
            kind::PART => {
                let part = match fields.u8()? {
                    1 => Part::Label,
                    2 => Part::TablespaceMap,
                    3 => Part::Control,
                    _ => return Err(fields.malformed("the part is not known")),
                };
                return Ok(CopyMessage::Part(part, fields.rest().to_vec()));
            }
            kind::HOLDS => CopyMessage::Holds(list(&mut fields, |fields| fields.text())?),
            kind::MISSING => CopyMessage::Missing(list(&mut fields, |fields| fields.text())?),
            kind::BEGIN => {
                let token = fields.text()?;
                if !are_random_digits(&token) {
                    return Err(fields.malformed("the token is not a random id"));
                }
                CopyMessage::Begin(token)
            }
            kind::BEGUN => CopyMessage::Begun,
            kind::FINISH => CopyMessage::Finish,
            kind::FINISHED => CopyMessage::Finished(list(&mut fields, |fields| fields.text())?),
            other => return Err(WireError::UnknownKind(other)),
        };
        fields.finish()?;
        Ok(message)
    }
}

/// A path as a field.
fn text_of(path: &Path) -> String {
    path.display().to_string()
}

fn absolute(fields: &mut Fields) -> Result<PathBuf, WireError> {
    let path = PathBuf::from(fields.text()?);
    if path.is_absolute() { Ok(path) } else { Err(fields.malformed("a path is not absolute")) }
}

fn flag(fields: &mut Fields) -> Result<bool, WireError> {
    match fields.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(fields.malformed("a flag is neither 0 nor 1")),
    }
}

fn list<T>(
    fields: &mut Fields,
    mut item: impl FnMut(&mut Fields) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    // No memory is reserved for the count: it is not checked yet.
    let count = fields.u32()?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(fields)?);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_parsed_as_they_were_sent() {
        let tablespace = Tablespace { oid: 16384, from: "/a".into(), to: "/b".into() };
        let messages = [
            CopyMessage::Survey(Survey {
                nonce: "n".into(),
                source: "/data".into(),
                tablespaces: vec![tablespace],
            }),
            CopyMessage::Target(Target {
                pgdata: "/d".into(),
                older_copy: false,
                own_paths: vec!["archive".into()],
            }),
            CopyMessage::Begin("0123456789abcdef".repeat(2)),
            CopyMessage::Begun,
            CopyMessage::Part(Part::Label, b"START".to_vec()),
            CopyMessage::Part(Part::TablespaceMap, Vec::new()),
            CopyMessage::Part(Part::Control, vec![0; 8192]),
            CopyMessage::Finish,
            CopyMessage::Finished(vec!["archive_mode".into()]),
            CopyMessage::Holds(vec!["000000010000000000000001".into()]),
            CopyMessage::Missing(Vec::new()),
        ];
        for message in messages {
            let frame = Frame { kind: message.kind(), payload: message.payload() };
            assert_eq!(CopyMessage::parse(&frame).unwrap(), message);
        }
    }

    #[test]
    fn malformed_messages_are_refused() {
        let parse = |kind, payload: Vec<u8>| CopyMessage::parse(&Frame { kind, payload });
        assert!(parse(kind::BEGIN, vec![]).is_err());
        assert!(parse(kind::BEGIN, Payload::new().text("a\nb").into_bytes()).is_err());
        assert!(parse(kind::HOLDS, vec![255; 4]).is_err(), "more items than there are bytes");
        let relative = Payload::new().text("n").text("data").u32(0).into_bytes();
        assert!(parse(kind::SURVEY, relative).is_err());
        assert!(parse(kind::PART, vec![9]).is_err());
        assert!(parse(3, Vec::new()).is_err());
    }
}
