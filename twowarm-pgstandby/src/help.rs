//! `--help` and `--version`.

use crate::dialect::Dialect;
use crate::options::OPTIONS;

/// The output of `--version`. It begins like the original's, which scripts may parse.
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

/// The command line.
pub const SYNOPSIS: &str = "[OPTION]... ARCHIVELOCATION NEXTWALFILE XLOGFILEPATH [RESTARTWALFILE]";

/// An example of a `restore_command`.
pub const EXAMPLE: &str =
    "restore_command = 'exec pg_standby -t /tmp/trigger /mnt/archive %f %p %r'";

/// The program in one line.
pub const SUMMARY: &str = "waits for WAL files in an archive and restores them on a standby";

/// Widest line of the help text, in characters.
const WIDTH: usize = 80;
/// Column at which the meaning of an option begins.
const INDENT: usize = 23;

/// The output of `--help`: the usage and the options of the dialect.
pub fn help(dialect: Dialect) -> String {
    let mut text = format!(
        "pg_standby {SUMMARY}.\n\nUsage:\n  pg_standby {}\n\n\
         Example:\n  {EXAMPLE}\n\nOptions:\n",
        SYNOPSIS.replace(" [RESTARTWALFILE]", "\n             [RESTARTWALFILE]")
    );
    for described in OPTIONS {
        let Some(meaning) = described.meaning(dialect) else { continue };
        let value = described.value.map(|value| format!(" {value}")).unwrap_or_default();
        let option = format!("  {}{value}", described.option);
        text.push_str(&format!("{option:<0$}{1}\n", INDENT, wrapped(meaning)));
    }
    text
}

/// `meaning`, broken into lines that fit beside the options.
fn wrapped(meaning: &str) -> String {
    let mut lines = vec![String::new()];
    for word in meaning.split(' ') {
        let line = lines.last_mut().expect("there is a line");
        if line.is_empty() {
            line.push_str(word);
        } else if INDENT + line.len() + 1 + word.len() > WIDTH {
            lines.push(word.to_owned());
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join(&format!("\n{}", " ".repeat(INDENT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Dialect; 4] = [Dialect::V8_3, Dialect::V8_4, Dialect::V13, Dialect::TwoWarm];

    #[test]
    fn help_fits_a_terminal_of_80_columns() {
        for dialect in ALL {
            let text = help(dialect);
            let longest = text.lines().max_by_key(|line| line.len()).expect("a line");
            assert!(longest.len() <= WIDTH, "{longest}");
        }
    }

    #[test]
    fn wrapping_loses_no_word() {
        for meaning in OPTIONS.iter().map(|described| described.meaning) {
            let words: Vec<&str> = meaning.split_whitespace().collect();
            assert_eq!(wrapped(meaning).split_whitespace().collect::<Vec<_>>(), words);
        }
    }
}
