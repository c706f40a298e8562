//! The table of options from which `--help` and the man page are generated.

use crate::dialect::Dialect;

/// The description of one option.
#[derive(Debug)]
pub struct Described {
    /// The option as typed.
    pub option: &'static str,
    /// The name of its argument, if it has one.
    pub value: Option<&'static str>,
    /// What it does.
    pub meaning: &'static str,
    /// The dialect in which it does something else.
    pub except: Option<(Dialect, &'static str)>,
    /// The only dialect that has it.
    pub only: Option<Dialect>,
    /// The only dialect that lacks it.
    pub lacks: Option<Dialect>,
}

impl Described {
    const fn new(
        option: &'static str,
        value: Option<&'static str>,
        meaning: &'static str,
    ) -> Described {
        Described { option, value, meaning, except: None, only: None, lacks: None }
    }

    const fn except(self, dialect: Dialect, meaning: &'static str) -> Described {
        Described { except: Some((dialect, meaning)), ..self }
    }

    const fn only(self, dialect: Dialect) -> Described {
        Described { only: Some(dialect), ..self }
    }

    const fn not_in(self, dialect: Dialect) -> Described {
        Described { lacks: Some(dialect), ..self }
    }

    /// What it does in this dialect; `None` if the dialect lacks it.
    pub fn meaning(&self, dialect: Dialect) -> Option<&'static str> {
        if self.lacks == Some(dialect) {
            return None;
        }
        match (self.only, self.except) {
            (Some(only), _) if only != dialect => None,
            (_, Some((except, meaning))) if except == dialect => Some(meaning),
            _ => Some(self.meaning),
        }
    }
}

/// All options, in the order in which they are printed.
pub const OPTIONS: &[Described] = &[
    Described::new("-c", None, "copy the file from the archive (default)"),
    Described::new("-d", None, "print debugging messages on stderr"),
    Described::new(
        "-k",
        Some("NUMFILESTOKEEP"),
        "if RESTARTWALFILE is not used, keep this many files before the requested one; 0 keeps all (default 0)",
    )
    .except(
        Dialect::TwoWarm,
        "if RESTARTWALFILE is not used, keep this many files before the requested one; 0 keeps all (default 0, or 256 if RESTARTWALFILE is a literal %r)",
    ),
    Described::new("-l", None, "ignored; once created symbolic links")
        .except(Dialect::V8_3, "create a symbolic link instead of a copy"),
    Described::new(
        "-r",
        Some("MAXRETRIES"),
        "number of times to retry a failed copy, with a longer sleep before each (default 3)",
    ),
    Described::new(
        "-s",
        Some("SLEEPTIME"),
        "seconds to wait between file checks, 1 to 60 (default 5); new files are also noticed as they arrive",
    ),
    Described::new(
        "-t",
        Some("TRIGGERFILE"),
        "trigger file that ends recovery: if empty or \"smart\", when the next file is not in the archive; if \"fast\", at once",
    )
    .except(Dialect::V8_3, "trigger file that ends recovery; it is then deleted"),
    Described::new("-v", Some("VERBOSITY"), "level of messages, 0 to 4 (default 2)")
        .only(Dialect::TwoWarm),
    Described::new(
        "-w",
        Some("MAXWAITTIME"),
        "maximum seconds to wait for a file, 0 for no limit (default 0)",
    ),
    Described::new(
        "--dialect",
        Some("NAME"),
        "behave like the pg_standby of PostgreSQL 8.3, 8.4 (to 10) or 13 (11 and later), or of 2warm",
    ),
    Described::new(
        "--log-level",
        Some("LEVEL"),
        "off, error, warn (default), info, debug or trace",
    ),
    Described::new(
        "--verify",
        None,
        "do not restore a segment of another cluster, timeline or position, or one whose WAL is damaged or incomplete",
    ),
    Described::new("--help, -?", None, "print this help, if it is the first argument")
        .not_in(Dialect::V8_3),
    Described::new("--version, -V", None, "print the version, if it is the first argument")
        .not_in(Dialect::V8_3),
];
