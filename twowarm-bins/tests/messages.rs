//! Every message of the programs, in one page: `docs/messages.md`. And the rules that all of them follow.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "messages/literals.rs"]
mod literals;

use literals::{Literal, literals};

const INTRODUCTION: &str = "\
# Messages

Every text of the programs that a user can read, by source file: errors, log lines, prompts, help and man pages.
Names in braces are values. Texts of fewer than three words are listed only where they are surely messages.

This page is generated. To update it: `UPDATE_MESSAGES=1 cargo test -p twowarm-bins --all-features --test messages`
";

/// Words and phrases that plain technical English does not have here.
const BANNED: [&str; 27] = [
    "anybody",
    "are no",
    "at work",
    "can be no",
    "can't",
    "counts as",
    "got to",
    "goes on",
    "has got",
    "is no",
    "nobody",
    "none such",
    "of its own",
    "of ours",
    "so few",
    "so long",
    "so many",
    "somebody",
    "stand",
    "standing",
    "stands",
    "stood",
    "what is there",
    "what stands",
    "whatever",
    "whoever",
    "yours",
];
/// Usual phrases in which the words above are right.
const ALLOWED: [&str; 4] = ["there is no ", "there are no ", "is no longer ", "are no longer "];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The sources of the three crates without their tests, by path.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut directories: Vec<PathBuf> = ["twowarm-core", "twowarm-pgstandby", "twowarm-bins"]
        .iter()
        .map(|name| root().join(name).join("src"))
        .collect();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !matches!(name, "tests" | "testbed") {
                directories.push(path);
            } else if path.is_file() && !matches!(name, "tests.rs" | "against_shells.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
                found.insert(name.to_owned(), text[..end].to_owned());
            }
        }
    }
    assert!(found.len() > 100, "{found:?}");
    found
}

/// The literals of a source that are messages.
fn messages(source: &str) -> Vec<String> {
    let is_message = |literal: &Literal| {
        let before = literal.before.trim_end();
        let starts =
            ["#[error(", "print(", "Usage(\"", "log::error!(", "log::warn!(", "log::info!("];
        let is_surely = starts.iter().any(|start| before.ends_with(start));
        let is_internal = ["expect(", "reason =", "bail!("].iter().any(|end| before.ends_with(end));
        let is_statement = ["select ", "set ", "create ", "drop ", "show "]
            .iter()
            .any(|statement| literal.text.starts_with(statement));
        let is_text = literal.text.split_whitespace().count() > 2;
        literal.text.contains(char::is_alphabetic)
            && !is_internal
            && !is_statement
            && (is_surely || is_text)
    };
    literals(source).iter().filter(|l| is_message(l)).map(|l| l.text.clone()).collect()
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (file, source) in sources() {
        let messages = messages(&source);
        if messages.is_empty() {
            continue;
        }
        write!(page, "\n## {file}\n\n```text\n").unwrap();
        for message in messages {
            let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
            writeln!(page, "{line}").unwrap();
        }
        page += "```\n";
    }
    page
}

#[test]
fn the_page_lists_every_message() {
    let file = root().join("docs/messages.md");
    let page = page();
    if std::env::var_os("UPDATE_MESSAGES").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    let changed = found.lines().zip(page.lines()).find(|(old, new)| old != new);
    assert!(
        found == page,
        "docs/messages.md is out of date (first difference: {changed:?}). Read the new messages and run \
         UPDATE_MESSAGES=1 cargo test -p twowarm-bins --all-features --test messages"
    );
}

/// The phrases of the list that a message contains.
fn banned_in(message: &str) -> Vec<&'static str> {
    let plain: String = message
        .to_lowercase()
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '\'' { c } else { ' ' })
        .collect();
    let mut plain = format!(" {} ", plain.split_whitespace().collect::<Vec<_>>().join(" "));
    for phrase in ALLOWED {
        plain = plain.replace(phrase, "");
    }
    BANNED.iter().copied().filter(|phrase| plain.contains(&format!(" {phrase} "))).collect()
}

#[test]
fn messages_are_in_plain_english() {
    check(|source| {
        let messages = messages(source);
        let banned = |message: &String| (banned_in(message), message.clone());
        let found = messages.iter().map(banned).filter(|(banned, _)| !banned.is_empty());
        found.map(|(banned, message)| format!("{banned:?} in: {message}")).collect()
    });
    assert_eq!(banned_in("PGDATA is no directory"), ["is no"]);
    assert!(banned_in("there is no archive here").is_empty());
}

/// The rule of `twowarm_core::FileError`: an error that prints its cause does not return it as its source.
#[test]
fn an_error_tells_its_cause_once() {
    check(|source| {
        let printed =
            source.split("#[error(").skip(1).filter(|rest| !rest.starts_with("transparent"));
        let items = printed.map(|rest| rest.split("\nimpl").next().unwrap_or(rest));
        let marks = ["#[source]", "#[from]", "source: "];
        let twice = items.filter(|item| marks.iter().any(|mark| item.contains(mark)));
        twice.map(|item| item.lines().next().unwrap_or_default().to_owned()).collect()
    });
}

/// Fails if a source breaks a rule.
fn check(problems: impl Fn(&str) -> Vec<String>) {
    let mut report = String::new();
    for (file, source) in sources() {
        let found = problems(&source);
        if !found.is_empty() {
            writeln!(report, "{file}:\n  {}", found.join("\n  ")).unwrap();
        }
    }
    assert!(report.is_empty(), "{report}");
}
