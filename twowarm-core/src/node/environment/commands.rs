use super::reader::Reader;
use super::words::Word;
use super::{EnvironmentError, Value};

impl Reader<'_> {
    pub(super) fn file(&mut self) -> Result<(), EnvironmentError> {
        self.commands(None)
    }

    /// Reads commands that may not be run, or not in this shell, up to the word or character that ends them.
    pub(super) fn block(&mut self, closer: &str, apart: bool) -> Result<(), EnvironmentError> {
        let before = (self.list_is_run, self.is_run);
        (self.list_is_run, self.is_run) = (false, false);
        self.apart += usize::from(apart);
        let result = self.deeper(|reader| reader.commands(Some(closer)));
        self.apart -= usize::from(apart);
        (self.list_is_run, self.is_run) = before;
        (self.list_continues, self.function) = (false, None);
        result
    }

    fn commands(&mut self, closer: Option<&str>) -> Result<(), EnvironmentError> {
        let opened = self.line;
        loop {
            self.blanks();
            let begins = (self.at, self.line);
            match (self.peek(), closer) {
                (None, None) if self.here_documents.is_empty() => return Ok(()),
                (None, None) => return self.unreadable("unterminated here-document"),
                (None, Some(closer)) => {
                    let problem = format!("missing \"{closer}\"");
                    return Err(EnvironmentError::Unreadable { line: opened, problem });
                }
                (Some(')'), _) => {
                    self.next();
                    if closer == Some(")") {
                        return Ok(());
                    }
                }
                (Some('\n'), _) => self.line_end()?,
                (Some(';'), _) => {
                    self.next();
                    self.end_list();
                }
                (Some('&' | '|'), _) => self.operator(),
                (Some('#'), _) => self.comment(),
                (Some('('), _) => {
                    let begins = self.function.take().unwrap_or(begins);
                    self.parenthesis()?;
                    self.ignore(begins);
                }
                _ => {
                    if self.command(closer)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn comment(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.next();
        }
    }

    fn line_end(&mut self) -> Result<(), EnvironmentError> {
        self.next();
        if !self.list_continues {
            self.end_list();
        }
        for (end, without_tabs) in std::mem::take(&mut self.here_documents) {
            loop {
                if self.at == self.text.len() {
                    return self
                        .unreadable(format!("unterminated here-document: missing \"{end}\""));
                }
                let rest = &self.text[self.at..];
                let line = rest.split('\n').next().unwrap_or_default();
                self.at = (self.at + line.len() + 1).min(self.text.len());
                self.line += 1;
                if (if without_tabs { line.trim_start_matches('\t') } else { line }) == end {
                    break;
                }
            }
        }
        Ok(())
    }

    fn end_list(&mut self) {
        self.is_run = self.list_is_run && self.may_end.is_none();
        self.set_by_list.clear();
        self.list_continues = false;
    }

    /// `&&`, `||`, `|` and `&`: of commands joined by the first two only the first is always run; the commands of
    /// a pipe, and a list in the background, run in a subshell.
    fn operator(&mut self) {
        let first = self.next();
        let doubled = self.peek() == first;
        if doubled {
            self.next();
        } else {
            for name in std::mem::take(&mut self.set_by_list) {
                self.set_unknown(name, "it is set in a subshell".into());
            }
        }
        if first == Some('&') && !doubled {
            self.end_list();
        } else {
            (self.is_run, self.list_continues) = (false, true);
        }
    }

    /// `( commands )` or `(( arithmetic ))`.
    pub(super) fn parenthesis(&mut self) -> Result<(), EnvironmentError> {
        self.next();
        if self.peek() == Some('(') {
            return self.arithmetic();
        }
        self.block(")", true)
    }

    /// The text after `(` up to the matching `)`. Variables may be set in it.
    fn arithmetic(&mut self) -> Result<(), EnvironmentError> {
        let begin = self.at;
        let mut open = 1;
        let mut ignored = Word::default();
        while open > 0 {
            match self.peek() {
                None => return self.unreadable("unterminated \"((\""),
                Some('\'') => self.single_quoted(&mut ignored)?,
                Some('"') => self.double_quoted(&mut ignored)?,
                Some(c) => {
                    open += usize::from(c == '(');
                    open -= usize::from(c == ')');
                    self.next();
                }
            }
        }
        let text = self.text;
        self.may_set_any_of(&text[begin..self.at]);
        Ok(())
    }

    /// Reads one command; `true` if it is the word that ends the block.
    fn command(&mut self, closer: Option<&str>) -> Result<bool, EnvironmentError> {
        let begins = (self.at, self.line);
        self.list_continues = false;
        let function = self.function.take();
        let mut command = Command::default();
        while !self.at_command_end() {
            let line = self.line;
            let exports = command.words.first().is_some_and(Word::is_export);
            if self.skip_to_redirection() {
                self.redirection()?;
                command.is_redirected = true;
            } else if (command.words.is_empty() || exports)
                && let Some(name) = self.assigned_name()
            {
                let value = self.word(true)?.value();
                if exports {
                    command.exported.push((name, value, line));
                } else {
                    self.set(name.clone(), value, line);
                    command.assigned.push(name);
                }
            } else {
                let word = self.word(false)?;
                if command.is_empty() && !word.is_quoted {
                    match self.keyword(&word.text, closer, function, begins)? {
                        Keyword::Closer => return Ok(true),
                        Keyword::Read => return Ok(false),
                        Keyword::None => {}
                    }
                }
                match word.assignment().filter(|_| exports) {
                    Some((name, value)) => command.exported.push((name, value, line)),
                    None => command.words.push(word),
                }
            }
            self.blanks();
        }
        self.apply(command, begins);
        Ok(false)
    }

    fn at_command_end(&self) -> bool {
        matches!(self.peek(), None | Some('\n' | ';' | '&' | '|' | ')' | '#'))
    }

    /// The meaning of a word at the start of a command.
    fn keyword(
        &mut self,
        word: &str,
        closer: Option<&str>,
        function: Option<(usize, usize)>,
        begins: (usize, usize),
    ) -> Result<Keyword, EnvironmentError> {
        let end = match word {
            _ if closer == Some(word) => return Ok(Keyword::Closer),
            "then" | "else" | "elif" | "do" | "!" | "time" => return Ok(Keyword::Read),
            "function" => {
                self.blanks();
                let name = self.word(false)?.text;
                self.functions.insert(name);
                self.skip_function_parentheses();
                self.function = Some(begins);
                return Ok(Keyword::Read);
            }
            "if" => "fi",
            "case" => "esac",
            "while" | "until" | "for" | "select" => "done",
            "{" => "}",
            name if self.skip_function_parentheses() => {
                self.functions.insert(name.to_owned());
                self.function = Some(begins);
                return Ok(Keyword::Read);
            }
            _ => return Ok(Keyword::None),
        };
        self.bodies += usize::from(function.is_some());
        let read = self.block(end, function.is_some());
        self.bodies -= usize::from(function.is_some());
        read?;
        self.ignore(function.unwrap_or(begins));
        Ok(Keyword::Read)
    }

    /// The `()` after the name of a function.
    fn skip_function_parentheses(&mut self) -> bool {
        let begin = self.at;
        self.blanks();
        if self.skip("(") {
            self.blanks();
            if self.skip(")") {
                return true;
            }
        }
        self.at = begin;
        false
    }

    /// Whether a redirection is next; skips the number before it.
    fn skip_to_redirection(&mut self) -> bool {
        let rest = self.text[self.at..].trim_start_matches(|c: char| c.is_ascii_digit());
        let is_redirection = rest.starts_with(['<', '>']);
        if is_redirection {
            self.at = self.text.len() - rest.len();
        }
        is_redirection
    }

    fn redirection(&mut self) -> Result<(), EnvironmentError> {
        let is_here_document = self.text[self.at..].starts_with("<<");
        if self.skip("<<<") || !is_here_document {
            while self.peek().is_some_and(|c| "<>&|".contains(c)) {
                self.next();
            }
            self.blanks();
            self.word(false)?;
            return Ok(());
        }
        self.skip("<<");
        let without_tabs = self.skip("-");
        self.blanks();
        let begin = self.at;
        self.word(false)?;
        let end = self.text[begin..self.at].replace(['\'', '"', '\\'], "");
        self.here_documents.push((end, without_tabs));
        Ok(())
    }
}

/// A simple command.
#[derive(Default)]
pub(super) struct Command {
    /// The variables already set: a shell sets the first before it expands the second.
    pub assigned: Vec<String>,
    /// The variables that `export` sets after all its arguments are expanded.
    pub exported: Vec<(String, Value, usize)>,
    /// The other words.
    pub words: Vec<Word>,
    pub is_redirected: bool,
}

impl Command {
    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.assigned.is_empty() && !self.is_redirected
    }
}

enum Keyword {
    /// It ends the block.
    Closer,
    /// It was read, with the command that it begins.
    Read,
    /// It is not a keyword.
    None,
}
