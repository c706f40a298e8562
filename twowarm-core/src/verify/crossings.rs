//! Whether the WAL continues from each segment into the next.

use std::collections::HashMap;
use std::io;

use super::lineage::Lineages;
use super::parallel::in_parallel;
use super::segment_file::SegmentFile;
use super::{Finding, FindingKind};
use crate::archive::Archive;
use crate::wal::{StopReason, WalEnd, push_pages};

/// What does not continue: the record that crosses from one segment into the next is checked, and the link of the
/// first record after it.
pub(super) fn findings(
    archive: &Archive,
    files: &[SegmentFile],
    lineages: &Lineages<'_>,
    threads: usize,
) -> Vec<Finding> {
    let mut successors: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut pairs = Vec::new();
    for (index, file) in files.iter().enumerate() {
        if let Some(before) = lineages.predecessor(file) {
            successors.entry(before).or_default().push(index);
            pairs.push((before, index));
        }
    }
    let follow = |&(from, into): &(usize, usize)| {
        let crossing = Crossing { archive, files, successors: &successors };
        crossing.check(from, into).unwrap_or_else(|(file, e)| {
            let why = format!("could not be read: {e}");
            Some(Finding::new(FindingKind::Unreadable, &files[file].name.to_string(), why))
        })
    };
    in_parallel(threads, &pairs, follow, |_| ()).into_iter().flatten().collect()
}

struct Crossing<'a> {
    archive: &'a Archive,
    files: &'a [SegmentFile],
    successors: &'a HashMap<usize, Vec<usize>>,
}

impl Crossing<'_> {
    /// Continues the walk of `from` in `into`, and in the segments after it while they are within one record.
    fn check(&self, from: usize, into: usize) -> Result<Option<Finding>, (usize, io::Error)> {
        let first = &self.files[from];
        let Some(walk) = &first.walk else { return Ok(None) };
        if let Some(stop) = &first.stop {
            // Where another timeline forked that is allowed, but then no segment continues it.
            let is_news = first.findings.is_empty() && self.files[into].segment().is_some();
            return Ok(is_news
                .then(|| self.not_continued(from, into, &format!("its WAL ends at {}", stop.at))));
        }
        // The record begins in an earlier segment, from which it is checked.
        if walk.is_in_unread_record() {
            return Ok(None);
        }
        let (mut walk, mut into) = (walk.clone(), into);
        loop {
            let file = &self.files[into];
            let Some(header) = file.header else { return Ok(None) };
            let Some(next) = walk.into_next(&header, file.segment_name()) else { return Ok(None) };
            walk = next;
            let done = |walk: &crate::wal::SegmentWalk| {
                walk.last_record().is_some_and(|last| last >= header.start())
            };
            let mut open = match self.archive.find(file.name) {
                Ok(Some(open)) => open,
                Ok(None) => return Ok(None),
                Err(e) => return Err((into, io::Error::other(e))),
            };
            push_pages(&mut walk, &mut open, &header, done).map_err(|e| (into, e))?;
            match walk.ended() {
                Some(WalEnd::Stops { why, .. }) => {
                    let is_known = !file.findings.is_empty() || file.stop.is_some();
                    let begins_before = why.record().is_some_and(|at| at < header.start());
                    if is_known && !begins_before {
                        return Ok(None);
                    }
                    return Ok(Some(self.damaged(from, into, why)));
                }
                Some(_) => return Ok(None),
                None if done(&walk) => return Ok(None),
                None => {}
            }
            // All of it is within the record.
            let Some(&next) = self.successors.get(&into).and_then(|next| next.first()) else {
                return Ok(None);
            };
            into = next;
        }
    }

    fn damaged(&self, from: usize, into: usize, why: &StopReason) -> Finding {
        let hint = match why.record() {
            Some(_) => "one of the two is damaged",
            None => "it is damaged, or not the next segment",
        };
        self.not_continued(from, into, &format!("{why}; {hint}"))
    }

    fn not_continued(&self, from: usize, into: usize, why: &str) -> Finding {
        let (from, into) = (self.files[from].name, self.files[into].name.to_string());
        Finding::new(FindingKind::NotContinued, &into, format!("does not continue {from}: {why}"))
    }
}
