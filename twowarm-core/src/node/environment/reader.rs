use std::collections::{BTreeMap, BTreeSet};

use super::{Environment, EnvironmentError, Line, Value};

/// The greatest depth of nested commands and expansions.
const DEPTH: usize = 40;

/// Parses the text as a shell would, far enough to recognize every command and whether it is always run.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    /// The offset of the next byte.
    pub(super) at: usize,
    pub(super) line: usize,
    pub(super) outer: &'a dyn Fn(&str) -> Option<String>,
    pub(super) values: BTreeMap<String, Value>,
    pub(super) exported: BTreeSet<String>,
    pub(super) ignored: Vec<Line>,
    /// The number of open commands and expansions.
    pub(super) depth: usize,
    /// The number of open functions and subshells, in which `return` and `exit` do not end the file.
    pub(super) apart: usize,
    /// Whether the current list of commands is always run, and the next command in it.
    pub(super) list_is_run: bool,
    pub(super) is_run: bool,
    /// The line of a command that may end the script.
    pub(super) may_end: Option<usize>,
    /// The variables that the current list (commands joined by `&&` and `||`) has set so far.
    pub(super) set_by_list: Vec<String>,
    /// The last token was an operator such as `&&`, after which a line end does not end the list.
    pub(super) list_continues: bool,
    /// Where a function begins whose name was the last token.
    pub(super) function: Option<(usize, usize)>,
    /// The functions so far, and the variables that they may set.
    pub(super) functions: BTreeSet<String>,
    pub(super) set_in_functions: BTreeSet<String>,
    /// The number of open function bodies.
    pub(super) bodies: usize,
    /// Here-documents that begin on the next line: the delimiter, and whether leading tabs are removed.
    pub(super) here_documents: Vec<(String, bool)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, outer: &'a dyn Fn(&str) -> Option<String>) -> Reader<'a> {
        Reader {
            text,
            at: 0,
            line: 1,
            outer,
            values: BTreeMap::new(),
            exported: BTreeSet::new(),
            ignored: Vec::new(),
            depth: 0,
            apart: 0,
            list_is_run: true,
            is_run: true,
            may_end: None,
            set_by_list: Vec::new(),
            list_continues: false,
            function: None,
            functions: BTreeSet::new(),
            set_in_functions: BTreeSet::new(),
            bodies: 0,
            here_documents: Vec::new(),
        }
    }

    pub(super) fn found(self) -> Environment {
        let Reader { values, exported, ignored, .. } = self;
        Environment { values, exported, ignored }
    }

    /// Runs `read` one level of nesting deeper.
    pub(super) fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, EnvironmentError>,
    ) -> Result<T, EnvironmentError> {
        if self.depth == DEPTH {
            return self.unreadable("nested too deeply");
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

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

    /// Skips blanks, and line ends after a backslash.
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

    /// The text from this byte to the end of its line or to the current position, for a message.
    pub(super) fn shown(&self, begin: usize) -> String {
        let text = self.text[begin..self.at].trim().lines().next().unwrap_or_default();
        let mut shown: String = text.chars().take(60).collect();
        if shown.len() < text.len() {
            shown += "...";
        }
        shown
    }
}
