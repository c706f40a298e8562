//! A node that was promoted takes over the archives of the others: its timeline history file moves their bindings.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{Archive, ArchiveError, Binding, Machines, NotASuccessor};
use crate::data_directory::{Reached, Role};
use crate::file_error::FileError;
use crate::lock::open_lock_file;
use crate::timelines::{Timelines, can_follow};
use crate::wal::{
    ControlFile, SegmentInHistory, SegmentLayout, TimelineHistory, TimelineId, WalFileName,
};

/// What an archive and its node have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<'a> {
    /// The files of the archive.
    pub(crate) names: &'a [WalFileName],
    /// The histories of the archive and of the server's WAL directory.
    pub(crate) histories: &'a [TimelineHistory],
    /// The newest timeline of which the archive's sender has shipped a file; `None` if that is not known.
    pub(crate) shipped: Option<TimelineId>,
    /// The node's cluster.
    pub(crate) node: Option<NodeCluster<'a>>,
}

/// The cluster of the node whose archive is to be taken over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeCluster<'a> {
    /// Its pg_control.
    pub(crate) control: &'a ControlFile,
    /// Whether its data directory is that of a primary or a standby.
    pub(crate) role: Role,
}

/// Whether a node that was promoted to the timeline of this history may send to an archive that belongs to another
/// node.
pub(crate) fn check_succession(
    history: &TimelineHistory,
    layout: SegmentLayout,
    held: Held<'_>,
) -> Result<(), NotASuccessor> {
    let new = history.timeline();
    let reached = held.node.map(|node| Reached::of(node.control));
    let names = held.names.iter().map(|name| name.timeline());
    let known = names.chain(reached.map(|reached| reached.timeline));
    let newest = known.clone().max().ok_or(NotASuccessor::NothingToCompare)?;
    if newest > new {
        return Err(NotASuccessor::NotNewer(newest));
    }
    // The node may have fetched or streamed the new timeline. But if its sender has shipped it, that is the promoted node.
    if held.shipped.map_or(newest == new, |shipped| shipped >= new) {
        return Err(NotASuccessor::NotNewer(new));
    }
    // This node was promoted itself, and the sender is a clone of it.
    if held.node.is_some_and(|node| node.role == Role::Primary)
        && reached.is_some_and(|reached| reached.timeline == new)
    {
        return Err(NotASuccessor::NotNewer(new));
    }
    for other in held.histories.iter().filter(|other| other.timeline() == new) {
        if !have_same_ancestors(history, other, None) {
            return Err(NotASuccessor::Unrelated(new));
        }
    }
    let before = known.filter(|&timeline| timeline < new).max();
    let Some(parent) = before else { return Ok(()) };
    let own = held.histories.iter().find(|other| other.timeline() == parent);
    if !history.is_ancestor(parent)
        || own.is_some_and(|own| !have_same_ancestors(history, own, Some(parent)))
    {
        return Err(NotASuccessor::Unrelated(parent));
    }
    let past = held.names.iter().find_map(|name| match *name {
        WalFileName::Segment(segment) | WalFileName::Partial(segment)
            if segment.timeline == parent
                && history.locate(segment, layout) == SegmentInHistory::PastFork =>
        {
            Some(segment)
        }
        _ => None,
    });
    if let Some(segment) = past {
        return Err(NotASuccessor::Lost(segment));
    }
    match (held.node, reached) {
        (Some(node), Some(Reached { position, timeline }))
            if timeline < new && !can_follow(node.control, history) =>
        {
            Err(NotASuccessor::Replayed { timeline, position })
        }
        _ => Ok(()),
    }
}

/// Whether both have the same ancestors, those of `a` only before `timeline`.
fn have_same_ancestors(
    a: &TimelineHistory,
    b: &TimelineHistory,
    timeline: Option<TimelineId>,
) -> bool {
    let before = |ancestor: TimelineId| timeline.is_none_or(|timeline| ancestor < timeline);
    let of_a = a.ancestors().iter().filter(|ancestor| before(ancestor.timeline));
    of_a.map(|ancestor| (ancestor.timeline, ancestor.ends))
        .eq(b.ancestors().iter().map(|ancestor| (ancestor.timeline, ancestor.ends)))
}

/// How long the sender must stay the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SenderLock {
    /// While a file of the sender is stored. Others may do the same.
    Store,
    /// While the sender may change.
    Change,
}

impl Archive {
    /// Locks the archive's sender, so that no file of a former sender gets its name after a takeover has looked what
    /// the archive has. `None` if the file system has no locks, and the sender is not to change.
    pub(crate) fn lock_sender(
        &self,
        kind: SenderLock,
    ) -> Result<Option<Flock<File>>, ArchiveError> {
        let path: PathBuf = self.path().join(".owner.lock");
        let file = open_lock_file(&path)?;
        let arg = match kind {
            SenderLock::Store => FlockArg::LockShared,
            SenderLock::Change => FlockArg::LockExclusive,
        };
        match Flock::lock(file, arg) {
            Ok(locked) => Ok(Some(locked)),
            Err((_, Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS))
                if kind == SenderLock::Store =>
            {
                Ok(None)
            }
            Err((_, e)) => Err(FileError::of("lock", &path)(e).into()),
        }
    }

    /// Binds the archive to a sender that ships the history of its timeline: to the archive's sender as
    /// [`bind`](Archive::bind), or to another node that was promoted. The caller has locked the sender for a
    /// [change](SenderLock::Change).
    ///
    /// # Errors
    /// If it is bound to another sender whose WAL the history does not continue.
    pub(crate) fn bind_by_history(
        &self,
        sender: &Binding,
        machines: Machines,
        history: &TimelineHistory,
        layout: SegmentLayout,
        data_directory: Option<&Path>,
        node: Option<NodeCluster<'_>>,
    ) -> Result<(), ArchiveError> {
        let timeline = history.timeline();
        loop {
            let refused = match self.bind(sender, machines) {
                Err(
                    e @ (ArchiveError::AnotherSender { .. }
                    | ArchiveError::AnotherId { .. }
                    | ArchiveError::Promoted { .. }),
                ) => e,
                bound => return bound,
            };
            let Some(bound) = self.binding()? else { continue };
            let names = self.names()?;
            let histories = Timelines::new(self.path(), data_directory).all()?;
            let held = Held { names: &names, histories: &histories, shipped: bound.timeline, node };
            match check_succession(history, layout, held) {
                Ok(()) => {}
                // Who sends here was promoted after it.
                Err(NotASuccessor::NotNewer(_))
                    if matches!(refused, ArchiveError::Promoted { .. }) =>
                {
                    return Err(refused);
                }
                Err(why) => {
                    return Err(ArchiveError::NotASuccessor {
                        archive: self.path().to_owned(),
                        bound: bound.label,
                        sender: sender.label.clone(),
                        timeline,
                        why,
                    });
                }
            }
            let new = Binding { former: Some(bound.label.clone()), ..sender.clone() };
            if self.rebind(&bound, &new)? {
                log::warn!(
                    "{} was promoted (timeline {timeline}) and takes over archive \"{}\", which belonged to {}",
                    sender.label,
                    self.path().display(),
                    bound.label
                );
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::Lsn;

    const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/15/pg_control");

    /// The verdict on a history of timeline 2 that forked in segment 5, for a node that has replayed timeline 1 or another
    /// one up to a position in half segments.
    fn verdict(role: Role, timeline: u32, halves: u64) -> Result<(), NotASuccessor> {
        let mut control = ControlFile::parse(&std::fs::read(SAMPLE).unwrap()).unwrap();
        let size = control.segment_size.bytes();
        control.timeline = TimelineId::new(timeline).unwrap();
        control.min_recovery_point = None;
        control.min_recovery_timeline = None;
        control.checkpoint = Lsn(halves * size / 2);
        let text = format!("1\t{}\tx\n", Lsn(5 * size + 4096));
        let second = TimelineId::new(2).unwrap();
        let history = TimelineHistory::parse(second, text.as_bytes()).unwrap();
        let node = Some(NodeCluster { control: &control, role });
        let held = Held { names: &[], histories: &[], shipped: TimelineId::new(1).ok(), node };
        check_succession(&history, control.layout(), held)
    }

    #[test]
    fn a_node_that_has_replayed_past_the_fork_cannot_follow() {
        assert_eq!(verdict(Role::Standby, 1, 9), Ok(()));
        assert_eq!(verdict(Role::Standby, 1, 10), Ok(()));
        for past in [11, 18] {
            let replayed = verdict(Role::Standby, 1, past);
            assert!(matches!(replayed, Err(NotASuccessor::Replayed { .. })), "{replayed:?}");
        }
        // It follows the new timeline already, by streaming. A primary there is the promoted node itself.
        assert_eq!(verdict(Role::Standby, 2, 18), Ok(()));
        for (role, timeline) in [(Role::Primary, 2), (Role::Standby, 3)] {
            let known = TimelineId::new(timeline).unwrap();
            assert_eq!(verdict(role, timeline, 18), Err(NotASuccessor::NotNewer(known)));
        }
    }
}
