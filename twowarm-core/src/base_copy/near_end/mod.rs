//! The near end of a base copy: what copyToStandby and copyToDR do on the node that is copied.

mod changes;
mod conversation;
mod copying;
mod error;
mod feed;
mod files;
mod losses;
mod plan;
mod progress;
mod same_target;
mod shipping;
mod source;
mod wal_arrival;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use changes::Changes;
pub use error::CopyError;
pub use losses::CopyLosses;
pub use progress::{ArchiverFailure, Callbacks, Progress, Signals, Wait};
pub(crate) use shipping::check_settings;

use self::conversation::Conversation;
use self::copying::Copying;
use self::source::Source;
use super::{Nonce, Survey, map_tablespaces, tablespace_links};
use crate::data_directory::{Role, check_owner, lock_directory};
use crate::reach::Reach;
use crate::rsync::Remote;
use crate::server::Login;
use crate::ship::LocalNode;

/// A base copy of this node's running server, made over the data directory of another node: of a primary, and for a DR
/// node also of a standby, if its version takes a backup of one (9.6 and later).
///
/// The other node must have been prepared as a standby. From the beginning of the copy to its end its data
/// directory has no pg_control, so that no server can be started in it by mistake. A copy that was
/// interrupted is continued by the next one.
///
/// ```no_run
/// use twowarm_core::base_copy::{BaseCopy, Callbacks, CopyError, Progress};
///
/// fn copy(copy: &BaseCopy) -> Result<(), CopyError> {
///     copy.run(Callbacks {
///         progress: &mut |progress| match progress {
///             Progress::Copied { bytes, .. } => println!("{bytes} bytes"),
///             other => println!("{other:?}"),
///         },
///         // Files there that are not part of the cluster are never deleted.
///         agree: &mut |_losses| false,
///         signals: &mut (),
///     })
/// }
/// ```
#[derive(Debug, Clone)]
pub struct BaseCopy {
    /// This node; its data directory is copied.
    pub local_node: LocalNode,
    /// How to log in to its server.
    pub login: Login,
    /// This node's archive directory, which is not copied.
    pub archive: PathBuf,
    /// The file whose existence turns shipping on. It is created once the other node's archive was written
    /// to.
    pub archiving_active: PathBuf,
    /// The file in which archiveWALFile remembers nodes that it could not reach. It is removed once the other node answers, so
    /// that the WAL of the copy is shipped there at once.
    pub unreachable_nodes: PathBuf,
    /// Where postgresql.conf is saved, for the time when this node becomes a standby.
    pub saved_configuration: PathBuf,
    /// The other node.
    pub reach: Reach,
    /// What the other node becomes.
    pub role: TargetRole,
    /// Tablespace directories of this node whose path differs on the other node, and that path.
    pub tablespaces: BTreeMap<PathBuf, PathBuf>,
    /// How many bytes of files are sent per second, if that is limited.
    pub rate_limit: Option<u64>,
    /// Only report what the copy would change, on either node.
    pub dry_run: bool,
    /// The wait for the WAL of the backup fails if no WAL file arrives for this long. A server repeats a
    /// failed archive_command after a minute.
    pub wal_time_limit: Duration,
}

/// What a node becomes by a base copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetRole {
    /// The standby, to which the primary's archive_command ships WAL.
    Standby,
    /// The disaster-recovery node, which gets its WAL from the standby.
    DrNode,
}

impl TargetRole {
    /// The command that makes this copy.
    pub(super) fn command(self) -> &'static str {
        match self {
            TargetRole::Standby => "copyToStandby",
            TargetRole::DrNode => "copyToDR",
        }
    }
}

impl BaseCopy {
    /// Makes the copy; returns when it and all WAL that it requires are on the other node.
    ///
    /// # Errors
    /// If this node is neither a primary that ships its WAL nor, for a DR node, a standby, if the other node refuses the copy, if the losses
    /// were not agreed to, and if a step fails.
    pub fn run(&self, callbacks: Callbacks<'_>) -> Result<(), CopyError> {
        let Callbacks { progress, agree, signals } = callbacks;
        let data_directory = &self.local_node.data_directory;
        check_owner(data_directory)?;
        let _lock = lock_directory(data_directory)?;
        let examined =
            progress::wait(Wait::Answer, progress, &mut || Ok(()), || Source::examine(self))?;
        let (source, mut session) = examined?;
        let links = tablespace_links(&source.data_directory)?;
        source.check_links(&links)?;
        let tablespaces = map_tablespaces(&links, &self.tablespaces)?;

        let own_directories = links.iter().map(|(_, path)| path.clone());
        let own_directories = std::iter::once(source.data_directory.clone()).chain(own_directories);
        let nonce = Nonce::create(own_directories.collect())?;
        let mut other = Conversation::open(self, progress, signals)?;
        let target = other.survey(Survey {
            nonce: nonce.name().to_owned(),
            source: source.data_directory.clone(),
            tablespaces: tablespaces.clone(),
        })?;
        drop(nonce);
        other.report(Progress::Allowed {
            source: &source.data_directory,
            major: source.major,
            target: &target,
            tablespaces: &tablespaces,
        });
        let remote = Remote::new(self.reach.clone());
        let copying = Copying { copy: self, source: &source, remote: &remote, target, tablespaces };
        if self.dry_run {
            copying.dry_run(&mut other)?;
            other.close();
            return Ok(());
        }
        copying.obtain_agreement(&mut other, agree)?;
        if source.role == Role::Primary {
            source.save_configuration(&self.saved_configuration)?;
            other.report(Progress::ConfigurationSaved(&self.saved_configuration));
        }
        shipping::start(self, &mut other, &source, &mut session)?;
        let backup = copying.run(&mut other, session)?;
        wal_arrival::wait_for(self, &mut other, &source, &backup)?;
        other.close();
        Ok(())
    }
}
