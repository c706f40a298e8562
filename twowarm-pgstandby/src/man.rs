//! The man page, generated from the same table as `--help` and committed as `pg_standby.1`. The test
//! fails if the committed page is out of date; with `TWOWARM_WRITE_MAN=1` in the environment it writes
//! the page.

use std::path::Path;

use crate::dialect::{Dialect, NAMES};
use crate::exit_codes::{NOT_RESTORED, RESTORED, STOP_SERVER, TOO_LARGE, USAGE};
use crate::help::{EXAMPLE, SUMMARY, SYNOPSIS};
use crate::options::OPTIONS;

const DESCRIPTION: &str = "\
pg_standby is called by a PostgreSQL server in archive recovery as its restore_command, once for each
file that the server requests. It waits until a requested segment is complete in the archive, then copies
it to the path that the server specified. A history file that does not exist is reported at once.
Segments that the server no longer needs are then removed from the archive.";

const DIALECTS: &str = "\
pg_standby differs between versions of PostgreSQL. The dialect is that of --dialect, else of
PG_STANDBY_DIALECT, else that of the server whose PG_VERSION file is in the working directory: 8.3 for a
server of 8.3; 8.4 for 8.2 and for 8.4 to 10; 13 for 11 and later, and if there is no such file. The
dialect 2warm is 2ndQuadrant's enhanced version.";

const FAILOVER: &str = "\
A trigger file that is empty or begins with \"smart\" ends recovery when the next requested file is not
in the archive. One that begins with \"fast\" ends recovery at once. The file is then emptied, so that
the server can restore the last file again. Servers from 15 on request a missing file twice: for them the
content becomes \"fast\" and the name of the first file that was refused. A file with any other content
is ignored. The dialect 8.3 has one kind of trigger, and deletes the file. Remove the trigger file when
the server has been promoted.";

const FAILOVER_OTHERWISE: &str = "\
pg_ctl promote acts as a smart trigger, except in the dialects 8.3 and 2warm. SIGUSR1 and SIGINT end
recovery at once.";

const PRUNING: &str = "\
If RESTARTWALFILE (%r) is specified, segments before it are removed; otherwise segments before the last
-k ones. Names are compared without their timeline. A small archive is listed for this. In a large
archive the names before the oldest segment to keep are tried one by one until several in a row do not
exist; the whole archive is listed from time to time, the less often the larger it is. pg_standby keeps
no state between calls.";

const EXITS: &[(u8, &str)] = &[
    (
        RESTORED,
        "The file was restored, or help or version was printed. In 8.3 also if copying failed.",
    ),
    (
        NOT_RESTORED,
        "The file was not restored: triggered, timed out, history file not found, or copying failed. \
         Recovery ends.",
    ),
    (USAGE, "Wrong arguments, or the archive directory does not exist. Recovery ends."),
    (TOO_LARGE, "The archived file is larger than a segment. Recovery ends."),
    (
        STOP_SERVER,
        "A wrong value of an option that the original does not have, a bug, or the server that asked has \
         exited; in 8.3 also a trigger file that cannot be removed. The server stops.",
    ),
];

const SIGNALS: &str = "SIGQUIT terminates pg_standby by SIGINT, SIGTERM by SIGTERM.";

/// Escapes text for roff.
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
fn the_committed_page_is_up_to_date() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("pg_standby.1");
    if std::env::var_os("TWOWARM_WRITE_MAN").is_some() {
        std::fs::write(&committed, page()).unwrap();
    }
    let found = std::fs::read_to_string(&committed).unwrap();
    assert!(found == page(), "pg_standby.1 is out of date: run this test with TWOWARM_WRITE_MAN=1");
}

#[test]
fn each_dialect_shows_its_own_options() {
    let shows = |dialect, words| crate::help::help(dialect).contains(words);
    assert!(shows(Dialect::TwoWarm, "-v VERBOSITY") && !shows(Dialect::V13, "-v VERBOSITY"));
    assert!(shows(Dialect::V8_3, "is then deleted") && shows(Dialect::V8_4, "\"smart\""));
}
