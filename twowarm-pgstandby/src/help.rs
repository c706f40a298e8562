//! `--help` and `--version`.

use crate::dialect::Dialect;

/// The version that a dialect prints: scripts look at how it begins.
pub fn version(dialect: Dialect) -> String {
    let flavour = if dialect == Dialect::TwoWarm { " enhanced by 2ndQuadrant r1.0" } else { "" };
    format!(
        "pg_standby (PostgreSQL) {}{flavour} (twowarm {})\n",
        numbered(dialect),
        env!("CARGO_PKG_VERSION")
    )
}

fn numbered(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::V8_3 => "8.3",
        Dialect::V8_4 => "8.4",
        Dialect::V13 => "13",
        Dialect::TwoWarm => "8.2",
    }
}

/// The options a dialect has.
pub fn help(dialect: Dialect) -> String {
    let mut text = String::from(
        "pg_standby waits for a WAL file in an archive and hands it to a warm standby server.\n\n\
         Usage:\n  pg_standby [OPTION]... ARCHIVELOCATION NEXTWALFILE XLOGFILEPATH [RESTARTWALFILE]\n\n\
         As restore_command:\n  restore_command = 'pg_standby -t /tmp/trigger /mnt/archive %f %p %r'\n\n\
         Options:\n",
    );
    let link = match dialect {
        Dialect::V8_3 => "make a symbolic link instead of a copy",
        _ => "ignored; it once made symbolic links",
    };
    let keep = match dialect {
        Dialect::TwoWarm => {
            "without RESTARTWALFILE, keep this many files before the requested one; 0 keeps all (default 0; 256 with a literal %r)"
        }
        _ => {
            "without RESTARTWALFILE, keep this many files before the requested one; 0 keeps all (default 0)"
        }
    };
    let trigger = match dialect {
        Dialect::V8_3 => "end recovery when this file exists; it is deleted",
        _ => {
            "end recovery when this file exists: empty or \"smart\" when no more files are there, \"fast\" at once"
        }
    };
    let mut options = vec![
        ("-c", "copy the file (default)"),
        ("-d", "tell on stderr what is done"),
        ("-k NUMFILESTOKEEP", keep),
        ("-l", link),
        (
            "-r MAXRETRIES",
            "try a failing copy so many times more, waiting longer each time (default 3)",
        ),
        ("-s SLEEPTIME", "look at least every so many seconds, 1 to 60 (default 5)"),
        ("-t TRIGGERFILE", trigger),
    ];
    if dialect.has_verbosity() {
        options.push(("-v VERBOSITY", "how much to tell, 0 to 4 (default 2)"));
    }
    options.extend([
        ("-w MAXWAITTIME", "give up after so many seconds, 0 never (default 0)"),
        ("--dialect NAME", "behave like the program of 8.3, 8.4 (to 10), 13 (11 on) or 2warm"),
        ("--log-level LEVEL", "off, error, warn (default), info, debug or trace"),
        ("--verify", "refuse a segment of another cluster, timeline or position, or one whose pages are not WAL"),
        ("--help, -?", "show this, if it is the first argument"),
        ("--version, -V", "show the version, if it is the first argument"),
    ]);
    for (option, meaning) in options {
        text.push_str(&format!("  {option:<20} {meaning}\n"));
    }
    text
}
