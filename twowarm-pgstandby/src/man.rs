//! The man page, made of the same table as `--help`. It is committed as `pg_standby.1`; the test here
//! fails when the two differ, and with `TWOWARM_WRITE_MAN=1` in the environment writes it.

use std::path::Path;

use crate::dialect::{Dialect, NAMES};
use crate::exit_codes::{NOT_RESTORED, RESTORED, STOP_SERVER, TOO_LARGE, USAGE};
use crate::help::{EXAMPLE, SUMMARY, SYNOPSIS};
use crate::options::OPTIONS;

const DESCRIPTION: &str = "\
pg_standby is called by a PostgreSQL server in archive recovery, once for each file that it wants. A
segment is waited for until it stands complete in the archive, then copied to where the server wants it;
a history file that is not there is reported as absent at once. What the server needs no more is then
removed from the archive.";

const DIALECTS: &str = "\
The programs of different PostgreSQL versions differ. Which one to behave like is said by --dialect, else
by PG_STANDBY_DIALECT, else by the file PG_VERSION in the working directory: 8.3 for 8.3, 8.4 for 8.2, 8.4
and later up to 10, and 13 for 11 and later and where there is no such file. 2warm is 2ndQuadrant's
enhanced version.";

const FAILOVER: &str = "\
An empty trigger file, or one that begins with \"smart\", ends recovery when the next file is not in the
archive. One that begins with \"fast\" ends it at once. It is then emptied, so that the server can have the
last file once more; for servers from 15 on, which ask twice for what is missing, it becomes \"fast\" and
the name of the first file that was refused. Anything else triggers nothing. The dialect 8.3 knows one kind
only, and deletes the file. Remove the trigger file when the server is up.";

const FAILOVER_OTHERWISE: &str = "\
pg_ctl promote is a smart trigger (not in 8.3 and 2warm). SIGUSR1 and SIGINT end recovery at once.";

const PRUNING: &str = "\
With RESTARTWALFILE (%r) segments before it are removed, without it those before the last -k. Names are
compared without their timeline. A small archive is listed for that. In a large one the names just before
the oldest that stays are tried one by one, until a run of them is absent; all of it is listed once in 256
segments. No file of its own is kept for that.";

const EXITS: &[(u8, &str)] = &[
    (RESTORED, "Restored; help or version shown. In 8.3 also when copying failed."),
    (
        NOT_RESTORED,
        "No such file: triggered, timed out, an absent history, or copying failed. Recovery ends.",
    ),
    (USAGE, "Wrong arguments, or there is no such archive. Recovery ends."),
    (TOO_LARGE, "The archived file is larger than a segment. Recovery ends."),
    (
        STOP_SERVER,
        "An error in what the original does not have, a bug, or the server is gone; in 8.3 also a trigger \
         file that can't be deleted. The server stops.",
    ),
];

const SIGNALS: &str = "SIGQUIT ends it by SIGINT, SIGTERM by SIGTERM.";

/// Text as roff takes it: nothing in it is a command.
fn text(plain: &str) -> String {
    let escaped = plain.replace('\\', "\\e").replace('-', "\\-");
    let guard = |line: &str| match line.chars().next() {
        Some('.' | '\'') => format!("\\&{line}"),
        _ => line.to_owned(),
    };
    escaped.lines().map(guard).collect::<Vec<_>>().join("\n")
}

fn options() -> String {
    let mut page = String::new();
    for described in OPTIONS {
        let value = described.value.map(|value| format!(" \\fI{value}\\fR")).unwrap_or_default();
        page += &format!(".TP\n\\fB{}\\fR{value}\n", text(described.option));
        page += &format!("{}\n", text(described.meaning));
        if let Some((dialect, meaning)) = described.except {
            page += &format!("(In {}: {}.)\n", dialect.name(), text(meaning));
        }
        if let Some(dialect) = described.only {
            page += &format!("(Only in {}.)\n", dialect.name());
        }
        if let Some(dialect) = described.lacks {
            page += &format!("(Not in {}.)\n", dialect.name());
        }
    }
    page
}

fn exits() -> String {
    let exit = |(code, meaning): &(u8, &str)| format!(".TP\n\\fB{code}\\fR\n{}\n", text(meaning));
    EXITS.iter().map(exit).collect()
}

fn page() -> String {
    let section = |title: &str, body: &str| format!(".SH {title}\n{}\n", body.trim_end());
    [
        ".TH PG_STANDBY 1 \"\" twowarm\n".to_owned(),
        section("NAME", &format!("pg_standby \\- {}", text(SUMMARY))),
        section("SYNOPSIS", &format!("\\fBpg_standby\\fR {}", text(SYNOPSIS))),
        section("DESCRIPTION", &text(DESCRIPTION)),
        section("OPTIONS", &options()),
        section("FAILOVER", &format!("{}\n.PP\n{}", text(FAILOVER), text(FAILOVER_OTHERWISE))),
        section("PRUNING", &text(PRUNING)),
        section("DIALECTS", &text(DIALECTS)),
        section("EXIT STATUS", &format!("{}.PP\n{}", exits(), text(SIGNALS))),
        section(
            "ENVIRONMENT",
            &format!(".TP\n\\fBPG_STANDBY_DIALECT\\fR\n{}", text(&format!("{NAMES}."))),
        ),
        section("EXAMPLE", &format!(".nf\n{}\n.fi", text(EXAMPLE))),
    ]
    .concat()
}

#[test]
fn the_page_says_what_the_program_says() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("pg_standby.1");
    if std::env::var_os("TWOWARM_WRITE_MAN").is_some() {
        std::fs::write(&committed, page()).unwrap();
    }
    let found = std::fs::read_to_string(&committed).unwrap();
    assert!(found == page(), "run this test with TWOWARM_WRITE_MAN=1 to renew pg_standby.1");
}

#[test]
fn each_dialect_shows_its_own_options() {
    let shows = |dialect, words| crate::help::help(dialect).contains(words);
    assert!(shows(Dialect::TwoWarm, "-v VERBOSITY") && !shows(Dialect::V13, "-v VERBOSITY"));
    assert!(shows(Dialect::V8_3, "it is deleted") && shows(Dialect::V8_4, "\"smart\""));
}
