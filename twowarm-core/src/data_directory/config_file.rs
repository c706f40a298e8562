//! Files of `name = 'value'` lines, as PostgreSQL reads its configuration.

/// A line that is not a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ConfigFileError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

/// The settings in a file's text, in order: line number, name in lower case, value. The `=` is optional, a
/// quote in a value is doubled or escaped with a backslash, `#` begins a comment.
///
/// # Errors
/// If a line is not a setting.
pub fn read_settings(text: &str) -> Result<Vec<(usize, String, String)>, ConfigFileError> {
    let numbered = text.lines().zip(1..);
    let parsed = numbered.map(|(content, line)| {
        let setting = read_line(content).map_err(|problem| ConfigFileError { line, problem })?;
        Ok(setting.map(|(name, value)| (line, name, value)))
    });
    parsed.filter_map(Result::transpose).collect()
}

/// One line: the name in lower case and the value; `None` for an empty line or a comment.
pub(crate) fn read_line(line: &str) -> Result<Option<(String, String)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "_.".contains(c)));
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    if name.is_empty() {
        return Err(format!("\"{line}\" does not begin with the name of a setting"));
    }
    let (value, rest) = match rest.strip_prefix('\'') {
        Some(quoted) => {
            unquoted(quoted).ok_or_else(|| format!("the value of {name} has no closing quote"))?
        }
        None => {
            let end = rest.find(|c: char| c.is_whitespace() || c == '#').unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        }
    };
    let rest = rest.trim_start();
    if value.is_empty() && !line.contains('\'') {
        return Err(format!("{name} has no value"));
    }
    if !(rest.is_empty() || rest.starts_with('#')) {
        return Err(format!("unexpected text after the value of {name}: \"{rest}\""));
    }
    Ok(Some((name.to_ascii_lowercase(), value)))
}

/// The value up to its closing quote, and what follows.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        match c {
            '\'' if rest.next_if(|&(_, next)| next == '\'').is_some() => value.push('\''),
            '\'' => return Some((value, &text[at + 1..])),
            '\\' => match rest.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                'b' => value.push('\u{8}'),
                'f' => value.push('\u{c}'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// The line `name = 'value'`, valid in every version.
#[must_use]
pub fn setting_line(name: &str, value: &str) -> String {
    format!("{name} = '{}'\n", value.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> (String, String) {
        read_line(line).unwrap().unwrap()
    }

    #[test]
    fn every_form_of_a_setting_is_read() {
        let expected = ("port".to_owned(), "5433".to_owned());
        for line in ["port=5433", " Port 5433 # why", "port = '5433'", "port '5433'#x"] {
            assert_eq!(one(line), expected, "{line}");
        }
        assert_eq!(one("a = 'it''s \\'so\\' \\\\'").1, "it's 'so' \\");
        assert_eq!(one("a = ''").1, "");
        assert_eq!(read_line("  # only a comment"), Ok(None));
    }

    #[test]
    fn an_invalid_line_is_named() {
        for bad in ["a = 'open", "a = 'b' c", "= 3", "a =", "a", "a = 'x\\"] {
            let error = read_settings(&format!("ok = 1\n{bad}\n")).unwrap_err();
            assert_eq!(error.line, 2, "{bad}: {error}");
        }
    }

    #[test]
    fn a_written_line_is_read_back() {
        for value in ["cp /a/%f %p", "it's", "back\\slash", "", "\\'"] {
            let line = setting_line("restore_command", value);
            assert_eq!(one(&line), ("restore_command".into(), value.into()));
        }
    }
}
