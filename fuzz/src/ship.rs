use std::io::Cursor;

use twowarm_core::archive::Binding;
use twowarm_core::base_copy::CopyMessage;
use twowarm_core::ship::wire::{Frame, Message, read_frame, read_greeting, write_frame};

/// The file that says whose an archive is.
pub fn archive_owner(data: &[u8]) {
    let Ok(owner) = std::str::from_utf8(data).unwrap_or_default().parse::<Binding>() else { return };
    let printed = owner.to_string();
    let again: Binding = printed.parse().expect("an owner reads what it prints");
    assert_eq!(again, owner);
}

/// A frame of the shipping protocol, or what a far side sends instead of its greeting.
pub fn wire_frame(data: &[u8]) {
    let _ = read_greeting(&mut Cursor::new(data));
    let read = read_frame(&mut Cursor::new(data));
    match Frame::parse(data) {
        Ok(Some((frame, length))) => {
            assert_eq!(read.ok().as_ref(), Some(&frame));
            let mut printed = Vec::new();
            write_frame(&mut printed, frame.kind, &[&frame.payload])
                .expect("what was read is not too long to write");
            assert_eq!(printed, data[..length]);
        }
        Ok(None) | Err(_) => assert!(read.is_err()),
    }
}

/// A message: the kind of its frame, then the payload.
pub fn wire_message(data: &[u8]) {
    let Some((&kind, payload)) = data.split_first() else { return };
    let Ok(message) = Message::parse(&Frame { kind, payload: payload.to_vec() }) else { return };
    assert_eq!(message.kind(), kind);
    let again = Message::parse(&message.frame()).expect("a message reads what it prints");
    assert_eq!(again, message);
}

/// A message of a base copy: the kind of its frame, then the payload.
pub fn copy_message(data: &[u8]) {
    let Some((&kind, payload)) = data.split_first() else { return };
    let frame = Frame { kind, payload: payload.to_vec() };
    let Ok(message) = CopyMessage::parse(&frame) else { return };
    assert_eq!(message.kind(), kind);
    let again = CopyMessage::parse(&Frame { kind, payload: message.payload() })
        .expect("a message reads what it prints");
    assert_eq!(again, message);
}
