use super::commands::Command;
use super::reader::Reader;
use super::words::{Word, name_at};
use super::{Line, Problem, Value};

/// The effect of commands on variables.
impl Reader<'_> {
    /// Applies a command that only sets or exports variables; any other command is ignored.
    pub(super) fn apply(&mut self, command: Command, begins: (usize, usize)) {
        let Command { mut assigned, exported, words, is_redirected } = command;
        let is_name = |word: &Word| word.problem.is_none() && name_at(&word.text) == word.text;
        let export = match words.split_first() {
            Some((first, names)) if first.is_export() && names.iter().all(is_name) => Some(names),
            _ => None,
        };
        let is_plain = !is_redirected && (words.is_empty() || assigned.is_empty());
        match (export, words.first()) {
            (None, None) if is_plain => {}
            (None, Some(first)) if is_plain && first.text == ":" => {}
            (Some(names), _) if is_plain => {
                self.exported.extend(names.iter().map(|word| word.text.clone()));
                for (name, value, line) in exported {
                    self.exported.insert(name.clone());
                    self.set(name, value, line);
                }
            }
            _ => {
                assigned.extend(exported.into_iter().map(|(name, _, _)| name));
                self.ignore_command(&words, assigned, begins);
            }
        }
    }

    /// Ignores a command that a shell would run. It may set the variables that it names.
    fn ignore_command(&mut self, words: &[Word], assigned: Vec<String>, begins: (usize, usize)) {
        let text = self.shown(begins.0);
        let cause = || format!("it may be set by \"{text}\", which is ignored");
        assigned.into_iter().for_each(|name| self.set_unknown(name, cause()));
        if words.iter().any(|word| self.may_call_function(word)) {
            for name in self.set_in_functions.clone() {
                self.set_unknown(name, cause());
            }
        }
        match words.first().map_or("", |word| &word.text) {
            "echo" => {}
            "eval" | "trap" | "alias" => {
                words.iter().for_each(|word| self.may_set_any_of(&word.text));
            }
            first => {
                if matches!(first, "return" | "exit" | "exec") && self.apart == 0 {
                    self.may_end.get_or_insert(begins.1);
                    self.is_run = false;
                }
                for word in words {
                    let name = name_at(&word.text);
                    let rest = &word.text[name.len()..];
                    if !name.is_empty() && (rest.is_empty() || rest.starts_with(['=', '+', '['])) {
                        self.set_unknown(name.to_owned(), cause());
                    }
                }
            }
        }
        self.ignore(begins);
    }

    /// Whether the word contains the name of a function. It does not matter which one, because one function may
    /// call another.
    fn may_call_function(&self, word: &Word) -> bool {
        let is_function = |name: &str| self.functions.contains(name);
        let mut parts = word.text.split([' ', '\t', '\n', ';', '&', '|', '(', ')']);
        word.problem.is_some() || parts.any(is_function)
    }

    pub(super) fn may_set_any_of(&mut self, text: &str) {
        for name in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if !name.is_empty() {
                self.set_unknown(
                    name.to_owned(),
                    "it may be set by a command, which is ignored".into(),
                );
            }
        }
    }

    /// Sets a variable. An assignment with an unknown value is listed among the ignored lines.
    pub(super) fn set(&mut self, name: String, value: Value, line: usize) {
        let value = match self.may_end {
            _ if self.is_run => value,
            Some(end) => self
                .unknown(format!("the command in line {end} may end the script before it is set")),
            None => {
                let where_ = "under a condition, in a loop, in a function or in a subshell";
                self.unknown(format!("it is set {where_}"))
            }
        };
        if let Err(Problem { line: origin, text, is_code: true }) = &value
            && (*origin, self.depth) == (line, 0)
        {
            self.add_ignored(Line { first: line, last: line, text: text.clone() });
        }
        self.set_by_list.push(name.clone());
        self.insert_value(name, value);
    }

    pub(super) fn set_unknown(&mut self, name: String, text: String) {
        let problem = self.unknown(text);
        self.insert_value(name, problem);
    }

    fn insert_value(&mut self, name: String, value: Value) {
        if self.bodies > 0 {
            self.set_in_functions.insert(name.clone());
        }
        self.values.insert(name, value);
    }

    fn unknown(&self, text: String) -> Value {
        Err(Problem { line: self.line, text, is_code: false })
    }

    /// The current value of a variable; `None` if it is not set.
    pub(super) fn look_up(&self, name: &str) -> Option<Value> {
        self.values.get(name).cloned().or_else(|| (self.outer)(name).map(Ok))
    }

    /// Lists a command among the ignored lines, unless it is part of another command.
    pub(super) fn ignore(&mut self, (begin, first): (usize, usize)) {
        if self.depth == 0 {
            let text = self.shown(begin);
            self.add_ignored(Line { first, last: self.line, text });
        }
    }

    fn add_ignored(&mut self, line: Line) {
        // Of several commands on one line the first is shown.
        if self.ignored.last().is_none_or(|last| last.last < line.first) {
            self.ignored.push(line);
        } else if let Some(last) = self.ignored.last_mut() {
            last.last = last.last.max(line.last);
        }
    }
}
