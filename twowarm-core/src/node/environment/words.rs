use super::commands::Reader;
use super::{EnvironmentError, Problem, Value};

/// A word of a command: its text without the quotes, as far as that can be known.
#[derive(Debug, Default)]
pub(super) struct Word {
    pub text: String,
    pub problem: Option<Problem>,
    pub is_quoted: bool,
}

impl Word {
    pub fn value(self) -> Value {
        self.problem.map_or(Ok(self.text), Err)
    }

    pub fn is_export(&self) -> bool {
        !self.is_quoted && matches!(self.text.as_str(), "export" | "readonly")
    }

    /// As an argument of `export`: `NAME=VALUE`, where a part of it was quoted.
    pub fn assignment(&self) -> Option<(String, Value)> {
        let (name, value) = self.text.split_once('=')?;
        if name.is_empty() || name_at(name) != name {
            return None;
        }
        let value = self.problem.clone().map_or(Ok(value.to_owned()), Err);
        Some((name.to_owned(), value))
    }
}

/// The variable's name that a text begins with; empty if it does not.
pub(super) fn name_at(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let name = &text[..end];
    if name.starts_with(|c: char| c.is_ascii_digit()) { "" } else { name }
}

/// Where a part of a word stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A word of a command.
    Plain,
    /// The value of an assignment, where `~` counts after a colon too.
    Assigned,
    /// The WORD of `${NAME:-WORD}`.
    Braces,
    /// The same between double quotes.
    QuotedBraces,
}

impl Reader<'_> {
    pub(super) fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    pub(super) fn skip(&mut self, text: &str) -> bool {
        let found = self.text[self.at..].starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// Passes blanks, and a line end after a backslash.
    pub(super) fn blanks(&mut self) {
        loop {
            if self.text[self.at..].starts_with("\\\n") {
                self.next();
            } else if !matches!(self.peek(), Some(' ' | '\t' | '\r')) {
                return;
            }
            self.next();
        }
    }

    pub(super) fn unreadable<T>(&self, problem: impl Into<String>) -> Result<T, EnvironmentError> {
        Err(EnvironmentError::Unreadable { line: self.line, problem: problem.into() })
    }

    /// The text from this byte to the end of its line, or to where we are, for a message.
    pub(super) fn shown(&self, begin: usize) -> String {
        let text = self.text[begin..self.at].trim().lines().next().unwrap_or_default();
        let mut shown: String = text.chars().take(60).collect();
        if shown.len() < text.len() {
            shown += "...";
        }
        shown
    }

    /// The name that an assignment begins with; nothing is read where there is none.
    pub(super) fn assigned_name(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        let name = name_at(rest);
        if name.is_empty() || !rest[name.len()..].starts_with('=') {
            return None;
        }
        self.at += name.len() + 1;
        Some(name.to_owned())
    }

    pub(super) fn word(&mut self, is_assigned: bool) -> Result<Word, EnvironmentError> {
        let mut word = Word::default();
        self.part(&mut word, if is_assigned { Place::Assigned } else { Place::Plain })?;
        Ok(word)
    }

    /// Reads up to the end of the word, or to the brace.
    fn part(&mut self, word: &mut Word, place: Place) -> Result<(), EnvironmentError> {
        use Place::{Assigned, Braces, Plain, QuotedBraces};
        if place != QuotedBraces {
            self.tilde(word, place);
        }
        while let Some(c) = self.peek() {
            match (c, place) {
                ('}', Braces | QuotedBraces) => return Ok(()),
                (
                    ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | ')',
                    Plain | Assigned,
                ) => {
                    return Ok(());
                }
                ('(', Plain) if name_at(&word.text) == word.text && !word.text.is_empty() => {
                    // A function's name, unless there is something between the parentheses.
                    let inside = self.text[self.at + 1..].trim_start_matches([' ', '\t']);
                    if inside.starts_with(')') {
                        return Ok(());
                    }
                    self.code(word, Self::parenthesis)?;
                }
                ('(', Plain | Assigned) => self.code(word, Self::parenthesis)?,
                ('\'', Plain | Assigned | Braces) => self.single_quoted(word)?,
                // Shells do not agree on where the braces end then.
                ('\'', QuotedBraces) => return self.unreadable("\"'\" between \"${ and }\""),
                ('"', _) => self.double_quoted(word)?,
                ('$', _) => self.dollar(word, place == QuotedBraces)?,
                ('`', _) => self.code(word, Self::backquoted)?,
                ('\\', _) => self.backslash(word, place == QuotedBraces)?,
                (':', Assigned) => {
                    word.text.extend(self.next());
                    self.tilde(word, place);
                }
                _ => word.text.extend(self.next()),
            }
        }
        Ok(())
    }

    /// `~` and `~/`, where a word begins.
    fn tilde(&mut self, word: &mut Word, place: Place) {
        let Some(rest) = self.text[self.at..].strip_prefix('~') else { return };
        let end = |c: char| match place {
            Place::Braces => "/}".contains(c),
            Place::Assigned => "/: \t\r\n;&|<>()".contains(c),
            _ => "/ \t\r\n;&|<>()".contains(c),
        };
        if rest.chars().next().is_none_or(end) {
            self.next();
            self.insert(word, "HOME");
        } else {
            self.problem(word, "~USER is not understood, write the directory out".into(), false);
        }
    }

    /// Puts a variable's value into a word. In a shell one that is not set is empty.
    fn insert(&mut self, word: &mut Word, name: &str) {
        match self.look_up(name) {
            Some(Ok(value)) => word.text += &value,
            Some(Err(problem)) => {
                word.problem.get_or_insert(problem);
            }
            None => self.problem(word, format!("{name} is not set"), false),
        }
    }

    fn problem(&self, word: &mut Word, text: String, is_code: bool) {
        word.problem.get_or_insert(Problem { line: self.line, text, is_code });
    }

    /// Reads what only a shell can tell the value of.
    fn code(
        &mut self,
        word: &mut Word,
        read: impl FnOnce(&mut Self) -> Result<(), EnvironmentError>,
    ) -> Result<(), EnvironmentError> {
        let (begin, line) = (self.at, self.line);
        read(self)?;
        let text = format!("\"{}\" is shell code", self.shown(begin));
        word.problem.get_or_insert(Problem { line, text, is_code: true });
        Ok(())
    }

    fn backquoted(&mut self) -> Result<(), EnvironmentError> {
        self.next();
        loop {
            match self.next() {
                Some('`') => return Ok(()),
                Some('\\') => {
                    self.next();
                }
                Some(_) => {}
                None => return self.unreadable("\"`\" is not closed"),
            }
        }
    }

    fn backslash(&mut self, word: &mut Word, is_quoted: bool) -> Result<(), EnvironmentError> {
        self.next();
        word.is_quoted = true;
        match self.next() {
            Some('\n') => {}
            Some(c) if is_quoted && !"\"\\$`}".contains(c) => word.text.extend(['\\', c]),
            Some(c) => word.text.push(c),
            None => return self.unreadable("a backslash ends the file"),
        }
        Ok(())
    }

    pub(super) fn single_quoted(&mut self, word: &mut Word) -> Result<(), EnvironmentError> {
        let opened = self.line;
        self.next();
        word.is_quoted = true;
        let rest = &self.text[self.at..];
        let Some(end) = rest.find('\'') else { return not_closed(opened) };
        word.text += &rest[..end];
        self.at += end + 1;
        self.line += rest[..end].matches('\n').count();
        Ok(())
    }

    pub(super) fn double_quoted(&mut self, word: &mut Word) -> Result<(), EnvironmentError> {
        let opened = self.line;
        self.next();
        word.is_quoted = true;
        loop {
            match self.peek() {
                Some('"') => {
                    self.next();
                    return Ok(());
                }
                Some('$') => self.dollar(word, true)?,
                Some('`') => self.code(word, Self::backquoted)?,
                Some('\\') => {
                    if self.text[self.at..].starts_with("\\}") {
                        word.text.extend(self.next());
                    } else {
                        self.backslash(word, true)?;
                    }
                }
                Some(_) => word.text.extend(self.next()),
                None => return not_closed(opened),
            }
        }
    }

    fn dollar(&mut self, word: &mut Word, is_quoted: bool) -> Result<(), EnvironmentError> {
        let rest = &self.text[self.at + 1..];
        let name = name_at(rest);
        if !name.is_empty() {
            self.at += 1 + name.len();
            self.insert(word, name);
            return Ok(());
        }
        match rest.chars().next() {
            Some('(') => self.code(word, |reader| {
                reader.next();
                reader.parenthesis()
            }),
            Some('{') => self.deeper(|reader| reader.braces(word, is_quoted)),
            Some('\'') if !is_quoted => self.code(word, Self::ansi_quoted),
            Some(c) if c.is_ascii_digit() || "@*#?-$!".contains(c) => self.code(word, |reader| {
                reader.next();
                reader.next();
                Ok(())
            }),
            _ => {
                word.text.extend(self.next());
                Ok(())
            }
        }
    }

    /// `$'...'`, where a backslash may stand before a quote.
    fn ansi_quoted(&mut self) -> Result<(), EnvironmentError> {
        let opened = self.line;
        self.next();
        self.next();
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some('\\') => {
                    self.next();
                }
                Some(_) => {}
                None => return not_closed(opened),
            }
        }
    }

    /// `${NAME}`, and with an operator and a word behind it.
    fn braces(&mut self, word: &mut Word, is_quoted: bool) -> Result<(), EnvironmentError> {
        let (begin, line) = (self.at, self.line);
        self.skip("${");
        let name = name_at(&self.text[self.at..]).to_owned();
        self.at += name.len();
        let has_colon = self.skip(":");
        let operator = self.peek().filter(|c| "-=+?".contains(*c) && !name.is_empty());
        if operator.is_some() {
            self.next();
        }
        let place = if is_quoted { Place::QuotedBraces } else { Place::Braces };
        let mut other = Word::default();
        let other_at = self.at;
        self.part(&mut other, place)?;
        let is_bare = other_at == self.at && !has_colon && !name.is_empty();
        if self.next().is_none() {
            return self.unreadable("\"${\" is not closed");
        }
        let current = self.look_up(&name);
        let is_set = match &current {
            Some(Ok(value)) => !(has_colon && value.is_empty()),
            other => other.is_some(),
        };
        match operator {
            None if is_bare => self.insert(word, &name),
            Some('-' | '=' | '?') if is_set => self.insert(word, &name),
            Some('+') if matches!(current, Some(Err(_))) => self.insert(word, &name),
            Some('+') if !is_set => {}
            Some('-' | '+') => {
                word.text += &other.text;
                word.problem = word.problem.take().or(other.problem);
            }
            Some('=') => {
                self.set(name.clone(), other.value(), line);
                self.insert(word, &name);
            }
            Some('?') => self.problem(word, format!("{name} is not set"), false),
            _ => {
                let text = format!("\"{}\" is shell code", self.shown(begin));
                word.problem.get_or_insert(Problem { line, text, is_code: true });
            }
        }
        Ok(())
    }
}

fn not_closed<T>(line: usize) -> Result<T, EnvironmentError> {
    Err(EnvironmentError::Unreadable { line, problem: "a quote is not closed".into() })
}
