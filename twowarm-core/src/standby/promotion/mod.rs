//! Promoting a standby.

mod archive_question;
mod damage;
mod error;
mod opening;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use self::archive_question::{Answer, Content, Question};
pub use self::damage::Damage;
pub use self::error::{NotQueried, PromotionError};
use self::opening::wait_until_open;
use crate::archive::Gap;
use crate::data_directory::{
    DirectoryContents, PROMOTE_FILES, recovery_settings, request_promotion, running_server,
    write_for_server,
};
use crate::durable;
use crate::limits::with_ticks;
use crate::server::{Login, ServerError};
use crate::wal::SegmentName;

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
/// use twowarm_core::standby::{Promotion, PromotionMode};
///
/// fn main() -> ExitCode {
///     if let Some(code) = Promotion::answer_if_asked() {
///         return code;
///     }
///     let data = std::path::PathBuf::from("/var/lib/postgresql/data");
///     let promotion = Promotion {
///         archive: data.join("archive"),
///         trigger: data.join("trigger"),
///         data_directory: data,
///         mark_directory: "/var/lib/postgresql/twowarm".into(),
///         remove: Vec::new(),
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
    /// Files that are removed before the trigger is written, such as the switch that makes a primary ship its
    /// WAL to the node that this one received it from.
    pub remove: Vec<PathBuf>,
    /// How to connect to its server.
    pub login: Login,
    /// How much is replayed first.
    pub mode: PromotionMode,
    /// Whether a smart promotion may lose the WAL after a missing or damaged segment. A fast one always may.
    pub accept_gap: bool,
    /// Whether to wait until the server is open.
    pub wait: bool,
    /// An archive that does not answer for this long is not waited for by a smart promotion. A fast one waits
    /// 2 seconds.
    pub archive_limit: Duration,
    /// The wait ends after every attempt to query the server has failed for this long.
    pub connect_limit: Duration,
}

/// What [`Promotion::run`] does or finds.
#[derive(Debug)]
#[non_exhaustive]
pub enum PromotionStep<'a> {
    /// The archive did not answer within the time limit of a smart promotion. So it is not known whether it
    /// contains a newer timeline or a gap.
    ArchiveTimedOut,
    /// A segment is missing, and the WAL after it will be lost.
    Gap(Gap),
    /// A segment is damaged, and the WAL after it will be lost.
    Damage(&'a Damage),
    /// The archive holds so much WAL that is not replayed yet that this segment and later ones could not be checked in
    /// time.
    NotChecked(SegmentName),
    /// The trigger is written.
    Triggered {
        /// Whether a server is running that will be promoted.
        is_running: bool,
    },
    /// The server streams, so it does not see the trigger file, and it could not be asked to promote.
    NotRequested(io::Error),
    /// Sent every 10 seconds during a wait.
    Waiting(WaitingFor<'a>),
    /// A file was set aside in the archive during recovery: what comes after the damage is not replayed.
    SetAside(&'a str),
}

/// What a promotion waits for.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum WaitingFor<'a> {
    /// The archive to answer.
    Archive,
    /// The server to answer a query.
    Server,
    /// A connection to the server; the last attempt failed.
    Connection(&'a ServerError),
    /// The end of recovery.
    Recovery,
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

/// How often a wait is reported.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A fast promotion, and the check of the archive after any, wait no longer for the archive.
const SHORT_LIMIT: Duration = Duration::from_secs(2);

impl Promotion {
    /// Must be called when the program starts, before it evaluates its arguments; if this returns an exit
    /// code, the program must exit with it. The archive is read by a child process, because a file system that
    /// hangs must not delay a failover, and that child is the same program with other arguments.
    #[must_use]
    pub fn answer_if_asked() -> Option<ExitCode> {
        archive_question::answer_if_asked()
    }

    /// Promotes the standby. Interrupted after [`PromotionStep::Triggered`], the trigger remains in force.
    ///
    /// # Errors
    /// Before the trigger is written: if the directory does not hold a standby, if the standby could follow a
    /// newer timeline in the archive, and for a smart promotion if the archive can't be read, or has a gap or a damaged
    /// segment before later ones.
    /// Afterwards: if the server stops, or can't be queried for [`connect_limit`](Promotion::connect_limit).
    pub fn run(
        &self,
        report: &mut dyn FnMut(PromotionStep<'_>),
    ) -> Result<Promoted, PromotionError> {
        let pgdata = self.data_directory.as_path();
        let found = DirectoryContents::read(pgdata)?;
        if found.recovery.is_none() || found.control.is_none() {
            return Err(PromotionError::NotAStandby(pgdata.to_owned()));
        }
        let set_aside = self.check_archive(report)?;
        self.remove.iter().try_for_each(|file| durable::remove(file))?;
        let settings = recovery_settings(pgdata)?;
        let triggered = Instant::now();
        let content: &[u8] = match self.mode {
            PromotionMode::Smart => b"smart\n",
            PromotionMode::Fast => b"fast\n",
        };
        write_for_server(pgdata, &self.trigger, content)?;
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
        let opened = wait_until_open(pgdata, &self.login, self.connect_limit, report);
        let after = triggered.elapsed();
        if !matches!(opened, Ok(()) | Err(PromotionError::NotConfirmed(_))) {
            return opened.map(|()| Promoted::Open(after));
        }
        let now = self.question(Duration::ZERO).ask(SHORT_LIMIT).set_aside();
        for name in now.difference(&set_aside) {
            report(PromotionStep::SetAside(name));
        }
        self.remove_trigger(is_requested)?;
        opened.map(|()| Promoted::Open(after))
    }

    fn question(&self, check_for: Duration) -> Question {
        Question {
            data_directory: self.data_directory.clone(),
            archive: self.archive.clone(),
            mark_directory: self.mark_directory.clone(),
            check_for,
        }
    }

    /// Refuses to promote while a timeline is in the archive that continues where this one ends. A smart
    /// promotion replays all that was shipped, so it refuses an archive that has a gap or can't be read. One
    /// that hangs does not delay it. Returns the files that were set aside before.
    fn check_archive(
        &self,
        report: &mut dyn FnMut(PromotionStep<'_>),
    ) -> Result<BTreeSet<String>, PromotionError> {
        let is_smart = self.mode == PromotionMode::Smart;
        let limit = if is_smart { self.archive_limit } else { SHORT_LIMIT };
        // A fast promotion replays none of these segments.
        let check_for = if is_smart { CHECK_LIMIT.min(limit / 2) } else { Duration::ZERO };
        let question = self.question(check_for);
        let answer = waiting(WaitingFor::Archive, report, || question.ask(limit));
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
        Ok(answer.set_aside())
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
