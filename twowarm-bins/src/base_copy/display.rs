//! What a base copy prints.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use twowarm_core::base_copy::{Changes, Progress, TargetRole, Wait};
use twowarm_core::identifiers::NodeName;
use twowarm_core::limits::Every;

use crate::command::print;

/// How often progress is logged where there is no terminal for a bar.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// How many names of files that would be deleted are printed.
const LISTED: usize = 20;

/// Shows the progress of a copy: a line for each step, and a bar while files are copied.
pub(super) struct Display<'a> {
    node: &'a NodeName,
    role: TargetRole,
    started: Instant,
    /// When the first file was copied.
    copying: Instant,
    bar: ProgressBar,
    has_terminal: bool,
    line: Every,
}

impl Display<'_> {
    pub fn new(node: &NodeName, role: TargetRole) -> Display<'_> {
        let has_terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = "[{wide_bar}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        let line = Every::new(LINE_EVERY);
        let started = Instant::now();
        Display { node, role, started, copying: started, bar, has_terminal, line }
    }

    pub fn show(&mut self, progress: Progress<'_>) {
        let node = self.node;
        match progress {
            Progress::Waiting(wait) => log::info!("waiting for {}", name_of(wait)),
            Progress::Allowed { source, target, tablespaces, .. } => {
                let source = source.display();
                self.print(&format!("Copying \"{source}\" to {node}:{}", target.pgdata.display()));
                for tablespace in tablespaces {
                    let (from, to) = (tablespace.from.display(), tablespace.to.display());
                    self.print(&format!("Copying tablespace \"{from}\" to {node}:{to}"));
                }
                if target.older_copy {
                    self.print(&format!(
                        "An older copy exists there: it is updated, and files that \"{source}\" no longer contains are deleted"
                    ));
                }
            }
            Progress::ConfigurationOverwritten(name) => self.print(&format!(
                "{name} on {node} is replaced by this node's. HINT: to keep it, copy it to 2warm/local on {node} first"
            )),
            Progress::ConfigurationSaved(path) => {
                self.print(&format!("postgresql.conf is saved as \"{}\"", path.display()));
            }
            Progress::Shipping { archive, from } => {
                self.print(&format!("WAL from {from} on is shipped to {node}:{archive}"));
            }
            Progress::Feeding { archive } => {
                self.print(&format!("The WAL of the copy is shipped to {node}:{archive}"));
            }
            Progress::WouldLose(losses) => self.print(&format!(
                "Files in {} that are not part of the cluster would be lost: {losses}",
                losses.target
            )),
            Progress::WouldCopy(changes) => self.print(&summary(changes)),
            Progress::BackupBegun(segment) => {
                self.print(&format!("The online backup begins in WAL file {segment}"));
                self.start_bar();
            }
            Progress::Copied { bytes, changed, expected, files_left } => {
                self.advance_bar((bytes, changed), expected, files_left);
            }
            Progress::Output(line) => self.bar.suspend(|| print(&format!("  {line}\n"))),
            Progress::Retrying(cause) => log::warn!("{cause}; retrying"),
            Progress::FilesCopied { bytes, changed } => {
                self.bar.finish_and_clear();
                let elapsed = HumanDuration(self.copying.elapsed());
                self.print(&match changed < bytes {
                    true => format!(
                        "{} of {} copied after {elapsed}, the other files are unchanged",
                        HumanBytes(changed),
                        HumanBytes(bytes)
                    ),
                    false => format!("{} copied after {elapsed}", HumanBytes(bytes)),
                });
            }
            Progress::BackupEnded(segment) => {
                self.print(&format!("The online backup ends in WAL file {segment}"));
            }
            Progress::Lacks(lack) => self.print(&format!("WARNING: {node}: {lack}")),
            Progress::WaitingForWal { missing, first, failure } => {
                log::info!(
                    "waiting for {missing} WAL files to arrive in the archive of {node}, the first is {first}"
                );
                if let Some(failure) = failure {
                    log::warn!(
                        "archive_command failed for {} at {} (failures: {}). HINT: see the messages of archiveWALFile in the server's log",
                        failure.file,
                        failure.time,
                        failure.count
                    );
                }
            }
            Progress::WalArrived(count) => self.print(&format!(
                "All {count} WAL files that the copy requires are in the archive of {node}"
            )),
            _ => {}
        }
    }

    pub fn done(&self, dry_run: bool) {
        let elapsed = HumanDuration(self.started.elapsed());
        self.print(&match (dry_run, self.role) {
            (true, _) => "This was a dry run: nothing was changed".to_owned(),
            (false, TargetRole::Standby) => format!("Done in {elapsed}. The standby can be started"),
            (false, TargetRole::DrNode) => format!(
                "Done in {elapsed}. The server on {} can be started. HINT: rsyncDR on the standby ships the WAL that follows",
                self.node
            ),
        });
    }

    fn print(&self, line: &str) {
        print(&format!("{line}\n"));
    }

    fn start_bar(&mut self) {
        if self.has_terminal {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.reset();
        self.copying = Instant::now();
        self.line.reset();
    }

    /// Its rate and the time left are those of all files: unchanged ones have to be read too.
    fn advance_bar(
        &mut self,
        (bytes, changed): (u64, u64),
        expected: u64,
        files_left: Option<u64>,
    ) {
        // Files may have grown.
        let expected = expected.max(bytes);
        self.bar.set_length(expected);
        self.bar.set_position(bytes);
        if let Some(left) = files_left {
            let changed = HumanBytes(changed);
            self.bar.set_message(format!("({changed} copied, {left} files to check)"));
        }
        if !self.has_terminal && self.line.is_due() {
            log::info!(
                "{} of {} copied or found unchanged ({} %), {}/s, {} left; {} copied",
                HumanBytes(bytes),
                HumanBytes(expected),
                bytes * 100 / expected.max(1),
                HumanBytes(self.bar.per_sec() as u64),
                HumanDuration(self.bar.eta()),
                HumanBytes(changed)
            );
        }
    }
}

/// What a dry run found in one directory.
fn summary(changes: &Changes) -> String {
    let Changes { target, new, overwritten, bytes, deleted, .. } = changes;
    let mut text = format!(
        "{target}: {new} files would be created and {overwritten} overwritten ({}), {} deleted",
        HumanBytes(*bytes),
        deleted.len()
    );
    if !deleted.is_empty() {
        let more = deleted.len().saturating_sub(LISTED);
        text += &format!(": {}", deleted[..deleted.len() - more].join(", "));
        if more > 0 {
            text += &format!(" and {more} more");
        }
    }
    text
}

fn name_of(wait: Wait) -> &'static str {
    match wait {
        Wait::Answer => "the server to answer",
        Wait::Agreement => "your answer",
        Wait::Connection => "rsync to connect",
        Wait::Checkpoint { spread: true } => {
            "the checkpoint, which this server version spreads over checkpoint_completion_target of checkpoint_timeout"
        }
        Wait::Checkpoint { spread: false } => "the checkpoint",
        Wait::Shipping => "the WAL of the copy to be shipped",
        Wait::BackupEnd { archives: true } => {
            "the end of the backup, for which this version waits until its WAL is archived. HINT: if this takes long, see the messages of archiveWALFile in the server's log"
        }
        Wait::BackupEnd { archives: false } => "the end of the backup",
        _ => "the copy",
    }
}
