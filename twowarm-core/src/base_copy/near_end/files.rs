use std::path::Path;

use super::conversation::Conversation;
use super::{CopyError, Progress};
use crate::rsync::{Event, Outcome, Remote, Transfer};

/// No owners, which only root could set; no devices and sockets, which a data directory does not need.
/// Files are compared by checksum: a server changes files without changing their size, and faster than the
/// resolution of the file system's time. In place, so that a large file needs no space for a second copy.
const OPTIONS: [&str; 5] =
    ["-rlpt", "--checksum", "--inplace", "--delete", "--info=progress2,stats1"];

/// rsync reports a file that is truncated while it is read as an error; the next attempt copies it.
const ATTEMPTS: u32 = 3;

/// Copies directories and adds up their progress.
pub(super) struct FileCopy<'a> {
    pub remote: &'a Remote,
    /// Bytes that are expected in total, if known.
    pub expected: Option<u64>,
    /// Bytes of the transfers that are completed.
    pub completed: u64,
}

impl FileCopy<'_> {
    /// Copies the content of a directory.
    pub(super) fn copy(
        &mut self,
        other: &mut Conversation<'_>,
        from: &Path,
        to: &Path,
        rules: &str,
    ) -> Result<(), CopyError> {
        let transfer = Transfer { remote: self.remote, from, to, options: &OPTIONS, rules };
        let mut messages = Vec::new();
        for _ in 0..ATTEMPTS {
            let mut current = 0;
            let outcome = transfer.run(&mut |event| {
                match event {
                    Event::Progress(progress) => {
                        current = progress.bytes;
                        other.report(Progress::Copied {
                            bytes: self.completed + current,
                            expected: self.expected,
                            files_left: progress.files_left,
                        });
                    }
                    Event::Line(line) => other.report(Progress::Output(line)),
                    Event::Tick => other.keep_alive()?,
                }
                Ok::<(), CopyError>(())
            })?;
            self.completed += current;
            match outcome {
                Outcome::Complete => return Ok(()),
                Outcome::Partial(lines) => {
                    lines.iter().for_each(|line| other.report(Progress::Retrying(line)));
                    messages = lines;
                }
            }
        }
        let cause = messages.into_iter().find(|line| !line.starts_with("rsync error:"));
        Err(CopyError::Partial { attempts: ATTEMPTS, cause: cause.unwrap_or_default() })
    }
}
