use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::str::Chars;

/// The assignments of `local/environment.sh`.
///
/// 2warm's scripts sourced that file; here it is read and never executed. Understood are assignments,
/// `export`, comments, quotes, backslashes, `$NAME`, `${NAME}` and `${NAME:-WORD}`; anything else is an
/// error that names the line, since skipping it could mean another data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    assigned: BTreeMap<String, String>,
    exported: BTreeSet<String>,
}

/// A line that is no assignment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: {problem} (only assignments such as PGDATA=/data/15 are read, nothing is run)"
)]
pub struct EnvironmentError {
    /// The line, counted from 1.
    pub line: usize,
    /// What was found there.
    pub problem: String,
}

impl Environment {
    /// Reads the file's text; `outer` gives the variables of the process, for `$NAME`.
    pub fn parse(
        text: &str,
        outer: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Environment, EnvironmentError> {
        let (found, exported) = (BTreeMap::new(), BTreeSet::new());
        let mut reader = Reader { rest: text.chars().peekable(), line: 1, found, exported, outer };
        reader.commands()?;
        Ok(Environment { assigned: reader.found, exported: reader.exported })
    }

    /// What a variable was set to, if it was and is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.assigned.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether `export` was said of it.
    pub fn is_exported(&self, name: &str) -> bool {
        self.exported.contains(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.assigned.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
    found: BTreeMap<String, String>,
    exported: BTreeSet<String>,
    outer: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    fn problem<T>(&self, problem: impl Into<String>) -> Result<T, EnvironmentError> {
        Err(EnvironmentError { line: self.line, problem: problem.into() })
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        if c == Some('\n') {
            self.line += 1;
        }
        c
    }

    fn commands(&mut self) -> Result<(), EnvironmentError> {
        let mut exporting = false;
        while let Some(&c) = self.rest.peek() {
            match c {
                '\n' | ';' => {
                    exporting = false;
                    self.next();
                }
                ' ' | '\t' | '\r' => {
                    self.next();
                }
                '#' => while self.rest.next_if(|&c| c != '\n').is_some() {},
                _ => {
                    let name = self.name();
                    if self.rest.next_if_eq(&'=').is_some() {
                        self.check_name(&name)?;
                        let value = self.word()?;
                        if exporting {
                            self.exported.insert(name.clone());
                        }
                        self.found.insert(name, value);
                    } else if name == "export" && self.at_word_end() {
                        exporting = true;
                    } else if exporting && self.at_word_end() {
                        self.exported.insert(name);
                    } else {
                        return self.not_an_assignment(name);
                    }
                }
            }
        }
        Ok(())
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        name
    }

    fn check_name(&self, name: &str) -> Result<(), EnvironmentError> {
        match name.chars().next() {
            Some(first) if !first.is_ascii_digit() => Ok(()),
            _ => self.problem(format!("\"{name}=\" does not begin with a name")),
        }
    }

    fn at_word_end(&mut self) -> bool {
        self.rest.peek().is_none_or(|c| " \t\r\n;".contains(*c))
    }

    fn not_an_assignment(&mut self, start: String) -> Result<(), EnvironmentError> {
        let rest: String = self.rest.clone().take_while(|&c| c != '\n').take(60).collect();
        self.problem(format!("\"{start}{}\" is no assignment", rest.trim_end()))
    }

    /// The value of an assignment, up to white space, a semicolon or the end of the line.
    fn word(&mut self) -> Result<String, EnvironmentError> {
        let mut word = String::new();
        if self.rest.peek() == Some(&'~') {
            self.next();
            if !(self.at_word_end() || self.rest.peek() == Some(&'/')) {
                return self.problem("~USER is not understood, write the directory out");
            }
            word += &self.value_of("HOME");
        }
        while let Some(&c) = self.rest.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' => break,
                '\'' => self.single_quoted(&mut word)?,
                '"' => self.double_quoted(&mut word)?,
                '$' => self.dollar(&mut word)?,
                '\\' => {
                    self.next();
                    match self.next() {
                        Some('\n') => {}
                        Some(c) => word.push(c),
                        None => return self.problem("a backslash ends the file"),
                    }
                }
                '`' | '(' | ')' | '<' | '>' | '|' | '&' => {
                    return self.problem(format!("\"{c}\" is shell code"));
                }
                _ => word.extend(self.next()),
            }
        }
        Ok(word)
    }

    fn single_quoted(&mut self, word: &mut String) -> Result<(), EnvironmentError> {
        self.next();
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some(c) => word.push(c),
                None => return self.problem("a quote is not closed"),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut String) -> Result<(), EnvironmentError> {
        self.next();
        loop {
            match self.rest.peek().copied() {
                Some('"') => {
                    self.next();
                    return Ok(());
                }
                Some('$') => self.dollar(word)?,
                Some('`') => return self.problem("\"`\" is shell code"),
                Some('\\') => {
                    self.next();
                    match self.next() {
                        Some('\n') => {}
                        Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                        Some(c) => word.extend(['\\', c]),
                        None => return self.problem("a quote is not closed"),
                    }
                }
                Some(_) => word.extend(self.next()),
                None => return self.problem("a quote is not closed"),
            }
        }
    }

    fn dollar(&mut self, word: &mut String) -> Result<(), EnvironmentError> {
        self.next();
        if self.rest.next_if_eq(&'{').is_some() {
            let name = self.name();
            self.check_name(&name)?;
            let inside: String =
                std::iter::from_fn(|| self.rest.next_if(|c| !"}\n".contains(*c))).collect();
            let value = self.value_of(&name);
            let plain = |w: &str| !w.contains(['$', '`', '"', '\'', '\\']);
            let value = match (inside.as_str(), inside.strip_prefix(":-")) {
                ("", _) => value,
                (_, Some(other)) if plain(other) && value.is_empty() => other.to_owned(),
                (_, Some(other)) if plain(other) => value,
                _ => return self.problem(format!("\"${{{name}{inside}}}\" is not understood")),
            };
            if self.next() != Some('}') {
                return self.problem("\"${\" is not closed");
            }
            word.push_str(&value);
            return Ok(());
        }
        let name = self.name();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return self.problem("\"$\" is not followed by a name");
        }
        word.push_str(&self.value_of(&name));
        Ok(())
    }

    fn value_of(&self, name: &str) -> String {
        self.found.get(name).cloned().or_else(|| (self.outer)(name)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Environment, EnvironmentError> {
        Environment::parse(text, &|name| (name == "HOME").then(|| "/home/pg".to_owned()))
    }

    #[test]
    fn assignments_in_the_ways_people_write_them() {
        let read = parse(
            "# our node\nexport PGDATA=/data/15 # here\nA='a b'; export A\n\
             B=\"$PGDATA/x y\" C=${PGDATA}z\\ w\nD=~/d\n\tE=${NONE:-/dflt}\nexport F=1 G=2\nH=a#b\nI=\n",
        )
        .unwrap();
        let get = |name| read.get(name);
        assert_eq!(get("PGDATA"), Some("/data/15"));
        assert_eq!(get("A"), Some("a b"));
        assert_eq!(get("B"), Some("/data/15/x y"));
        assert_eq!(get("C"), Some("/data/15z w"));
        assert_eq!(get("D"), Some("/home/pg/d"));
        assert_eq!(get("E"), Some("/dflt"));
        assert_eq!((get("F"), get("G")), (Some("1"), Some("2")));
        assert_eq!(get("H"), Some("a#b"));
        assert_eq!(get("I"), None);
        let exported = ["PGDATA", "A", "B", "F", "G"].map(|name| read.is_exported(name));
        assert_eq!(exported, [true, true, false, true, true]);
    }

    #[test]
    fn what_is_no_assignment_is_named_with_its_line() {
        for (text, line) in [
            ("A=1\nsource other.sh\n", 2),
            ("A=$(hostname)\n", 1),
            ("\n\nA=`date`", 3),
            ("if true; then A=1; fi", 1),
            ("A='open\n\n", 3),
            ("1A=x", 1),
            ("=x", 1),
            ("A=x>file", 1),
            ("export -n A", 1),
        ] {
            assert_eq!(parse(text).map_err(|e| e.line), Err(line), "{text:?}");
        }
    }
}
