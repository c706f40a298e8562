//! Promoting a standby.

mod archive_question;
mod archiving;
mod damage;
mod error;
mod fetch_first;
mod opening;
mod own_wal;
mod receipt_check;
mod replaying;
mod step;

use std::convert::Infallible;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::Flock;

use self::archive_question::{Answer, Content, Line, Question};
pub use self::archiving::{Archiving, ArchivingSwitch};
pub use self::damage::Damage;
pub use self::error::{NotQueried, PromotionError};
use self::opening::{end_first_segment, report_last_transaction, wait_until_open};
pub use self::receipt_check::ReceiptState;
use self::replaying::Backlog;
pub use self::step::{PromotionStep, WaitingFor};
use crate::archive::OtherArchive;
use crate::data_directory::{
    DirectoryContents, PROMOTE_FILES, recovery_settings, request_promotion, running_server,
    write_for_server,
};
use crate::durable;
use crate::limits::with_ticks;
use crate::lock::wait_for_lock;
use crate::server::Login;

/// How much of the WAL that has arrived is replayed before a standby opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromotionMode {
    /// All of it.
    Smart,
    /// None that was not requested before.
    Fast,
}

/// Promotes the standby in a data directory: checks the archive, writes the trigger file, and waits until the
/// server commits a write.
///
/// A program that uses this must call [`answer_if_asked`](Promotion::answer_if_asked) when it starts.
///
/// ```no_run
/// use std::process::ExitCode;
/// use std::time::Duration;
///
/// use twowarm_core::server::Login;
/// use twowarm_core::standby::{ArchivingSwitch, Promotion, PromotionMode};
///
/// fn main() -> ExitCode {
///     if let Some(code) = Promotion::answer_if_asked(Vec::new) {
///         return code;
///     }
///     let data = std::path::PathBuf::from("/var/lib/postgresql/data");
///     let promotion = Promotion {
///         archive: data.join("archive"),
///         trigger: data.join("trigger"),
///         data_directory: data,
///         mark_directory: "/var/lib/postgresql/twowarm".into(),
///         archiving: ArchivingSwitch {
///             file: "/var/lib/postgresql/twowarm/archiving_active".into(),
///             has_dr_node: false,
///         },
///         login: Login {
///             host: None,
///             port: None,
///             user: Some("postgres".into()),
///             password: None,
///             database: "postgres".into(),
///             time_limit: Duration::from_secs(30),
///         },
///         mode: PromotionMode::Smart,
///         accept_gap: false,
///         require_receipt: false,
///         wait: true,
///         archive_limit: Duration::from_secs(30),
///         connect_limit: Duration::from_secs(60),
///     };
///     match promotion.run(&mut |step| eprintln!("{step:?}")) {
///         Ok(_) => ExitCode::SUCCESS,
///         Err(error) => {
///             eprintln!("{error}");
///             ExitCode::FAILURE
///         }
///     }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Promotion {
    /// The standby's data directory.
    pub data_directory: PathBuf,
    /// Its archive.
    pub archive: PathBuf,
    /// The directory in which the node remembers the archive's mark; see
    /// [`check_mark`](crate::archive::check_mark).
    pub mark_directory: PathBuf,
    /// The trigger file that its restore_command watches.
    pub trigger: PathBuf,
    /// What makes the new primary ship its WAL. It is set before the trigger is written.
    pub archiving: ArchivingSwitch,
    /// How to connect to its server.
    pub login: Login,
    /// How much is replayed first.
    pub mode: PromotionMode,
    /// Whether a smart promotion may lose the WAL after a missing or damaged segment. A fast one always may.
    pub accept_gap: bool,
    /// Whether a promotion is refused unless the archive has a receipt of flushPrimary for the timeline that the standby
    /// replays, and all WAL up to its end. For a smart promotion only.
    pub require_receipt: bool,
    /// Whether to wait until the server is open.
    pub wait: bool,
    /// An archive, or another node, that lets nothing arrive for this long is not waited for by a smart promotion. A
    /// fast one waits 2 seconds for the archive, and asks no other node.
    pub archive_limit: Duration,
    /// The wait ends after every attempt to query the server has failed for this long.
    pub connect_limit: Duration,
}

/// How a promotion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promoted {
    /// The server has committed a write, this long after the trigger was written. The trigger is removed.
    Open(Duration),
    /// The trigger is written and remains in force: no server is running, or it was not waited for.
    Triggered,
}

/// How long a promotion is delayed by the check of the segments that it is going to replay.
const CHECK_LIMIT: Duration = Duration::from_secs(10);

/// How long it is delayed by putting the server's own WAL into the archive.
const KEEP_LIMIT: Duration = Duration::from_secs(10);

/// How often a wait is reported.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A fast promotion, and the check of the archive after any, wait no longer for the archive.
const SHORT_LIMIT: Duration = Duration::from_secs(2);

impl Promotion {
    /// Must be called when the program starts, before it evaluates its arguments; if this returns an exit
    /// code, the program must exit with it. The archive is read by a child process, because a file system that
    /// hangs must not delay a failover, and that child is the same program with other arguments.
    ///
    /// `others` is called in that process: the archives of other nodes, which are asked for what the own one lacks.
    #[must_use]
    pub fn answer_if_asked(
        others: impl FnOnce() -> Vec<Arc<dyn OtherArchive>>,
    ) -> Option<ExitCode> {
        archive_question::answer_if_asked(others)
    }

    /// Promotes the standby. Interrupted after [`PromotionStep::Triggered`], the trigger remains in force.
    ///
    /// Before that, complete segments that only the server's own WAL directory or another node's archive has are put
    /// into the archive.
    ///
    /// # Errors
    /// Before the trigger is written: if the directory does not hold a standby, if the standby could follow a
    /// newer timeline in the archive, and for a smart promotion if the archive can't be read, has a gap or a damaged
    /// segment before later ones, or lacks a required receipt.
    /// Afterwards: if the server stops, or can't be queried for [`connect_limit`](Promotion::connect_limit).
    pub fn run(
        &self,
        report: &mut dyn FnMut(PromotionStep<'_>),
    ) -> Result<Promoted, PromotionError> {
        let pgdata = self.data_directory.as_path();
        let found = DirectoryContents::read(pgdata)?;
        let Some(control) = found.control.filter(|_| found.recovery.is_some()) else {
            return Err(PromotionError::NotAStandby(pgdata.to_owned()));
        };
        let locked = self.lock()?;
        let before = self.check_archive(report)?;
        if DirectoryContents::read(pgdata)?.recovery.is_none() {
            // Another triggerStandby was faster. A primary must get no trigger file, and must continue to ship its WAL.
            return Err(PromotionError::NotAStandby(pgdata.to_owned()));
        }
        let has_receipt = matches!(before.receipt, Some(ReceiptState::Complete(_)));
        let is_smart = self.mode == PromotionMode::Smart;
        if let (false, true, Some(segment)) = (has_receipt, is_smart, before.last)
            && let Some(age) = before.finished.and_then(age_of)
        {
            report(PromotionStep::LastSegment { segment, age });
        }
        let archiving = self.archiving.set(pgdata, has_receipt && is_smart)?;
        report(PromotionStep::Archiving(archiving));
        let settings = recovery_settings(pgdata)?;
        let triggered = Instant::now();
        let content: &[u8] = if is_smart { b"smart\n" } else { b"fast\n" };
        write_for_server(pgdata, &self.trigger, content)?;
        drop(locked);
        let is_running = running_server(pgdata)?.is_some();
        // While a server streams, its restore_command, which sees the trigger file, is not called.
        let is_requested = is_running && settings.streams;
        if is_requested && let Err(error) = request_promotion(pgdata) {
            report(PromotionStep::NotRequested(error));
        }
        report(PromotionStep::Triggered { is_running });
        if !self.wait || !is_running {
            return Ok(Promoted::Triggered);
        }
        let backlog = Backlog::new(control.layout(), &before);
        let opened = wait_until_open(pgdata, &self.login, self.connect_limit, &backlog, report);
        let after = triggered.elapsed();
        if !matches!(opened, Ok(()) | Err(PromotionError::NotConfirmed(_))) {
            return opened.map(|()| Promoted::Open(after));
        }
        self.remove_trigger(is_requested)?;
        if opened.is_ok() && archiving != Archiving::Off {
            end_first_segment(pgdata, &self.login);
        }
        if !has_receipt && opened.is_ok() {
            report_last_transaction(pgdata, &self.login, report);
        }
        self.complete_archive(&before, report);
        opened.map(|()| Promoted::Open(after))
    }

    /// What the archive has of a receipt of flushPrimary. Nothing is changed.
    ///
    /// # Errors
    /// If the archive can't be read.
    pub fn receipt(&self) -> Result<Option<ReceiptState>, PromotionError> {
        let answer = self.question(Duration::ZERO, Duration::ZERO).ask(
            self.archive_limit,
            HEARTBEAT,
            &mut |_| {},
        );
        let failed = |why: String| PromotionError::Archive { archive: self.archive.clone(), why };
        match answer {
            Answer::Read(content) => Ok(content.receipt),
            Answer::Failed(why) => Err(failed(why)),
            Answer::TimedOut => {
                Err(failed(format!("no answer within {} s", self.archive_limit.as_secs())))
            }
        }
    }

    /// Until the trigger file is written no receipt can be made void here: the old primary would be opened again, too.
    /// Without a required receipt, a lock that can't be had does not hold up a failover.
    fn lock(&self) -> Result<Option<Flock<File>>, PromotionError> {
        match wait_for_lock(&self.data_directory, SHORT_LIMIT) {
            Ok(locked) => Ok(Some(locked)),
            Err(error) if self.require_receipt => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    fn question(&self, check_for: Duration, keep_for: Duration) -> Question {
        Question {
            data_directory: self.data_directory.clone(),
            archive: self.archive.clone(),
            mark_directory: self.mark_directory.clone(),
            check_for,
            keep_for,
            fetch_for: Duration::ZERO,
            left: None,
        }
    }

    /// Completes the archive by the server's own WAL, for a smart promotion also by that of other nodes. Refuses to
    /// promote while a timeline is in the archive that continues where this one ends. A smart promotion replays all
    /// that was shipped, so it refuses an archive that has a gap or can't be read. One that hangs does not delay it.
    fn check_archive(
        &self,
        report: &mut dyn FnMut(PromotionStep<'_>),
    ) -> Result<Content, PromotionError> {
        let is_smart = self.mode == PromotionMode::Smart;
        let limit = if is_smart { self.archive_limit } else { SHORT_LIMIT };
        // A fast promotion replays none of these segments.
        let check_for = if is_smart { CHECK_LIMIT.min(limit / 2) } else { Duration::ZERO };
        let fetch_for = if is_smart { limit / 2 } else { Duration::ZERO };
        let question =
            Question { fetch_for, ..self.question(check_for, KEEP_LIMIT.min(limit / 2)) };
        let answer = question.ask(limit, HEARTBEAT, &mut |line| tell(line, report));
        match &answer {
            Answer::Read(Content { newer: Some(newer), .. }) => {
                return Err(PromotionError::NewerTimeline(*newer));
            }
            Answer::Read(Content { gap: Some(gap), .. }) => {
                if is_smart && !self.accept_gap {
                    return Err(PromotionError::Gap { gap: *gap, archive: self.archive.clone() });
                }
                report(PromotionStep::Gap(*gap));
            }
            Answer::Read(Content { damage: Some(damage), .. }) => {
                if !self.accept_gap {
                    let (damage, archive) = (damage.clone(), self.archive.clone());
                    return Err(PromotionError::Damage { damage, archive });
                }
                report(PromotionStep::Damage(damage));
            }
            Answer::Read(Content { unchecked: Some(segment), .. }) => {
                report(PromotionStep::NotChecked(*segment));
            }
            Answer::Failed(why) if is_smart => {
                let (archive, why) = (self.archive.clone(), why.clone());
                return Err(PromotionError::Archive { archive, why });
            }
            Answer::TimedOut if is_smart => report(PromotionStep::ArchiveTimedOut),
            _ => {}
        }
        let content = answer.content();
        if self.require_receipt && !matches!(content.receipt, Some(ReceiptState::Complete(_))) {
            let archive = self.archive.clone();
            return Err(PromotionError::Receipt { archive, found: content.receipt });
        }
        if let Some(receipt) = &content.receipt {
            report(PromotionStep::Receipt(receipt));
        }
        Ok(content)
    }

    /// After the promotion: what was streamed until then, the history of the new timeline, and what was set aside.
    fn complete_archive(&self, before: &Content, report: &mut dyn FnMut(PromotionStep<'_>)) {
        let question =
            Question { left: before.timeline, ..self.question(Duration::ZERO, self.archive_limit) };
        let answer = question.ask(SHORT_LIMIT, HEARTBEAT, &mut |line| tell(line, report));
        let now = answer.content().set_aside;
        for name in now.difference(&before.set_aside) {
            report(PromotionStep::SetAside(name));
        }
    }

    fn remove_trigger(&self, is_requested: bool) -> Result<(), PromotionError> {
        durable::remove(&self.trigger)?;
        if is_requested {
            // The server deletes it when it obeys, unless its restore_command has written it again.
            durable::remove(&self.data_directory.join(PROMOTE_FILES[0]))?;
        }
        Ok(())
    }
}

/// How long ago a time is, given in seconds since 1970.
fn age_of(seconds: u64) -> Option<Duration> {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    SystemTime::now().duration_since(time).ok()
}

/// Reports what was done to the archive.
fn tell(line: Option<Line>, report: &mut dyn FnMut(PromotionStep<'_>)) {
    match line {
        None => report(PromotionStep::Waiting(WaitingFor::Archive)),
        Some(Line::Kept(name)) => report(PromotionStep::Kept(name)),
        Some(Line::NotKept(segment, why)) => report(PromotionStep::NotKept { segment, why: &why }),
        Some(Line::Asking(node)) => report(PromotionStep::Asking(&node)),
        Some(Line::Fetched(name)) => report(PromotionStep::Fetched(name)),
        Some(Line::NotFetched(why)) => report(PromotionStep::NotFetched(&why)),
        Some(_) => {}
    }
}

/// Does some work on another thread, and reports every [`HEARTBEAT`] what is waited for.
fn waiting<T: Send>(
    what: WaitingFor<'static>,
    report: &mut dyn FnMut(PromotionStep<'_>),
    work: impl FnOnce() -> T + Send,
) -> T {
    let mut tick = || {
        report(PromotionStep::Waiting(what));
        Ok::<(), Infallible>(())
    };
    let Ok(result) = with_ticks(HEARTBEAT, &mut tick, work);
    result
}
