use crate::ship::wire::{
    Capabilities, FIRST_OWN_KIND, Features, Fields, Frame, Payload, SESSION, WireError,
};

/// Near end: asks for a file, and for some of the segments after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Get {
    /// The request, with which all files of the answer are sent; any number but [`SESSION`].
    pub id: u32,
    /// The file's name, not yet parsed.
    pub name: String,
    /// How many of the segments after it are wanted.
    pub following: u32,
    /// How the files can be sent.
    pub understands: Capabilities,
}

impl Get {
    /// The kind of its frame.
    pub const KIND: u8 = FIRST_OWN_KIND;

    /// The payload of its frame.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let Get { id, name, following, understands } = self;
        let payload = Payload::new().u32(*id).text(name).u32(*following);
        payload.u32(understands.codecs).u32(understands.features.0).into_bytes()
    }

    /// Parses its frame strictly.
    ///
    /// # Errors
    /// If the frame is of another kind, or a field is invalid.
    pub fn parse(frame: &Frame) -> Result<Get, WireError> {
        if frame.kind != Get::KIND {
            return Err(WireError::Unexpected(frame.kind));
        }
        let mut fields = Fields::new(frame.kind, &frame.payload);
        let (id, name, following) = (fields.u32()?, fields.text()?, fields.u32()?);
        let (codecs, features) = (fields.u32()?, Features(fields.u32()?));
        let get = Get { id, name, following, understands: Capabilities { codecs, features } };
        if get.id == SESSION {
            return Err(fields.malformed("invalid request id 0"));
        }
        fields.finish()?;
        Ok(get)
    }
}

/// Near end: this segment is in its archive, and it needs none before it any more. Only for a far end with
/// [`Features::FETCHED`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The segment's name, not yet parsed.
    pub name: String,
}

impl Fetched {
    /// The kind of its frame.
    pub const KIND: u8 = FIRST_OWN_KIND + 1;

    /// The payload of its frame.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        Payload::new().text(&self.name).into_bytes()
    }

    /// Parses its frame strictly.
    ///
    /// # Errors
    /// If the frame is of another kind, or the field is invalid.
    pub fn parse(frame: &Frame) -> Result<Fetched, WireError> {
        if frame.kind != Fetched::KIND {
            return Err(WireError::Unexpected(frame.kind));
        }
        let mut fields = Fields::new(frame.kind, &frame.payload);
        let fetched = Fetched { name: fields.text()? };
        fields.finish()?;
        Ok(fetched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_back_and_its_number_is_not_0() {
        let get = Get {
            id: 7,
            name: "000000010000000000000001".into(),
            following: 8,
            understands: Capabilities::OURS,
        };
        let frame = Frame { kind: Get::KIND, payload: get.payload() };
        assert_eq!(Get::parse(&frame).unwrap(), get);
        let none = Get { id: 0, ..get };
        Get::parse(&Frame { kind: Get::KIND, payload: none.payload() }).unwrap_err();
        let mut longer = frame;
        longer.payload.push(0);
        Get::parse(&longer).unwrap_err();
    }

    #[test]
    fn what_was_fetched_is_read_back() {
        let fetched = Fetched { name: "000000010000000000000001".into() };
        let mut frame = Frame { kind: Fetched::KIND, payload: fetched.payload() };
        assert_eq!(Fetched::parse(&frame).unwrap(), fetched);
        Get::parse(&frame).unwrap_err();
        frame.payload.push(0);
        Fetched::parse(&frame).unwrap_err();
    }
}
