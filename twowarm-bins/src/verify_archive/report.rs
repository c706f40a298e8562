//! What verifyArchive prints.

use std::fmt::{Display, Write};
use std::path::Path;

use indicatif::BinaryBytes;
use twowarm_core::verify::{Finding, Stretch, Verdict};

/// A line for each finding, and a summary.
pub(super) fn table(archive: &Path, verdict: &Verdict) -> String {
    let width = |of: fn(&Finding) -> usize| verdict.findings.iter().map(of).max().unwrap_or(0);
    let kinds = width(|finding| finding.kind.to_string().len());
    let files = width(|finding| finding.file.chars().count());
    let mut text = String::new();
    for Finding { kind, file, detail, .. } in &verdict.findings {
        text += &format!("{kind:kinds$}  {file:files$}  {detail}\n");
    }
    if let Some(behind) = verdict.behind {
        let (segments, start) = (behind.segments, behind.start);
        text += &format!(
            "{segments} segments are older than {start}, where the oldest base copy with a backup history file starts\n"
        );
    }
    let findings = match verdict.findings.len() {
        0 => "nothing is wrong".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    let (segments, bytes) = (verdict.segments, BinaryBytes(verdict.bytes));
    text + &format!("\"{}\": {segments} segments, {bytes} read, {findings}\n", archive.display())
}

/// From where to where WAL replays.
pub(super) fn certificate(verdict: &Verdict) -> String {
    if !verdict.is_sound() {
        return "Not certified, because of these findings\n".into();
    }
    let mut text = String::new();
    for Stretch { timeline, from, to, first, last, segments, .. } in &verdict.stretches {
        text += &format!(
            "Certified: timeline {timeline} replays from {from} to {to} ({segments} segments, {first} to {last})\n"
        );
    }
    text
}

/// One JSON object. Positions and names are strings, as PostgreSQL prints them.
pub(super) fn json(archive: &Path, verdict: &Verdict) -> String {
    let findings = verdict.findings.iter().map(|finding| {
        let (kind, file) = (quoted(finding.kind), quoted(&finding.file));
        format!("{{\"kind\":{kind},\"file\":{file},\"detail\":{}}}", quoted(&finding.detail))
    });
    let stretches = verdict.stretches.iter().map(|stretch| {
        let Stretch { timeline, from, to, first, last, segments, .. } = stretch;
        format!(
            "{{\"timeline\":{timeline},\"from\":\"{from}\",\"to\":\"{to}\",\"first\":\"{first}\",\"last\":\"{last}\",\"segments\":{segments}}}"
        )
    });
    let behind = verdict.behind.map_or("null".into(), |behind| {
        let (start, segments) = (behind.start, behind.segments);
        format!("{{\"start\":\"{start}\",\"segments\":{segments}}}")
    });
    format!(
        "{{\"archive\":{},\"sound\":{},\"segments\":{},\"bytes\":{},\"findings\":[{}],\"replays\":[{}],\"older_than_oldest_copy\":{behind}}}\n",
        quoted(archive.display()),
        verdict.is_sound(),
        verdict.segments,
        verdict.bytes,
        findings.collect::<Vec<_>>().join(","),
        stretches.collect::<Vec<_>>().join(",")
    )
}

/// A JSON string.
fn quoted(text: impl Display) -> String {
    let mut quoted = String::from('"');
    for c in text.to_string().chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => _ = write!(quoted, "\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_string_has_no_bare_quote_or_control_character() {
        assert_eq!(quoted("a \"b\" \\ \n é"), r#""a \"b\" \\ \u000a é""#);
    }
}
