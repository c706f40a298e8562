use std::io::Cursor;

use twowarm_core::archive::Binding;
use twowarm_core::base_copy::CopyMessage;
use twowarm_core::ship::Get;
use twowarm_core::ship::wire::{Frame, Message, read_frame, read_greeting, write_frame};

/// The file `.owner` of an archive.
pub fn archive_owner(data: &[u8]) {
    let Ok(owner) = std::str::from_utf8(data).unwrap_or_default().parse::<Binding>() else {
        return;
    };
    let printed = owner.to_string();
    let again: Binding = printed.parse().expect("a printed owner can be parsed");
    assert_eq!(again, owner);
}

/// A frame of the shipping protocol, and the greeting.
pub fn wire_frame(data: &[u8]) {
    let _ = read_greeting(&mut Cursor::new(data));
    let read = read_frame(&mut Cursor::new(data));
    match Frame::parse(data) {
        Ok(Some((frame, length))) => {
            assert_eq!(read.ok().as_ref(), Some(&frame));
            let mut printed = Vec::new();
            write_frame(&mut printed, frame.kind, &[&frame.payload])
                .expect("a frame that was read fits a frame");
            assert_eq!(printed, data[..length]);
        }
        Ok(None) | Err(_) => assert!(read.is_err()),
    }
}

/// A message of the shipping protocol: its kind, then the payload.
pub fn wire_message(data: &[u8]) {
    let Some((&kind, payload)) = data.split_first() else { return };
    let Ok(message) = Message::parse(&Frame { kind, payload: payload.to_vec() }) else { return };
    assert_eq!(message.kind(), kind);
    let again = Message::parse(&message.frame()).expect("a printed message can be parsed");
    assert_eq!(again, message);
}

/// A message of the base copy protocol: its kind, then the payload.
pub fn copy_message(data: &[u8]) {
    let Some((&kind, payload)) = data.split_first() else { return };
    let frame = Frame { kind, payload: payload.to_vec() };
    let Ok(message) = CopyMessage::parse(&frame) else { return };
    assert_eq!(message.kind(), kind);
    let again = CopyMessage::parse(&Frame { kind, payload: message.payload() })
        .expect("a printed message can be parsed");
    assert_eq!(again, message);
}

/// A request to sendWALFile: its kind, then the payload.
pub fn fetch_message(data: &[u8]) {
    let Some((&kind, payload)) = data.split_first() else { return };
    let Ok(get) = Get::parse(&Frame { kind, payload: payload.to_vec() }) else { return };
    let again = Get::parse(&Frame { kind, payload: get.payload() });
    assert_eq!(again.expect("a printed request can be parsed"), get);
}
