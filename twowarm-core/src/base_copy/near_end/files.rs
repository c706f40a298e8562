use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use super::conversation::Conversation;
use super::plan::Job;
use super::{CopyError, Progress};
use crate::limits::each_message;
use crate::rsync::{Event, Outcome, Remote, Transfer};

/// No owners, which only root could set; no devices and sockets, which a data directory does not need. In place, so that
/// a large file needs no space for a second copy.
const OPTIONS: [&str; 4] = ["-rlpt", "--inplace", "--info=progress2", "--checksum"];

/// Of the first attempt where there is no older copy: no checksum is needed for what has to be sent anyway. Otherwise
/// files are compared by checksum: a server changes files without changing their size, and faster than the resolution of
/// the file system's time.
const FIRST_COPY: [&str; 4] = ["-rlpt", "--inplace", "--info=progress2", "--ignore-times"];

/// A line for each file: what is changed, and the size. Without it unchanged files are missing in rsync's own progress.
const EACH_FILE: [&str; 2] = ["-ii", "--out-format==%i %l"];

/// rsync reports a file that is truncated while it is read as an error; the next attempt copies it.
const ATTEMPTS: u32 = 3;

/// How often the connection to the far end is kept alive.
const TICK: Duration = Duration::from_secs(1);

/// Runs several rsyncs at once.
pub(super) struct FileCopy<'a> {
    pub remote: &'a Remote,
    /// How many run at a time.
    pub streams: usize,
    /// How many bytes they send per second together, if that is limited.
    pub rate_limit: Option<u64>,
    /// Whether the target contains an older copy.
    pub older_copy: bool,
}

/// What happened in a job.
enum Happened {
    Progress(JobProgress),
    Line(String),
    Retrying(String),
    Ended(Result<(), CopyError>),
}

/// How far a job is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct JobProgress {
    /// The size of the files that are new or have changed, as far as they were sent.
    changed: u64,
    /// The size of the files that were found unchanged.
    unchanged: u64,
    files_left: Option<u64>,
}

impl JobProgress {
    fn bytes(&self) -> u64 {
        self.changed + self.unchanged
    }
}

/// The size of a file that is unchanged, from its line; 0 for another line of this kind, `None` for any other output.
fn unchanged_bytes(line: &str) -> Option<u64> {
    let (change, size) = line.strip_prefix('=')?.split_once(' ')?;
    let is_unchanged = change.starts_with(".f");
    Some(if is_unchanged { size.trim_start().parse().unwrap_or(0) } else { 0 })
}

/// Another job has failed.
#[derive(Debug, thiserror::Error)]
#[error("the copy has failed")]
struct Abandoned;

impl FileCopy<'_> {
    /// Runs all jobs, in this order; reports the progress of all together, also when it is done.
    pub(super) fn run(
        &self,
        other: &mut Conversation<'_>,
        jobs: Vec<Job>,
    ) -> Result<(), CopyError> {
        let expected = jobs.iter().map(|job| job.bytes).sum();
        let mut done = vec![JobProgress::default(); jobs.len()];
        let queue: Mutex<VecDeque<(usize, Job)>> =
            Mutex::new(jobs.into_iter().enumerate().collect());
        let is_over = AtomicBool::new(false);
        let (sender, events) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..self.streams {
                let (sender, queue, is_over) = (sender.clone(), &queue, &is_over);
                scope.spawn(move || self.work(queue, is_over, &sender));
            }
            drop(sender);
            let followed = each_message(&events, TICK, &mut |message| {
                let Some((number, happened)) = message else { return other.keep_alive() };
                match happened {
                    Happened::Progress(progress) => {
                        done[number] = progress;
                        let left = done.iter().filter_map(|job| job.files_left);
                        other.report(Progress::Copied {
                            bytes: done.iter().map(JobProgress::bytes).sum(),
                            changed: done.iter().map(|job| job.changed).sum(),
                            expected,
                            files_left: left.reduce(|a, b| a + b),
                        });
                    }
                    Happened::Line(line) => other.report(Progress::Output(&line)),
                    Happened::Retrying(cause) => other.report(Progress::Retrying(&cause)),
                    Happened::Ended(result) => {
                        done[number].files_left = None;
                        return result;
                    }
                }
                Ok(())
            });
            is_over.store(true, Ordering::Relaxed);
            followed
        })?;
        other.report(Progress::FilesCopied {
            bytes: done.iter().map(JobProgress::bytes).sum(),
            changed: done.iter().map(|job| job.changed).sum(),
        });
        Ok(())
    }

    /// Runs one job after the other.
    fn work(
        &self,
        queue: &Mutex<VecDeque<(usize, Job)>>,
        is_over: &AtomicBool,
        events: &Sender<(usize, Happened)>,
    ) {
        let next = || queue.lock().ok()?.pop_front();
        while let Some((number, job)) = next() {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            let tell = |happened| _ = events.send((number, happened));
            let result = self.copy(&job, is_over, &tell);
            tell(Happened::Ended(result));
        }
    }

    /// Runs rsync until everything is copied.
    fn copy(
        &self,
        job: &Job,
        is_over: &AtomicBool,
        tell: &dyn Fn(Happened),
    ) -> Result<(), CopyError> {
        let (mut messages, mut changed_before) = (Vec::new(), 0);
        for attempt in 0..ATTEMPTS {
            let is_first_copy = attempt == 0 && !self.older_copy;
            let mut options = if is_first_copy { FIRST_COPY } else { OPTIONS }.to_vec();
            options.extend(EACH_FILE);
            options.extend(job.deletes.then_some("--delete"));
            let limit = self.rate_limit.map(|limit| stream_limit(limit, self.streams));
            options.extend(limit.as_deref());
            let mut current = JobProgress::default();
            let (from, to): (&Path, &Path) = (&job.from, &job.to);
            let transfer =
                Transfer { remote: self.remote, from, to, options: &options, rules: &job.rules };
            let outcome = transfer.run(&mut |event| {
                match event {
                    _ if is_over.load(Ordering::Relaxed) => return Err(Abandoned),
                    Event::Progress(progress) => {
                        (current.changed, current.files_left) =
                            (progress.bytes, progress.files_left);
                    }
                    Event::Line(line) => match unchanged_bytes(line) {
                        Some(bytes) => current.unchanged += bytes,
                        None => tell(Happened::Line(line.to_owned())),
                    },
                    Event::Tick => return Ok(()),
                }
                // What an earlier attempt has sent is unchanged in this one.
                let changed = current.changed + changed_before;
                let unchanged = current.unchanged.saturating_sub(changed_before);
                tell(Happened::Progress(JobProgress { changed, unchanged, ..current }));
                Ok(())
            });
            match outcome? {
                Outcome::Complete => return Ok(()),
                Outcome::Partial(lines) => {
                    changed_before += current.changed;
                    lines.iter().for_each(|line| tell(Happened::Retrying(line.clone())));
                    messages = lines;
                }
            }
        }
        let cause = messages.into_iter().find(|line| !line.starts_with("rsync error:"));
        Err(CopyError::Partial { attempts: ATTEMPTS, cause: cause.unwrap_or_default() })
    }
}

/// rsync's option for its share of a limit. It takes KiB per second, and 0 would be no limit.
fn stream_limit(limit: u64, streams: usize) -> String {
    format!("--bwlimit={}", (limit / 1024 / streams as u64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_unchanged_file_has_its_size() {
        assert_eq!(unchanged_bytes("=.f          5000"), Some(5000));
        assert_eq!(unchanged_bytes("=.f..t...... 3000000"), Some(3_000_000));
        for other in
            ["=>fc........ 3000000", "=>f+++++++++ 7", "=.d          4096", "=*deleting   0"]
        {
            assert_eq!(unchanged_bytes(other), Some(0), "{other}");
        }
        assert_eq!(unchanged_bytes("rsync: something else"), None);
    }

    #[test]
    fn streams_share_a_limit() {
        assert_eq!(stream_limit(8 << 20, 4), "--bwlimit=2048");
        assert_eq!(stream_limit(1, 4), "--bwlimit=1");
    }
}
