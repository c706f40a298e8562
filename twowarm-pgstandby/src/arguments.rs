//! The command line in two stages: what was typed ([`getopt`](crate::getopt)), and what a dialect makes
//! of it.

use std::ffi::OsString;
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

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// Whose behaviour.
    pub dialect: Dialect,
    /// `-l`, where it still means something.
    pub link: bool,
    /// `-d`, or `-v 4`.
    pub debug: bool,
    /// `-v`, in the one dialect that has it; elsewhere 4 with `-d` and else 1.
    pub verbosity: i32,
    /// `-k`; 0 keeps all.
    pub keep: i32,
    /// `-r`: tries after the first.
    pub retries: i32,
    /// `-s`.
    pub poll: Duration,
    /// `-t`.
    pub trigger: Option<PathBuf>,
    /// `-w`; none for no limit.
    pub limit: Option<Duration>,
    /// `--verify`.
    pub verify: bool,
    /// `--log-level`.
    pub log_level: LevelFilter,
    /// Where the archive is.
    pub archive: OsString,
    /// The file asked for.
    pub next: OsString,
    /// Where it is to go.
    pub target: PathBuf,
    /// The restart point, where one is given.
    pub restart: Option<OsString>,
}

/// Why nothing is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A message, and the exit code that goes with it.
    Message(u8, String),
    /// 8.3 met a trigger file while it was reading its options.
    Triggered(PathBuf),
}

fn usage(problem: impl Into<String>) -> Refusal {
    Refusal::Message(USAGE, problem.into())
}

/// What is wrong with an option that the original does not have stops the server; ending its recovery
/// over it would be a failover by typing error.
fn new_option(problem: String) -> Refusal {
    Refusal::Message(STOP_SERVER, problem)
}

/// Which dialect: the last `--dialect`, else the environment's, else the server's.
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
            new_option(format!("{by}: \"{}\" is not {NAMES}", name.to_string_lossy()))
        }),
    }
}

/// Makes of the items what the dialect makes of them, in their order. `triggered` says whether there is
/// a trigger file: 8.3 looks as soon as it has read its option.
pub fn read(
    items: Vec<Item>,
    dialect: Dialect,
    server: Option<PgMajor>,
    triggered: &dyn Fn(&PathBuf) -> bool,
) -> Result<Arguments, Refusal> {
    if items.is_empty() {
        return Err(usage("no arguments are given"));
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
        |what: &str| operands.next().ok_or_else(|| usage(format!("{what} is missing")));
    let archive = operand("the archive directory (first operand)")?;
    let next = operand("the WAL file name (second operand, %f)")?;
    let target = operand("the path to restore to (third operand, %p)")?;
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
                return Err(usage("there is no option -v"));
            }
            Item::Value(option, value) => self.value(option, value)?,
            Item::MissingValue(option) => {
                return Err(usage(format!("option -{} needs a value", char::from(option))));
            }
            Item::Long(name, value) => self.long(name, value)?,
            Item::Unknown(option) => return Err(usage(format!("there is no option {option}"))),
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
            if ok { Ok(number) } else { Err(usage(format!("-{letter} {number}: must be {range}"))) }
        };
        match option {
            b'k' => self.keep = within(number >= 0, "at least 0")?,
            b'r' => self.retries = within(number >= 0, "at least 0")?,
            b's' => self.poll = within((1..=60).contains(&number), "from 1 to 60")?,
            b'w' => self.limit = within(number >= 0, "at least 0")?,
            _ => self.verbosity = Some(within((0..=4).contains(&number), "from 0 to 4")?),
        }
        Ok(())
    }

    fn long(&mut self, name: &str, value: Option<OsString>) -> Result<(), Refusal> {
        match (name, value) {
            ("verify", None) => self.verify = true,
            ("verify", Some(_)) => return Err(new_option("--verify takes no value".into())),
            ("log-level", value) => {
                let text = value.unwrap_or_default();
                let level = text.to_str().and_then(|text| text.parse().ok());
                self.log_level = level.ok_or_else(|| {
                    let text = text.to_string_lossy();
                    new_option(format!(
                        "--log-level: \"{text}\" is not off, error, warn, info, debug or trace"
                    ))
                })?;
            }
            // The dialect was chosen before.
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

/// When the original's counter, which starts at -1 and grows by the poll interval, reaches the limit.
fn time_limit(poll: i32, limit: i32) -> Duration {
    let (poll, limit) = (i64::from(poll), i64::from(limit));
    let rounds = (limit + 1 + poll - 1) / poll;
    Duration::from_secs((rounds * poll).unsigned_abs())
}

impl Arguments {
    /// What the fourth operand means. 8.2 hands a literal `%r` through: there is no restart point, and
    /// 4 GB of segments are kept.
    fn read_restart(&mut self, server: Option<PgMajor>) -> Result<(), Refusal> {
        let strict = self.dialect == Dialect::TwoWarm;
        if strict && !self.next.to_str().is_some_and(is_segment_name) {
            return Err(usage(format!("\"{}\" is no segment name", self.next.to_string_lossy())));
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
            return Err(usage(format!("\"{}\" is no segment name", restart.to_string_lossy())));
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
