//! The command line in two stages: the items as typed ([`getopt`](crate::getopt)), then their meaning in
//! a dialect.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use twowarm_core::prune::is_segment_name;
use twowarm_core::version::PgMajor;

use crate::dialect::{Dialect, NAMES};
use crate::exit_codes::{STOP_SERVER, USAGE};
use crate::getopt::Item;
use crate::numbers::atoi;

/// The arguments, by the rules of a dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// The program to behave like.
    pub dialect: Dialect,
    /// `-l`, in the dialect that does not ignore it.
    pub link: bool,
    /// `-d`, or `-v 4`.
    pub debug: bool,
    /// `-v`, in the dialect that has it; in the others 4 with `-d`, otherwise 1.
    pub verbosity: i32,
    /// `-k`: number of files to keep; 0 keeps all.
    pub keep: i32,
    /// `-r`: retries after the first attempt.
    pub retries: i32,
    /// `-s`: the interval between two looks at the archive.
    pub poll: Duration,
    /// `-t`: the trigger file.
    pub trigger: Option<PathBuf>,
    /// `-w`: the time to wait; `None` waits without a limit.
    pub limit: Option<Duration>,
    /// `--verify`.
    pub verify: bool,
    /// `--log-level`.
    pub log_level: LevelFilter,
    /// The archive directory.
    pub archive: OsString,
    /// The name of the requested file.
    pub next: OsString,
    /// The path to restore it to.
    pub target: PathBuf,
    /// The oldest file that the server needs (`%r`), if given.
    pub restart: Option<OsString>,
}

/// Why the program ends without looking for the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// An exit code and a message.
    Message(u8, String),
    /// Dialect 8.3 found a trigger file while it read its options.
    Triggered(PathBuf),
}

fn usage(problem: impl Into<String>) -> Refusal {
    Refusal::Message(USAGE, problem.into())
}

fn not_a_segment(name: &OsStr) -> Refusal {
    usage(format!("\"{}\" is not a valid WAL segment name", name.to_string_lossy()))
}

/// A wrong value of an option that the original does not have stops the server. Exit code 2 would end
/// recovery, so that a typing error would cause a failover.
fn new_option(problem: String) -> Refusal {
    Refusal::Message(STOP_SERVER, problem)
}

/// The dialect: the last `--dialect`, else `PG_STANDBY_DIALECT`, else by the server's version.
pub fn choose_dialect(
    items: &[Item],
    environment: Option<OsString>,
    server: Option<PgMajor>,
) -> Result<Dialect, Refusal> {
    let typed = items.iter().rev().find_map(|item| match item {
        Item::Long("dialect", value) => Some(("--dialect", value.clone().unwrap_or_default())),
        _ => None,
    });
    let named = || Some(("PG_STANDBY_DIALECT", environment.filter(|value| !value.is_empty())?));
    match typed.or_else(named) {
        None => Ok(Dialect::of_server(server)),
        Some((by, name)) => name.to_str().and_then(Dialect::named).ok_or_else(|| {
            new_option(format!(
                "invalid value for {by}: \"{}\" (must be {NAMES})",
                name.to_string_lossy()
            ))
        }),
    }
}

/// Interprets the items by the rules of the dialect, in their order. `triggered` tells whether a trigger
/// file exists: dialect 8.3 looks for it as soon as it has read `-t`.
pub fn read(
    items: Vec<Item>,
    dialect: Dialect,
    server: Option<PgMajor>,
    triggered: &dyn Fn(&PathBuf) -> bool,
) -> Result<Arguments, Refusal> {
    if items.is_empty() {
        return Err(usage("no arguments specified"));
    }
    let mut options = Options::default();
    let mut operands = Vec::new();
    for item in items {
        if let Item::Operand(operand) = item {
            operands.push(operand);
        } else {
            options.take(item, dialect)?;
            if let (Dialect::V8_3, Some(trigger)) = (dialect, options.fresh_trigger.take())
                && triggered(&trigger)
            {
                return Err(Refusal::Triggered(trigger));
            }
        }
    }
    let mut operands = operands.into_iter();
    let mut operand =
        |what: &str| operands.next().ok_or_else(|| usage(format!("must specify {what}")));
    let archive = operand("archive location")?;
    let next = operand("WAL file name as second non-option argument (use \"%f\")")?;
    let target = operand("WAL file destination as third non-option argument (use \"%p\")")?;
    let restart = operands.next();
    let mut arguments = options.with(dialect, archive, next, target.into(), restart);
    arguments.read_restart(server)?;
    Ok(arguments)
}

#[derive(Debug)]
struct Options {
    link: bool,
    debug: bool,
    verbosity: Option<i32>,
    keep: i32,
    retries: i32,
    poll: i32,
    trigger: Option<PathBuf>,
    fresh_trigger: Option<PathBuf>,
    limit: i32,
    verify: bool,
    log_level: LevelFilter,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            link: false,
            debug: false,
            verbosity: None,
            keep: 0,
            retries: 3,
            poll: 5,
            trigger: None,
            fresh_trigger: None,
            limit: 0,
            verify: false,
            log_level: LevelFilter::Warn,
        }
    }
}

impl Options {
    fn take(&mut self, item: Item, dialect: Dialect) -> Result<(), Refusal> {
        match item {
            Item::Plain(b'c') => self.link = false,
            Item::Plain(b'l') => self.link = dialect == Dialect::V8_3,
            Item::Plain(b'd') => {
                self.debug = true;
                self.verbosity = Some(4);
            }
            Item::Value(b'v', _) | Item::MissingValue(b'v') if !dialect.has_verbosity() => {
                return Err(usage("invalid option -v: it exists only in the dialect 2warm"));
            }
            Item::Value(option, value) => self.value(option, value)?,
            Item::MissingValue(option) => {
                return Err(usage(format!("option -{} requires an argument", char::from(option))));
            }
            Item::Long(name, value) => self.long(name, value)?,
            Item::Unknown(option) => return Err(usage(format!("invalid option {option}"))),
            Item::Plain(_) | Item::Operand(_) => {}
        }
        Ok(())
    }

    fn value(&mut self, option: u8, value: OsString) -> Result<(), Refusal> {
        if option == b't' {
            self.fresh_trigger = Some(value.clone().into());
            self.trigger = Some(value.into());
            return Ok(());
        }
        let number = atoi(value.as_bytes());
        let within = |ok: bool, range: &str| {
            let letter = char::from(option);
            if ok {
                Ok(number)
            } else {
                Err(usage(format!("invalid argument for -{letter}: {number} (must be {range})")))
            }
        };
        match option {
            b'k' => self.keep = within(number >= 0, "0 or more")?,
            b'r' => self.retries = within(number >= 0, "0 or more")?,
            b's' => self.poll = within((1..=60).contains(&number), "1 to 60")?,
            b'w' => self.limit = within(number >= 0, "0 or more")?,
            _ => self.verbosity = Some(within((0..=4).contains(&number), "0 to 4")?),
        }
        Ok(())
    }

    fn long(&mut self, name: &str, value: Option<OsString>) -> Result<(), Refusal> {
        match (name, value) {
            ("verify", None) => self.verify = true,
            ("verify", Some(_)) => {
                return Err(new_option("option --verify does not take an argument".into()));
            }
            ("log-level", value) => {
                let text = value.unwrap_or_default();
                let level = text.to_str().and_then(|text| text.parse().ok());
                self.log_level = level.ok_or_else(|| {
                    let text = text.to_string_lossy();
                    new_option(format!(
                        "invalid value for --log-level: \"{text}\" (must be off, error, warn, info, debug or trace)"
                    ))
                })?;
            }
            // --dialect has been read by `choose_dialect`.
            _ => {}
        }
        Ok(())
    }

    fn with(
        self,
        dialect: Dialect,
        archive: OsString,
        next: OsString,
        target: PathBuf,
        restart: Option<OsString>,
    ) -> Arguments {
        let seconds = |number: i32| Duration::from_secs(number.unsigned_abs().into());
        let default = if dialect.has_verbosity() { 2 } else { 1 };
        let verbosity = self.verbosity.unwrap_or(default);
        let debug = if dialect.has_verbosity() { verbosity >= 4 } else { self.debug };
        Arguments {
            dialect,
            link: self.link,
            debug,
            verbosity,
            keep: self.keep,
            retries: self.retries,
            poll: seconds(self.poll),
            trigger: self.trigger,
            limit: (self.limit > 0).then(|| time_limit(self.poll, self.limit)),
            verify: self.verify,
            log_level: if debug { LevelFilter::Debug } else { self.log_level },
            archive,
            next,
            target,
            restart,
        }
    }
}

/// The time after which the original's counter, which starts at -1 and grows by the poll interval,
/// reaches the limit.
fn time_limit(poll: i32, limit: i32) -> Duration {
    let (poll, limit) = (i64::from(poll), i64::from(limit));
    let rounds = (limit + 1 + poll - 1) / poll;
    Duration::from_secs((rounds * poll).unsigned_abs())
}

impl Arguments {
    /// Interprets the fourth operand. A server of 8.2 does not replace `%r`: then there is no restart
    /// point, and 256 segments (4 GB) are kept.
    fn read_restart(&mut self, server: Option<PgMajor>) -> Result<(), Refusal> {
        let strict = self.dialect == Dialect::TwoWarm;
        if strict && !self.next.to_str().is_some_and(is_segment_name) {
            return Err(not_a_segment(&self.next));
        }
        let Some(restart) = &self.restart else { return Ok(()) };
        let literal = restart == "%r" || restart == "%R";
        let on_8_2 = server.is_some_and(|major| major == PgMajor::ALL[0]);
        if literal && (strict || on_8_2) {
            self.restart = None;
            if self.keep == 0 {
                self.keep = 256;
            }
        } else if strict && !restart.to_str().is_some_and(is_segment_name) {
            return Err(not_a_segment(restart));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_reached_when_the_originals_counter_reaches_it() {
        for (poll, limit, seconds) in [(1, 1, 2), (1, 2, 3), (2, 3, 4), (5, 1, 5), (5, 5, 10)] {
            assert_eq!(
                time_limit(poll, limit),
                Duration::from_secs(seconds),
                "-s {poll} -w {limit}"
            );
        }
    }
}
