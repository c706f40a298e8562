//! `--help` and `--version`.

use crate::dialect::Dialect;
use crate::options::OPTIONS;

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

/// How it is called.
pub const SYNOPSIS: &str = "[OPTION]... ARCHIVELOCATION NEXTWALFILE XLOGFILEPATH [RESTARTWALFILE]";

/// How a server calls it.
pub const EXAMPLE: &str =
    "restore_command = 'exec pg_standby -t /tmp/trigger /mnt/archive %f %p %r'";

/// What it is.
pub const SUMMARY: &str =
    "waits for a WAL file in an archive and hands it to a warm standby server";

/// The options a dialect has.
pub fn help(dialect: Dialect) -> String {
    let mut text = format!(
        "pg_standby {SUMMARY}.\n\nUsage:\n  pg_standby {SYNOPSIS}\n\n\
         As restore_command:\n  {EXAMPLE}\n\nOptions:\n"
    );
    for described in OPTIONS {
        let Some(meaning) = described.meaning(dialect) else { continue };
        let value = described.value.map(|value| format!(" {value}")).unwrap_or_default();
        text.push_str(&format!("  {:<20} {meaning}\n", format!("{}{value}", described.option)));
    }
    text
}
