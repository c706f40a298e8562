//! The string literals of Rust source text.

/// A string literal and the code before it.
pub struct Literal<'a> {
    /// The source up to the opening quote.
    pub before: &'a str,
    /// The text, with its escapes replaced.
    pub text: String,
}

/// All string literals outside of comments.
pub fn literals(source: &str) -> Vec<Literal<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        at += if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(raw) = raw_string(rest) {
            found.push(Literal { before: &source[..at], text: raw.0.to_owned() });
            raw.1
        } else if let Some(text) = rest.strip_prefix('"') {
            let end = closing_quote(text);
            found.push(Literal { before: &source[..at], text: unescaped(&text[..end]) });
            end + 2
        } else if rest.starts_with('\'') {
            character(rest)
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
    }
    found
}

/// `r"..."` or `r#"..."#`: its text and its length.
fn raw_string(rest: &str) -> Option<(&str, usize)> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let text = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = text.find(&close)?;
    Some((&text[..end], 1 + hashes + 1 + end + close.len()))
}

fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    });
    end.unwrap_or(text.len())
}

/// The length of a character literal, or 1 for the quote of a lifetime.
fn character(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let after = at + escaped.len_utf8();
            rest[after..].find('\'').map_or(1, |end| after + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, characters.peek()) {
            ('\\', Some('\n')) => while characters.next_if(|c| c.is_whitespace()).is_some() {},
            ('\\', Some(&escaped)) => {
                characters.next();
                plain.push(if matches!(escaped, 'n' | 't' | 'r') { ' ' } else { escaped });
            }
            _ => plain.push(c),
        }
    }
    plain
}

#[test]
fn comments_and_characters_are_not_literals() {
    let source = "// \"no\"\nlet a = ('\"', '\\'', b'\\\\', r#\"raw \"x\"\"#, \"a\\\n   b \\\"c\\\"\"); fn f<'a>(x: &'a str)";
    let found: Vec<_> = literals(source).into_iter().map(|literal| literal.text).collect();
    assert_eq!(found, ["raw \"x\"", "ab \"c\""]);
}
