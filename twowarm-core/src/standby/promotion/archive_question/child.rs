//! What the child process does: it completes the archive and looks at it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::super::{PromotionError, damage, fetch_first, own_wal, receipt_check};
use super::{Line, Question};
use crate::archive::{Archive, Given, OtherArchive, check_mark};
use crate::data_directory::{identity, running_server};
use crate::file_error::FileError;
use crate::restore::RecoveryMemory;
use crate::timelines::Timelines;
use crate::wal::{ControlFile, SegmentInHistory, WalFileName};

/// Does what the question asks for.
pub(super) fn answer(
    question: &Question,
    others: impl FnOnce() -> Vec<Arc<dyn OtherArchive>>,
    tell: &mut dyn FnMut(Line),
) -> Result<(), PromotionError> {
    let Question { data_directory, archive: directory, mark_directory, .. } = question;
    check_mark(directory, mark_directory)?;
    let archive = Archive::open(directory)?;
    let given = given(data_directory)?;
    if let Some(control) = identity(data_directory)?.and_then(|cluster| cluster.control) {
        let keep_until = Instant::now() + question.keep_for;
        if let Some(left) = question.left {
            // Segments of the old timeline from after the fork, which were streamed, are not part of the new history.
            if let Some(begun) = own_wal::begun_timeline(&archive, left, data_directory)? {
                let (history, keep) = ((&begun, left), &mut *tell);
                own_wal::keep_segments(
                    &archive,
                    history,
                    &control,
                    data_directory,
                    keep_until,
                    keep,
                )?;
                own_wal::keep_new_timeline(&archive, &begun, &control, data_directory, tell)?;
            }
        } else {
            complete_and_check(question, others, &archive, given, &control, keep_until, tell)?;
        }
    }
    let names = fs::read_dir(directory).map_err(FileError::of("list", directory))?.flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| is_set_aside(name)).for_each(|name| tell(Line::SetAside(name)));
    Ok(())
}

fn complete_and_check(
    question: &Question,
    others: impl FnOnce() -> Vec<Arc<dyn OtherArchive>>,
    archive: &Archive,
    given: Given,
    control: &ControlFile,
    keep_until: Instant,
    tell: &mut dyn FnMut(Line),
) -> Result<(), PromotionError> {
    let Question { data_directory, archive: directory, .. } = question;
    let history = own_wal::replayed_history(directory, given, control, data_directory)?;
    if question.keep_for > Duration::ZERO {
        let whole = (&history, history.timeline());
        own_wal::keep_segments(archive, whole, control, data_directory, keep_until, tell)?;
    }
    if question.fetch_for > Duration::ZERO {
        let server = (control, data_directory.as_path());
        fetch_first::fetch(archive, &history, given, server, &others(), question.fetch_for, tell)?;
    }
    tell(Line::Timeline(history.timeline()));
    if question.check_for > Duration::ZERO {
        let until = Instant::now() + question.check_for;
        let checked = damage::check(archive, given, control, data_directory, until)?;
        checked.damage.into_iter().for_each(|damage| tell(Line::Damage(damage)));
        checked.unchecked.into_iter().for_each(|segment| tell(Line::Unchecked(segment)));
    }
    // Before 9.2 no file of the server tells that it follows a newer timeline, until its next restart point.
    let newer = Timelines::new(directory, Some(data_directory)).followable(control)?;
    let newer = newer.filter(|newer| history.timeline() < newer.timeline);
    newer.into_iter().for_each(|newer| tell(Line::Newer(newer)));
    let gap = archive.gap_of_standby(given, control, data_directory)?;
    gap.into_iter().for_each(|gap| tell(Line::Gap(gap)));
    let receipt =
        receipt_check::check(archive, history.timeline(), given, control, data_directory)?;
    receipt.into_iter().for_each(|receipt| tell(Line::Receipt(receipt)));
    let layout = control.layout();
    let is_own = |name: &_| history.locate(*name, layout) == SegmentInHistory::Included;
    let own = archive.segments()?.into_iter().filter(is_own);
    if let Some(last) = own.max_by_key(|name| name.place) {
        tell(Line::Last(last));
        // The receiver keeps the time of the primary's file.
        let modified = fs::metadata(archive.path_of(WalFileName::Segment(last)));
        let modified = modified.and_then(|found| found.modified()).ok();
        let seconds = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        seconds.into_iter().for_each(|seconds| tell(Line::Finished(seconds.as_secs())));
    }
    Ok(())
}

/// What the standby's server was given since it started, as far as restoreWALFile recorded it.
fn given(data_directory: &Path) -> Result<Given, FileError> {
    let memory = RecoveryMemory::of(data_directory);
    Ok(match memory.restored() {
        Some(segment) => Given::Segment(segment),
        // Another program is its restore_command.
        None if memory.mode().is_none() && running_server(data_directory)?.is_some() => {
            Given::Unknown
        }
        None => Given::Nothing,
    })
}

/// A copy of a damaged segment that was restored, or a file whose content did not match its name.
fn is_set_aside(name: &str) -> bool {
    [".corrupt", ".foreign"].iter().any(|mark| name.contains(mark)) && !name.contains('\n')
}
