//! Shipping of WAL is turned on before the backup begins: the copy requires all WAL from then on.

use std::io;
use std::path::Path;

use super::conversation::Conversation;
use super::{BaseCopy, CopyError, Progress};
use crate::data_directory::missing_program;
use crate::durable;
use crate::server::{ServerError, Session};
use crate::ship::carrier::NodeTransport;
use crate::ship::wire::Purpose;
use crate::ship::{FarCommand, Link, Sender};

/// Fails unless the server's settings archive by archiveWALFile.
pub(crate) fn check_settings(
    session: &mut Session,
    data_directory: &Path,
) -> Result<(), CopyError> {
    const COMMAND: &str = "'../2warm/global/replication/archiveWALFile %p %f'";
    let major = session.major();
    let mut setting = |name| -> Result<String, ServerError> { session.setting(name) };
    if major.has_archive_mode() {
        let value = setting("archive_mode")?;
        if value == "off" {
            let (name, then) = ("archive_mode", "restart");
            return Err(CopyError::Archiving { name, value, wanted: "on", then });
        }
    }
    if major.has_archive_library() {
        let value = setting("archive_library")?;
        if !value.is_empty() {
            let (name, then) = ("archive_library", "reload");
            return Err(CopyError::Archiving { name, value, wanted: "''", then });
        }
    }
    let value = setting("archive_command")?;
    if !value.contains("archiveWALFile") {
        let (name, then) = ("archive_command", "reload");
        return Err(CopyError::Archiving { name, value, wanted: COMMAND, then });
    }
    match missing_program(data_directory, &value) {
        Some(path) => Err(CopyError::ArchiveCommandMissing(path)),
        None => Ok(()),
    }
}

/// Turns shipping on, once the other node has written to its archive.
pub(super) fn start(
    copy: &BaseCopy,
    other: &mut Conversation<'_>,
    session: &mut Session,
) -> Result<(), CopyError> {
    let archive = probe_archive(copy)?;
    match durable::create(&copy.archiving_active, b"") {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e.into()),
        _ => {}
    }
    let from = session.value(session.major().switch_wal())?;
    other.report(Progress::Shipping { archive: &archive, from: &from });
    Ok(())
}

/// Makes the other node's receiveWALFile write to its archive and register this node as its sender.
fn probe_archive(copy: &BaseCopy) -> Result<String, CopyError> {
    let transport = NodeTransport::by_ssh(&copy.reach, FarCommand::ReceiveWalFile)?;
    let mut sender = Sender::new(Link::open(&transport, copy.local_node.hello(Purpose::ShipWal)?)?);
    sender.probe()?;
    let archive = sender.link().welcome().archive.clone();
    sender.close();
    Ok(archive)
}
