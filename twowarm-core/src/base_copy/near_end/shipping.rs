//! Shipping of WAL is turned on before the backup begins: the copy requires all WAL from then on.

use std::io;
use std::path::Path;

use super::conversation::Conversation;
use super::feed::{Feed, probe_archive};
use super::source::Source;
use super::{BaseCopy, CopyError, Progress, TargetRole};
use crate::data_directory::missing_program;
use crate::durable;
use crate::file_error::FileError;
use crate::server::{ServerError, Session};
use crate::ship::wire::Purpose;

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
    if let Some(path) = missing_program(data_directory, &value) {
        return Err(CopyError::ArchiveCommandMissing(path));
    }
    Ok(())
}

/// A DR node gets its WAL from the standby, to which the server must ship already.
pub(super) fn check_active(copy: &BaseCopy) -> Result<(), CopyError> {
    let active = &copy.archiving_active;
    let is_active = || active.try_exists().map_err(FileError::of("look for", active));
    if copy.role == TargetRole::DrNode && !is_active()? {
        return Err(CopyError::ArchivingOff(active.clone()));
    }
    Ok(())
}

/// Makes sure that the WAL of the copy gets to the other node. To the standby the server's archive_command ships it,
/// which is turned on once that node has written to its archive; to a DR node the copy itself does.
pub(super) fn start(
    copy: &BaseCopy,
    other: &mut Conversation<'_>,
    source: &Source,
    session: &mut Session,
) -> Result<(), CopyError> {
    if copy.role == TargetRole::DrNode {
        let (feed, archive) = Feed::open(copy, source)?;
        other.feed(feed);
        other.report(Progress::Feeding { archive: &archive });
        return Ok(());
    }
    let archive = probe_archive(&copy.reach, copy.local_node.hello(Purpose::ShipWal)?)?;
    match durable::create(&copy.archiving_active, b"") {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e.into()),
        _ => {}
    }
    durable::remove(&copy.unreachable_nodes)?;
    let from = session.value(session.major().switch_wal())?;
    other.report(Progress::Shipping { archive: &archive, from: &from });
    Ok(())
}
