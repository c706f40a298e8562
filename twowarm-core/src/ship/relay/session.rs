use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::work::{NextFile, Work};
use super::{POLL, RelayError, RelayProgress, Until};
use crate::ship::shipper::{Acknowledged, Next, Queue};
use crate::ship::wire::Welcome;
use crate::ship::{SendError, Sender, Transport, WalFile};
use crate::wal::{SegmentName, WalFileName};
use crate::watch::{Events, Watcher};

/// How long a connection without files is kept.
const IDLE: Duration = Duration::from_secs(30);
/// How long a missing segment may be late, in seconds: several connections may ship at the same time.
const LATE: u64 = 60;

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// This node has nothing to relay at all.
    Nothing,
    /// Everything has been sent.
    Sent,
    /// It must be looked again what there is.
    Again,
    /// A segment is missing on both nodes, and may still arrive; or the other node can't forget a receipt at the moment.
    Stuck,
}

/// The files of one connection.
pub(super) struct Session<'a, 'b, T> {
    work: &'a mut Work<'b, T>,
    until: Until<'a>,
    /// Set until a file is acknowledged.
    failing: &'a mut Option<Duration>,
    progress: &'a mut dyn FnMut(RelayProgress),
    /// The watcher for the files that come after this segment.
    watch: Option<(SegmentName, Watcher)>,
    idle_since: Instant,
    /// Whether a file has been sent over this connection.
    sent: bool,
    /// Whether segments before the first file are missing.
    after_gap: bool,
    archive: &'a Path,
    end: End,
    failed: Option<RelayError>,
}

impl<'a, 'b, T> Session<'a, 'b, T> {
    pub(super) fn new(
        work: &'a mut Work<'b, T>,
        archive: &'a Path,
        until: Until<'a>,
        failing: &'a mut Option<Duration>,
        progress: &'a mut dyn FnMut(RelayProgress),
    ) -> Session<'a, 'b, T> {
        Session {
            work,
            until,
            failing,
            progress,
            watch: None,
            idle_since: Instant::now(),
            sent: false,
            after_gap: false,
            archive,
            end: End::Sent,
            failed: None,
        }
    }

    /// Why it ended, or what failed on this node.
    pub(super) fn ended(self) -> Result<End, RelayError> {
        self.failed.map_or(Ok(self.end), Err)
    }
}

impl<T: Transport> Session<'_, '_, T> {
    fn file(&mut self, file: WalFile) -> Next {
        self.sent = true;
        self.idle_since = Instant::now();
        Next::File(file)
    }

    fn ends(&mut self, end: End) -> Next {
        self.end = end;
        Next::End
    }

    /// Watches for the next files; false if they have been watched for since the last look.
    fn arm(&mut self) -> bool {
        let position = self.work.position();
        if self.watch.as_ref().is_some_and(|(watched, _)| *watched == position) {
            return false;
        }
        let awaited = self.work.awaited();
        let mut watcher = Watcher::new(awaited.iter().map(PathBuf::as_path), Events::Wanted);
        watcher.arm();
        self.watch = Some((position, watcher));
        true
    }
}

impl<T: Transport> Queue for Session<'_, '_, T> {
    fn next(&mut self, wait: bool) -> Next {
        if self.failed.is_some() || self.end == End::Stuck {
            return Next::End;
        }
        match self.work.next() {
            NextFile::File(file) => return self.file(file),
            // The other node is asked about the gap before the first file of a connection.
            NextFile::AfterGap(_) if self.sent && wait => return self.ends(End::Again),
            NextFile::AfterGap(_) if self.sent => return Next::Nothing,
            NextFile::AfterGap(file) => {
                self.after_gap = true;
                return self.file(file);
            }
            NextFile::Nothing => {}
        }
        match self.until {
            Until::Sent => return Next::End,
            Until::While(is_wanted) if wait && !is_wanted() => return self.ends(End::Again),
            Until::While(_) => {}
        }
        // Otherwise a file that has arrived since the look would be noticed at the next poll.
        if self.arm() || !wait {
            return Next::Nothing;
        }
        if self.work.is_outdated() {
            return self.ends(End::Again);
        }
        if self.sent && self.idle_since.elapsed() >= IDLE {
            return self.ends(End::Again);
        }
        if let Some((_, watcher)) = &mut self.watch {
            watcher.wait(POLL);
        }
        Next::Nothing
    }

    fn connected(&mut self, _: &Welcome) {}

    /// The other node may have more than is recorded: the record is written now and then, and the primary relays to it
    /// while this node is down.
    fn opened(
        &mut self,
        sender: &mut Sender,
        first: WalFile,
    ) -> Result<Option<WalFile>, SendError> {
        let first_unsent = self.work.first_unsent();
        let missing = sender.first_missing(first_unsent)?;
        let is_segment = matches!(first.name, WalFileName::Segment(_));
        match missing {
            Some(missing) if missing.place > first_unsent.place => {
                self.work.skip_to(missing);
                Ok(Some(first).filter(|_| !is_segment))
            }
            _ if self.after_gap => {
                self.end = End::Stuck;
                if self.work.stuck_for() >= LATE {
                    self.failed = Some(RelayError::Gap {
                        archive: self.archive.to_owned(),
                        node: sender.link().node().to_owned(),
                        missing: first_unsent,
                        found: first.name.to_string(),
                    });
                }
                Ok(None)
            }
            _ => Ok(Some(first)),
        }
    }

    fn acknowledged(&mut self, Acknowledged { file, stored, .. }: Acknowledged) {
        if let Err(error) = self.work.acknowledged(&file) {
            self.failed.get_or_insert(error);
        }
        if self.failing.take().is_some() {
            (self.progress)(RelayProgress::Recovered);
        }
        (self.progress)(RelayProgress::Relayed { file, stored });
    }

    fn pause(&mut self, _: &mut Sender) -> Result<(), SendError> {
        if let Err(error) = self.work.record() {
            self.failed.get_or_insert(error);
        }
        Ok(())
    }
}
