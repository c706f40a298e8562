//! Man pages as roff source.

/// A man page under construction.
pub(crate) struct Page(String);

impl Page {
    /// A page of section 1.
    pub(crate) fn new(name: &str) -> Page {
        Page(format!(".TH {} 1 \"\" \"twowarm {}\"\n", escape(name), env!("CARGO_PKG_VERSION")))
    }

    /// Begins a section.
    pub(crate) fn section(&mut self, title: &str) {
        self.0 += &format!(".SH {title}\n");
    }

    /// A line of text, `bold` in bold and then the rest.
    pub(crate) fn line(&mut self, bold: &str, rest: &str) {
        let text = match bold {
            "" => escape(rest),
            bold => format!("\\fB{}\\fR{}", escape(bold), escape(rest)),
        };
        self.0 += text.trim_end();
        self.0.push('\n');
    }

    /// Paragraphs separated by blank lines.
    pub(crate) fn paragraphs(&mut self, text: &str) {
        for (turn, paragraph) in text.split("\n\n").enumerate() {
            if turn > 0 {
                self.0 += ".PP\n";
            }
            self.0 += &format!("{}\n", escape(paragraph));
        }
    }

    /// A term in bold and its indented explanation.
    pub(crate) fn entry(&mut self, term: &str, explanation: &str) {
        self.0 += &format!(".TP\n\\fB{}\\fR\n{}\n", escape(term), escape(explanation));
    }

    /// The source of the page.
    pub(crate) fn into_source(self) -> String {
        self.0
    }
}

/// Plain text as roff: no part of it is read as a request or an escape.
fn escape(plain: &str) -> String {
    let escaped = plain.replace('\\', "\\e").replace('-', "\\-");
    let guard = |line: &str| match line.chars().next() {
        Some('.' | '\'') => format!("\\&{line}"),
        _ => line.to_owned(),
    };
    escaped.lines().map(guard).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_never_a_request_or_an_escape() {
        assert_eq!(escape(".so x\n'ds y\n--yes \\n"), "\\&.so x\n\\&'ds y\n\\-\\-yes \\en");
    }
}
