use super::reader::Reader;
use super::{EnvironmentError, Problem, Value};

/// A word of a command: its text after expansion and without quotes, or why it is not known.
#[derive(Debug, Default)]
pub(super) struct Word {
    pub text: String,
    pub problem: Option<Problem>,
    pub is_quoted: bool,
}

impl Word {
    pub(super) fn value(self) -> Value {
        self.problem.map_or(Ok(self.text), Err)
    }

    pub(super) fn is_export(&self) -> bool {
        !self.is_quoted && matches!(self.text.as_str(), "export" | "readonly")
    }

    /// `NAME=VALUE` as an argument of `export`, partly quoted.
    pub(super) fn assignment(&self) -> Option<(String, Value)> {
        let (name, value) = self.text.split_once('=')?;
        if name.is_empty() || name_at(name) != name {
            return None;
        }
        let value = self.problem.clone().map_or(Ok(value.to_owned()), Err);
        Some((name.to_owned(), value))
    }
}

/// The name of a variable at the start of a text; empty if there is none.
pub(super) fn name_at(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let name = &text[..end];
    if name.starts_with(|c: char| c.is_ascii_digit()) { "" } else { name }
}

/// The context of a part of a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    /// A word of a command.
    Plain,
    /// The value of an assignment, where `~` is expanded after a colon too.
    Assigned,
    /// WORD in `${NAME:-WORD}`.
    Braces,
    /// The same in double quotes.
    QuotedBraces,
}

impl Reader<'_> {
    /// The name and `=` of an assignment, if there is one here.
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
        self.part(&mut word, if is_assigned { Context::Assigned } else { Context::Plain })?;
        Ok(word)
    }

    /// Reads up to the end of the word or the closing brace.
    fn part(&mut self, word: &mut Word, context: Context) -> Result<(), EnvironmentError> {
        use Context::{Assigned, Braces, Plain, QuotedBraces};
        if context != QuotedBraces {
            self.tilde(word, context);
        }
        while let Some(c) = self.peek() {
            match (c, context) {
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
                // Shells differ in where the braces end then.
                ('\'', QuotedBraces) => return self.unreadable("single quote in \"${ }\""),
                ('"', _) => self.double_quoted(word)?,
                ('$', _) => self.dollar(word, context == QuotedBraces)?,
                ('`', _) => self.code(word, Self::backquoted)?,
                ('\\', _) => self.backslash(word, context == QuotedBraces)?,
                (':', Assigned) => {
                    word.text.extend(self.next());
                    self.tilde(word, context);
                }
                _ => word.text.extend(self.next()),
            }
        }
        Ok(())
    }

    /// `~` and `~/` at the start of a word.
    fn tilde(&mut self, word: &mut Word, context: Context) {
        let Some(rest) = self.text[self.at..].strip_prefix('~') else { return };
        let end = |c: char| match context {
            Context::Braces => "/}".contains(c),
            Context::Assigned => "/: \t\r\n;&|<>()".contains(c),
            _ => "/ \t\r\n;&|<>()".contains(c),
        };
        if rest.chars().next().is_none_or(end) {
            self.next();
            self.insert(word, "HOME");
        } else {
            self.problem(
                word,
                "~USER is not supported: write the name of the directory".into(),
                false,
            );
        }
    }

    /// Appends the value of a variable to a word. A variable that is not set makes the word unknown.
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

    /// Reads a part whose value only a shell can compute.
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
                None => return self.unreadable("unterminated \"`\""),
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
            None => return self.unreadable("backslash at the end of the file"),
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

    /// `$'...'`, in which a backslash can quote a quote.
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

    /// `${NAME}`, with or without an operator and a word.
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
        let context = if is_quoted { Context::QuotedBraces } else { Context::Braces };
        let mut other = Word::default();
        let other_at = self.at;
        self.part(&mut other, context)?;
        let is_bare = other_at == self.at && !has_colon && !name.is_empty();
        if self.next().is_none() {
            return self.unreadable("unterminated \"${\"");
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
    Err(EnvironmentError::Unreadable { line, problem: "unterminated quote".into() })
}
