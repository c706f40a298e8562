use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use twowarm_core::rsync::{Event, Losses, Outcome, Remote, Transfer};

use super::error::CopyError;
use super::far::FarEnd;
use crate::command::print;

/// No owners, which only root could set; no devices and sockets, which a data directory has no use for.
/// Files are compared by checksum: the server changes files without changing their size, and faster
/// than the clock ticks. In place, so that a large file needs no second one beside it.
const OPTIONS: [&str; 5] =
    ["-rlpt", "--checksum", "--inplace", "--delete", "--info=progress2,stats1"];

/// The same for a run that only tells what would be lost.
pub(super) const TRIAL: [&str; 6] =
    ["-rlpt", "--checksum", "--delete", Losses::OPTIONS[0], Losses::OPTIONS[1], Losses::OPTIONS[2]];

/// A file that is cut short while it is read counts as failed; the next run finds it as it is.
const TRIES: u32 = 3;

/// How often progress is told where nobody watches a bar.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The copying itself, with one bar for all of it.
pub(super) struct Bulk<'a> {
    remote: &'a Remote,
    bar: ProgressBar,
    watched: bool,
    before: u64,
    current: u64,
    last_line: Instant,
}

impl<'a> Bulk<'a> {
    pub fn new(remote: &'a Remote, expected_bytes: Option<u64>) -> Bulk<'a> {
        let watched = std::io::stderr().is_terminal();
        let target =
            if watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(expected_bytes, target);
        let style = "{elapsed_precise} [{wide_bar}] {bytes} of about {total_bytes} {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Bulk { remote, bar, watched, before: 0, current: 0, last_line: Instant::now() }
    }

    /// Copies a directory's content.
    pub fn copy(
        &mut self,
        far: &mut FarEnd,
        from: &Path,
        to: &Path,
        rules: &str,
    ) -> Result<(), CopyError> {
        let remote = self.remote;
        let transfer = Transfer { remote, from, to, options: &OPTIONS, rules };
        let mut last_said = Vec::new();
        for _ in 0..TRIES {
            let outcome = transfer.run(&mut |event| self.hear(far, event))?;
            self.before += self.current;
            self.current = 0;
            match outcome {
                Outcome::Complete => return Ok(()),
                Outcome::Partial(said) => {
                    said.iter().for_each(|line| log::warn!("{line}; trying again"));
                    last_said = said;
                }
            }
        }
        let told = last_said.into_iter().find(|line| !line.starts_with("rsync error:"));
        Err(CopyError::Partial(told.unwrap_or_default()))
    }

    fn hear(&mut self, far: &mut FarEnd, event: Event<'_>) -> Result<(), CopyError> {
        match event {
            Event::Progress(progress) => {
                self.current = progress.bytes;
                let done = self.before + progress.bytes;
                // An estimate may be too small.
                if self.bar.length().is_some_and(|length| length < done) {
                    self.bar.set_length(done);
                }
                self.bar.set_position(done);
                if let Some(left) = progress.files_left {
                    self.bar.set_message(format!("({left} files to check)"));
                }
            }
            Event::Line(line) => {
                self.bar.suspend(|| print(&format!("  {line}\n")));
            }
            Event::Tick => far.keep_alive()?,
            _ => {}
        }
        if !self.watched && self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            log::info!(
                "{} copied or found in place so far",
                HumanBytes(self.before + self.current)
            );
        }
        Ok(())
    }

    /// Ends the bar.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
