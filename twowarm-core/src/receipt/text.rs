use std::fmt;
use std::str::FromStr;

use super::Receipt;
use crate::file_error::FileError;
use crate::identifiers::random_id;

/// The random id of a receipt: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReceiptId(String);

impl ReceiptId {
    /// A new id.
    ///
    /// # Errors
    /// If the operating system's random numbers can't be read.
    pub fn random() -> Result<ReceiptId, FileError> {
        random_id().map(ReceiptId)
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ReceiptId {
    type Err = BadReceipt;

    fn from_str(text: &str) -> Result<ReceiptId, BadReceipt> {
        let is_id =
            text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_id { Ok(ReceiptId(text.to_owned())) } else { Err(invalid("id", text)) }
    }
}

/// The text is not a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadReceipt(String);

fn invalid(key: &str, value: &str) -> BadReceipt {
    BadReceipt(format!("invalid {key} \"{}\"", value.escape_debug()))
}

impl fmt::Display for Receipt {
    /// Prints the file's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipt { system_identifier, timeline, segment, .. } = self;
        writeln!(f, "version=1\nsystem_identifier={system_identifier}\ntimeline={timeline}")?;
        writeln!(f, "segment={segment}\ncheckpoint={}\nend={}", self.checkpoint, self.end)?;
        let label: String =
            self.label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        writeln!(f, "node_id={}\nlabel={label}\nid={}", self.node_id, self.id)
    }
}

impl FromStr for Receipt {
    type Err = BadReceipt;

    fn from_str(text: &str) -> Result<Receipt, BadReceipt> {
        let mut lines = text.split('\n');
        match value(&mut lines, "version")? {
            "1" => {}
            other => {
                return Err(BadReceipt(format!("unsupported version {}", other.escape_debug())));
            }
        }
        let receipt = Receipt {
            system_identifier: field(&mut lines, "system_identifier")?,
            timeline: field(&mut lines, "timeline")?,
            segment: field(&mut lines, "segment")?,
            checkpoint: field(&mut lines, "checkpoint")?,
            end: field(&mut lines, "end")?,
            node_id: field(&mut lines, "node_id")?,
            label: label(value(&mut lines, "label")?)?,
            id: field(&mut lines, "id")?,
        };
        if lines.next() != Some("") || lines.next().is_some() {
            return Err(BadReceipt("it is incomplete or has more lines than expected".into()));
        }
        if receipt.segment.timeline != receipt.timeline || receipt.end <= receipt.checkpoint {
            return Err(BadReceipt("its timeline, segment and positions do not agree".into()));
        }
        Ok(receipt)
    }
}

fn value<'a>(lines: &mut std::str::Split<'a, char>, key: &str) -> Result<&'a str, BadReceipt> {
    let line = lines.next().unwrap_or_default();
    line.strip_prefix(key)
        .and_then(|rest| rest.strip_prefix('='))
        .ok_or_else(|| BadReceipt(format!("expected {key}=..., found \"{}\"", line.escape_debug())))
}

fn field<T: FromStr>(lines: &mut std::str::Split<'_, char>, key: &str) -> Result<T, BadReceipt> {
    let text = value(lines, key)?;
    text.parse().map_err(|_| invalid(key, text))
}

fn label(text: &str) -> Result<String, BadReceipt> {
    if text.chars().any(char::is_control) {
        return Err(invalid("label", text));
    }
    Ok(text.to_owned())
}
