//! Splits the command line as GNU `getopt` does: options may be clustered, with their arguments attached
//! or separate, and may follow operands (unless POSIXLY_CORRECT is set); `--` ends them. Also recognizes
//! the new long options.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Short options with an argument; `v` exists only in one dialect.
const WITH_VALUE: &[u8] = b"krstwv";
/// Short options without an argument.
const PLAIN: &[u8] = b"cdl";

/// One item of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// `-d`
    Plain(u8),
    /// `-s 5` or `-s5`
    Value(u8, OsString),
    /// An option that requires an argument, as the last item of the command line.
    MissingValue(u8),
    /// An option that does not exist.
    Unknown(String),
    /// `--dialect NAME`, `--dialect=NAME`, `--verify`
    Long(&'static str, Option<OsString>),
    /// An argument that is not an option.
    Operand(OsString),
}

/// The new long options, and whether they take an argument. `getopt` reads any other argument that
/// begins with two hyphens as a cluster of short options, of which the first, `-`, is unknown.
const LONG: &[(&str, bool)] = &[("dialect", true), ("verify", false), ("log-level", true)];

/// Splits the command line. With `posixly_correct` the first operand ends the options.
pub fn items(arguments: impl IntoIterator<Item = OsString>, posixly_correct: bool) -> Vec<Item> {
    let mut rest: VecDeque<OsString> = arguments.into_iter().collect();
    let mut items = Vec::new();
    let mut operands_only = false;
    while let Some(argument) = rest.pop_front() {
        let bytes = argument.as_bytes();
        if operands_only || bytes.len() < 2 || bytes[0] != b'-' {
            operands_only |= posixly_correct;
            items.push(Item::Operand(argument));
        } else if bytes == b"--" {
            operands_only = true;
        } else if let Some(long) = long_option(&argument, &mut rest) {
            items.push(long);
        } else {
            cluster(&bytes[1..], &mut rest, &mut items);
        }
    }
    items
}

fn long_option(argument: &OsStr, rest: &mut VecDeque<OsString>) -> Option<Item> {
    let text = argument.as_bytes().strip_prefix(b"--")?;
    let (name, attached) = match text.iter().position(|&b| b == b'=') {
        Some(at) => (&text[..at], Some(OsString::from_vec(text[at + 1..].to_vec()))),
        None => (text, None),
    };
    let &(name, takes_value) = LONG.iter().find(|(long, _)| long.as_bytes() == name)?;
    let value = if takes_value { attached.or_else(|| rest.pop_front()) } else { attached };
    Some(Item::Long(name, value))
}

fn cluster(mut letters: &[u8], rest: &mut VecDeque<OsString>, items: &mut Vec<Item>) {
    while let Some((&letter, following)) = letters.split_first() {
        letters = following;
        if PLAIN.contains(&letter) {
            items.push(Item::Plain(letter));
        } else if WITH_VALUE.contains(&letter) {
            let attached = !following.is_empty();
            let value = if attached {
                Some(OsString::from_vec(following.to_vec()))
            } else {
                rest.pop_front()
            };
            items.push(value.map_or(Item::MissingValue(letter), |v| Item::Value(letter, v)));
            return;
        } else {
            items.push(Item::Unknown(format!("-{}", letter.escape_ascii())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<Item> {
        items(line.split_whitespace().map(OsString::from), false)
    }

    fn operand(text: &str) -> Item {
        Item::Operand(text.into())
    }

    #[test]
    fn options_are_clustered_and_take_values() {
        assert_eq!(
            read("-cdl -s1 -k 7 -dw5 a -r"),
            [
                Item::Plain(b'c'),
                Item::Plain(b'd'),
                Item::Plain(b'l'),
                Item::Value(b's', "1".into()),
                Item::Value(b'k', "7".into()),
                Item::Plain(b'd'),
                Item::Value(b'w', "5".into()),
                operand("a"),
                Item::MissingValue(b'r'),
            ]
        );
    }

    #[test]
    fn a_double_hyphen_ends_the_options_and_a_single_one_is_an_operand() {
        assert_eq!(read("- -- -c --dialect"), [operand("-"), operand("-c"), operand("--dialect")]);
        assert_eq!(read("-t -- -d"), [Item::Value(b't', "--".into()), Item::Plain(b'd')]);
    }

    #[test]
    fn posixly_correct_ends_the_options_at_the_first_operand() {
        let arguments = ["-d", "a", "-d"].map(OsString::from);
        assert_eq!(items(arguments, true), [Item::Plain(b'd'), operand("a"), operand("-d")]);
    }

    #[test]
    fn other_long_options_are_unknown_short_options() {
        assert_eq!(read("--bogus")[0], Item::Unknown("--".into()));
        assert_eq!(read("--dialect=8.3"), [Item::Long("dialect", Some("8.3".into()))]);
        assert_eq!(read("--dialect 8.3 x")[1], operand("x"));
    }
}
