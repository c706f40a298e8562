//! The documentation of a command: one table gives `--help`, usage errors and the man page.

use crate::exit_codes::ExitPolicy;
use crate::roff::Page;

/// What `--help` and the man page say of a command.
pub(crate) struct Manual {
    /// The name of the script.
    pub name: &'static str,
    /// Its arguments: `PATH NAME`.
    pub arguments: &'static str,
    /// What it does, in a few words without a full stop: `ships a WAL file to the standby`.
    pub summary: &'static str,
    /// What it does, in paragraphs separated by blank lines.
    pub description: &'static str,
    /// Arguments and options with their meanings, without those that all commands have.
    pub options: &'static [(&'static str, &'static str)],
    /// The exit codes that are not failures, with their meanings.
    pub answers: &'static [(u8, &'static str)],
    /// The files it reads and writes, with what they are. `PGROOT` and `PGDATA` are directories.
    pub files: &'static [(&'static str, &'static str)],
    /// Related commands and man pages.
    pub see_also: &'static [&'static str],
}

/// The files of most commands.
pub(crate) const ENVIRONMENT: (&str, &str) =
    ("PGROOT/2warm/local/environment.sh", "PGDATA and other variables of this node.");
pub(crate) const SETTINGS: (&str, &str) =
    ("PGROOT/2warm/local/2warm.toml", "Optional settings of this node.");
pub(crate) const OTHER_NODE: (&str, &str) =
    ("PGROOT/2warm/local/replication/othernode", "The host name of the other node.");
pub(crate) const DR_NODE: (&str, &str) =
    ("PGROOT/2warm/local/replication/drnode", "The host name of the DR node, if there is one.");

/// The options of every command.
const COMMON_OPTIONS: [(&str, &str); 4] = [
    ("debug", "Print this node's PGROOT, PGDATA, ARCHIVE and other nodes, and exit."),
    ("--help", "Print this help and exit."),
    ("--man", "Print the man page as roff source and exit; view it with \"man -l -\"."),
    ("--version", "Print the version and exit."),
];

/// The longest line of `--help`.
const WIDTH: usize = 80;
/// Where explanations begin in `--help`; a longer term has its own line.
const INDENT: usize = 17;

impl Manual {
    /// What `--help` prints.
    pub(crate) fn help(&self, failures: ExitPolicy) -> String {
        const USAGE: &str = "Usage: ";
        let usage = wrapped(&self.usage(), USAGE.len());
        let mut text = format!("{USAGE}{}\n", usage.trim_start());
        for paragraph in self.description.split("\n\n") {
            text += &format!("\n{}\n", wrapped(paragraph, 0));
        }
        text += "\nOptions:\n";
        for (option, meaning) in self.options.iter().chain(&COMMON_OPTIONS) {
            text += &entry(option, meaning);
        }
        text += "\nExit status:\n";
        for (code, meaning) in self.exit_codes(failures) {
            text += &entry(&code.to_string(), meaning);
        }
        text
    }

    /// How it is called: `archiveWALFile PATH NAME`.
    pub(crate) fn usage(&self) -> String {
        format!("{} {}", self.name, self.arguments).trim_end().to_owned()
    }

    /// The man page as roff source.
    pub(crate) fn man_page(&self, failures: ExitPolicy) -> String {
        let mut page = Page::new(self.name);
        page.section("NAME");
        page.line("", &format!("{} - {}", self.name, self.summary));
        page.section("SYNOPSIS");
        page.line(self.name, &format!(" {}", self.arguments));
        page.section("DESCRIPTION");
        page.paragraphs(self.description);
        page.section("OPTIONS");
        for (option, meaning) in self.options.iter().chain(&COMMON_OPTIONS) {
            page.entry(option, meaning);
        }
        page.section("EXIT STATUS");
        for (code, meaning) in self.exit_codes(failures) {
            page.entry(&code.to_string(), meaning);
        }
        page.section("FILES");
        for (file, meaning) in self.files {
            page.entry(file, meaning);
        }
        page.section("SEE ALSO");
        page.line("", &self.see_also.join(", "));
        page.into_source()
    }

    fn exit_codes(&self, failures: ExitPolicy) -> impl Iterator<Item = &(u8, &'static str)> {
        self.answers.iter().chain(failures.failures())
    }
}

/// A term and its explanation, as an indented line or more.
fn entry(term: &str, explanation: &str) -> String {
    let explanation = wrapped(explanation, INDENT);
    if term.len() + 4 > INDENT {
        format!("  {term}\n{explanation}\n")
    } else {
        format!("  {term:<width$}{}\n", &explanation[INDENT..], width = INDENT - 2)
    }
}

/// Text in lines of at most [`WIDTH`] characters that begin with `indent` spaces.
fn wrapped(text: &str, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let mut lines = vec![margin.clone()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line.len() == indent {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= WIDTH {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(format!("{margin}{word}"));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    const ALL: [&Command; 15] = [
        &crate::archive_wal_file::COMMAND,
        &crate::config_facts::COMMAND,
        &crate::config_standby::COMMAND,
        &crate::copy_to_dr::COMMAND,
        &crate::copy_to_standby::COMMAND,
        &crate::distrib_2warm::COMMAND,
        &crate::flush_primary::COMMAND,
        &crate::receive_base_copy::COMMAND,
        &crate::receive_wal_file::COMMAND,
        &crate::restore_wal_file::COMMAND,
        &crate::rsync_dr::COMMAND,
        &crate::send_wal_file::COMMAND,
        &crate::switchover::COMMAND,
        &crate::trigger_standby::COMMAND,
        &crate::verify_archive::COMMAND,
    ];

    #[test]
    fn no_help_line_is_longer_than_80_characters() {
        for command in ALL {
            for line in command.manual.help(command.failures).lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", command.manual.name);
                assert_eq!(line.trim_end(), line, "{}", command.manual.name);
            }
        }
    }

    #[test]
    fn every_argument_in_the_usage_line_is_explained() {
        for command in ALL {
            let manual = &command.manual;
            let arguments = manual.arguments.split([' ', '[', ']', '|']).filter(|a| !a.is_empty());
            for argument in arguments {
                let mut options = manual.options.iter().chain(&COMMON_OPTIONS);
                assert!(
                    options.any(|(option, _)| *option == argument),
                    "{}: {argument} is not explained",
                    manual.name
                );
            }
        }
    }

    #[test]
    fn every_man_page_has_all_its_sections() {
        for command in ALL {
            let page = command.manual.man_page(command.failures);
            let titles: Vec<_> = page.lines().filter_map(|l| l.strip_prefix(".SH ")).collect();
            let expected =
                ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "FILES", "SEE ALSO"];
            assert_eq!(titles, expected, "{}", command.manual.name);
            assert!(!page.contains("\n\n"), "{}: an empty section or line", command.manual.name);
            assert!(!command.manual.files.is_empty() && !command.manual.see_also.is_empty());
        }
    }

    #[test]
    fn only_a_restore_command_keeps_every_failure_above_125() {
        for command in ALL {
            let failures = command.failures.failures();
            let is_restore = command.manual.name == "restoreWALFile";
            assert_eq!(failures.iter().all(|(code, _)| *code > 125), is_restore);
        }
    }
}
