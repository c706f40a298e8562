//! The WAL of a copy for a DR node. No archive_command ships to it while there is a standby, so the copy does.

use std::path::PathBuf;

use super::source::Source;
use super::{BaseCopy, CopyError};
use crate::archive::Archive;
use crate::data_directory::Role;
use crate::reach::Reach;
use crate::ship::carrier::NodeTransport;
use crate::ship::wire::{Hello, Purpose};
use crate::ship::{Checks, FarCommand, Link, Sender, ShipError, WalFile, check};
use crate::wal::{SegmentLayout, SegmentName, WalFileName};

/// How many segments are shipped at a time: meanwhile the far end of the copy is not told that it continues.
const AT_A_TIME: usize = 2;

/// Ships the WAL of a backup to the archive of a DR node: from a primary's WAL directory, from a standby's archive.
pub(super) struct Feed {
    transport: NodeTransport,
    hello: Hello,
    directory: PathBuf,
    /// Where the server tells which of the files are complete. Those of an archive are.
    status: Option<PathBuf>,
    layout: SegmentLayout,
    /// The next segment to ship while the files are copied, once the backup has begun.
    next: Option<SegmentName>,
}

impl Feed {
    /// Also makes sure that the DR node's archive accepts this WAL; returns the archive's path there. On a standby,
    /// the WAL of the copy is kept in its archive from now on.
    pub(super) fn open(copy: &BaseCopy, source: &Source) -> Result<(Feed, String), CopyError> {
        let (hello, directory, status) = match source.role {
            Role::Primary => {
                let wal = source.data_directory.join(source.major.wal_directory());
                (
                    copy.local_node.hello(Purpose::ShipWal)?,
                    wal.clone(),
                    Some(wal.join("archive_status")),
                )
            }
            Role::Standby => (relayed(copy, source)?, copy.archive.clone(), None),
        };
        let transport = NodeTransport::by_ssh(&copy.reach, FarCommand::ReceiveWalFile)?;
        let archive = probe_archive(&copy.reach, hello.clone())?;
        let feed = Feed { transport, hello, directory, status, layout: source.layout, next: None };
        Ok((feed, archive))
    }

    /// The backup begins in this segment. The history of its timeline is shipped first.
    pub(super) fn begin(&mut self, first: SegmentName) -> Result<(), ShipError> {
        self.next = Some(first);
        self.ship(&[WalFileName::History(first.timeline)])
    }

    /// Ships some of the segments that were completed since the last call. A server recycles them after a while. What
    /// fails here is tried again by [`Feed::ship`].
    pub(super) fn ship_next(&mut self) {
        let Some(next) = self.next else { return };
        let names = std::iter::successors(Some(next), |name| self.layout.next(*name));
        let names: Vec<SegmentName> = names
            .take(AT_A_TIME)
            .take_while(|name| self.has(WalFileName::Segment(*name)))
            .collect();
        let Some(last) = names.last() else { return };
        let files: Vec<WalFileName> = names.iter().copied().map(WalFileName::Segment).collect();
        match self.ship(&files) {
            Ok(()) => self.next = self.layout.next(*last),
            Err(error) => log::debug!("{error}"),
        }
    }

    /// Ships those of these files that are here.
    pub(super) fn ship(&self, names: &[WalFileName]) -> Result<(), ShipError> {
        let here = names.iter().filter(|name| self.has(**name));
        let files: Vec<WalFile> = here
            .map(|&name| WalFile { name, path: self.directory.join(name.to_string()) })
            .collect();
        if files.is_empty() {
            return Ok(());
        }
        let link = Link::open(&self.transport, self.hello.clone())?;
        let mut sender = Sender::new(link);
        for file in files {
            check(&file, &self.hello, Checks { records: true, ship_damaged: false })?;
            sender.send(file.name, &file.path)?;
        }
        sender.close();
        Ok(())
    }

    /// Whether the file is here and complete.
    fn has(&self, name: WalFileName) -> bool {
        let is_complete = self.status.as_ref().is_none_or(|status| {
            matches!(name, WalFileName::History(_))
                || ["ready", "done"]
                    .iter()
                    .any(|state| status.join(format!("{name}.{state}")).exists())
        });
        is_complete && self.directory.join(name.to_string()).exists()
    }
}

/// How WAL from a standby's archive is presented: as that of the primary that wrote it. It is kept there for the DR
/// node from the last restart point on, which is where a backup of the standby begins.
fn relayed(copy: &BaseCopy, source: &Source) -> Result<Hello, CopyError> {
    let archive = Archive::open(&copy.archive)?;
    let origin =
        archive.binding()?.ok_or_else(|| CopyError::NothingReceived(copy.archive.clone()))?;
    archive.restart_consumer(&copy.reach.node, source.redo_segment()?)?;
    let own = copy.local_node.hello(Purpose::ShipWal)?;
    Ok(Hello {
        relayed_by: Some(own.node_id),
        node_id: origin.node_id,
        label: origin.label,
        machine: origin.machine,
        ..own
    })
}

/// Makes the other node's receiveWALFile write to its archive and register the sender of the WAL; returns the
/// archive's path there.
pub(super) fn probe_archive(reach: &Reach, hello: Hello) -> Result<String, CopyError> {
    let transport = NodeTransport::by_ssh(reach, FarCommand::ReceiveWalFile)?;
    let mut sender = Sender::new(Link::open(&transport, hello)?);
    sender.probe()?;
    let archive = sender.link().welcome().archive.clone();
    sender.close();
    Ok(archive)
}
