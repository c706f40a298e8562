use super::WireError;

/// Builds a frame's payload, field by field; numbers are big-endian.
#[derive(Debug, Clone, Default)]
pub(crate) struct Payload(Vec<u8>);

impl Payload {
    /// An empty payload.
    #[must_use]
    pub(crate) fn new() -> Payload {
        Payload::default()
    }

    /// Adds one byte.
    #[must_use]
    pub(crate) fn u8(mut self, value: u8) -> Payload {
        self.0.push(value);
        self
    }

    /// Adds two bytes.
    #[must_use]
    pub(crate) fn u16(mut self, value: u16) -> Payload {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Adds four bytes.
    #[must_use]
    pub(crate) fn u32(mut self, value: u32) -> Payload {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Adds eight bytes.
    #[must_use]
    pub(crate) fn u64(mut self, value: u64) -> Payload {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Adds a text with its length. A text that is too long is truncated.
    #[must_use]
    pub(crate) fn text(mut self, text: &str) -> Payload {
        let mut end = text.len().min(Fields::MAX_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self = self.u16(end as u16);
        self.0.extend(&text.as_bytes()[..end]);
        self
    }

    /// Adds bytes without a length, as the last field.
    #[must_use]
    pub(crate) fn rest(mut self, bytes: &[u8]) -> Payload {
        self.0.extend(bytes);
        self
    }

    /// The payload's bytes.
    #[must_use]
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Parses a frame's payload field by field. A field that is missing or invalid is an error.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    kind: u8,
    left: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The longest text in a field, in bytes.
    pub(crate) const MAX_TEXT: usize = 4096;

    /// The fields of a frame of this kind.
    #[must_use]
    pub(crate) fn new(kind: u8, payload: &'a [u8]) -> Fields<'a> {
        Fields { kind, left: payload }
    }

    /// An error about this frame.
    pub(crate) fn malformed(&self, problem: &'static str) -> WireError {
        WireError::Malformed { kind: self.kind, problem }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, left) =
            self.left.split_first_chunk().ok_or_else(|| self.malformed("missing field"))?;
        self.left = left;
        Ok(*taken)
    }

    /// One byte.
    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// Two bytes.
    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Four bytes.
    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Eight bytes.
    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Eight bytes, with a sign.
    pub(crate) fn i64(&mut self) -> Result<i64, WireError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A text. Its control characters become spaces, since it may be printed in a log or on a terminal.
    pub(crate) fn text(&mut self) -> Result<String, WireError> {
        Ok(self.utf8()?.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }

    /// A text of several lines, the content of a file.
    pub(crate) fn lines(&mut self) -> Result<String, WireError> {
        Ok(self.utf8()?.to_owned())
    }

    fn utf8(&mut self) -> Result<&'a str, WireError> {
        let length = usize::from(self.u16()?);
        if length > Fields::MAX_TEXT {
            return Err(self.malformed("text too long"));
        }
        let (taken, left) =
            self.left.split_at_checked(length).ok_or_else(|| self.malformed("truncated text"))?;
        let text = std::str::from_utf8(taken).map_err(|_| self.malformed("text not in UTF-8"))?;
        self.left = left;
        Ok(text)
    }

    /// Whether all fields are read.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The remaining bytes.
    #[must_use]
    pub(crate) fn rest(self) -> &'a [u8] {
        self.left
    }

    /// Checks that all fields are read.
    pub(crate) fn finish(self) -> Result<(), WireError> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(self.malformed("extra bytes after the last field"))
        }
    }
}
