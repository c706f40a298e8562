use std::io;

use crate::restore::{GiveUp, Outcome};

/// What the process that asks the archive tells its parent, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// A call into the archive begins.
    Asking,
    /// It has returned.
    Answered,
    /// The answer to the request.
    Outcome(Outcome),
    /// Pruning, which follows the answer, is done.
    Pruned,
}

const ASKING: &str = "asking";
const ANSWERED: &str = "answered";
const PRUNED: &str = "pruned";
const RESTORED: &str = "restored";

const GIVE_UPS: [(&str, GiveUp); 7] = [
    ("not-there", GiveUp::NotThere),
    ("not-yet", GiveUp::NotYet),
    ("end-when-absent", GiveUp::EndWhenAbsent),
    ("archive-unavailable", GiveUp::ArchiveUnavailable),
    ("end-now", GiveUp::EndNow),
    ("time-is-up", GiveUp::TimeIsUp),
    ("copy-failed", GiveUp::CopyFailed),
];

impl Message {
    pub(super) fn to_line(&self) -> String {
        match self {
            Message::Asking => ASKING.to_owned(),
            Message::Answered => ANSWERED.to_owned(),
            Message::Pruned => PRUNED.to_owned(),
            Message::Outcome(Outcome::Restored) => RESTORED.to_owned(),
            Message::Outcome(Outcome::GaveUp(why)) => {
                let word = GIVE_UPS.iter().find(|(_, known)| known == why);
                format!("gave-up {}", word.map_or("", |(word, _)| word))
            }
            Message::Outcome(Outcome::Stopped(why)) => {
                format!("stopped {}", why.replace('\n', " "))
            }
            Message::Outcome(Outcome::Exit(code)) => format!("exit {code}"),
        }
    }

    pub(super) fn parse(line: &str) -> io::Result<Message> {
        let outcome = match line.split_once(' ') {
            None if line == ASKING => return Ok(Message::Asking),
            None if line == ANSWERED => return Ok(Message::Answered),
            None if line == PRUNED => return Ok(Message::Pruned),
            None if line == RESTORED => Some(Outcome::Restored),
            Some(("gave-up", word)) => GIVE_UPS
                .iter()
                .find(|(known, _)| *known == word)
                .map(|(_, why)| Outcome::GaveUp(*why)),
            Some(("stopped", why)) => Some(Outcome::Stopped(why.to_owned())),
            Some(("exit", code)) => code.parse().ok().map(Outcome::Exit),
            _ => None,
        };
        let unknown = || io::Error::other(format!("unknown message: {line}"));
        outcome.map(Message::Outcome).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_back() {
        let give_ups = GIVE_UPS.iter().map(|(_, why)| Outcome::GaveUp(*why));
        let others =
            [Outcome::Restored, Outcome::Exit(7), Outcome::Stopped("a server is gone".into())];
        let outcomes = give_ups.chain(others).map(Message::Outcome);
        for message in outcomes.chain([Message::Asking, Message::Answered, Message::Pruned]) {
            assert_eq!(Message::parse(&message.to_line()).unwrap(), message);
        }
        assert!(Message::parse("nonsense").is_err());
    }
}
