//! The options, described once: `--help` and the man page are both made of this table.

use crate::dialect::Dialect;

/// One option, as it is described.
#[derive(Debug)]
pub struct Described {
    /// Its letter or word.
    pub option: &'static str,
    /// The name of its value, if it takes one.
    pub value: Option<&'static str>,
    /// What it does, in most dialects.
    pub meaning: &'static str,
    /// What it does in one of them.
    pub except: Option<(Dialect, &'static str)>,
    /// The only dialect that has it.
    pub only: Option<Dialect>,
    /// The only dialect that does not have it.
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

    /// What it does in this dialect; none if there it does not exist.
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

/// All of them, in the order in which they are shown.
pub const OPTIONS: &[Described] = &[
    Described::new("-c", None, "copy the file from the archive (default)"),
    Described::new("-d", None, "tell on stderr what is done"),
    Described::new(
        "-k",
        Some("NUMFILESTOKEEP"),
        "without RESTARTWALFILE, keep this many files before the requested one; 0 keeps all (default 0)",
    )
    .except(
        Dialect::TwoWarm,
        "without RESTARTWALFILE, keep this many files before the requested one; 0 keeps all (default 0; 256 with a literal %r)",
    ),
    Described::new("-l", None, "ignored; it once made symbolic links")
        .except(Dialect::V8_3, "make a symbolic link instead of a copy"),
    Described::new(
        "-r",
        Some("MAXRETRIES"),
        "try a failing copy so many times more, waiting longer each time (default 3)",
    ),
    Described::new(
        "-s",
        Some("SLEEPTIME"),
        "look at least every so many seconds, 1 to 60 (default 5); what arrives is noticed at once",
    ),
    Described::new(
        "-t",
        Some("TRIGGERFILE"),
        "end recovery when this file exists: empty or \"smart\" when no more files are there, \"fast\" at once",
    )
    .except(Dialect::V8_3, "end recovery when this file exists; it is deleted"),
    Described::new("-v", Some("VERBOSITY"), "how much to tell, 0 to 4 (default 2)")
        .only(Dialect::TwoWarm),
    Described::new(
        "-w",
        Some("MAXWAITTIME"),
        "give up after so many seconds, 0 never (default 0)",
    ),
    Described::new(
        "--dialect",
        Some("NAME"),
        "behave like the program of 8.3, 8.4 (to 10), 13 (11 on) or 2warm",
    ),
    Described::new(
        "--log-level",
        Some("LEVEL"),
        "off, error, warn (default), info, debug or trace",
    ),
    Described::new(
        "--verify",
        None,
        "refuse a segment of another cluster, timeline or position, or one whose pages are not WAL",
    ),
    Described::new("--help, -?", None, "show this, if it is the first argument").not_in(Dialect::V8_3),
    Described::new("--version, -V", None, "show the version, if it is the first argument").not_in(Dialect::V8_3),
];
