use std::io::Cursor;

use twowarm_core::archive::Binding;
use twowarm_core::base_copy::CopyMessage;
use twowarm_core::receipt::Receipt;
use twowarm_core::ship::wire::{
    Capabilities, Codec, DecodeError, Decoder, Encoder, Frame, Message, Piece, read_frame,
    read_greeting, write_frame,
};
use twowarm_core::ship::{Fetched, Get};

use crate::text;

/// The file `.owner` of an archive.
pub fn archive_owner(data: &[u8]) {
    let Ok(owner) = text(data).parse::<Binding>() else { return };
    let printed = owner.to_string();
    let again: Binding = printed.parse().expect("a printed owner can be parsed");
    assert_eq!(again, owner);
}

/// The receipt of a clean shutdown, in an archive and in a message.
pub fn receipt(data: &[u8]) {
    match text(data).parse::<Receipt>() {
        Ok(receipt) => {
            let again = receipt.to_string().parse();
            assert_eq!(again, Ok(receipt));
        }
        Err(error) => assert!(!error.to_string().contains(['\n', '\r']), "{error}"),
    }
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

/// The content of a file as it arrives: codec, size in four bytes, then frames, each as its length and its bytes; a frame
/// of length 0 has eight bytes, a number of zeros.
pub fn wire_content(data: &[u8]) {
    let Some((&codec, rest)) = data.split_first() else { return };
    let Some((&size, mut rest)) = rest.split_first_chunk() else { return };
    let size = u32::from_be_bytes(size).into();
    let mut written: u64 = 0;
    let mut write = |piece: Piece<'_>| {
        written += match piece {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Zeros(length) => length,
        };
        assert!(written <= size, "more than the announced size");
        Ok::<(), DecodeError>(())
    };
    let codec = if codec & 1 == 0 { Codec::None } else { Codec::Zstd };
    let mut decoder = Decoder::new();
    decoder.begin(codec, size).expect("the codec is known");
    while let Some((&length, after)) = rest.split_first() {
        let done = match (length, after.split_first_chunk()) {
            (0, Some((&zeros, after))) => {
                rest = after;
                decoder.zeros(u64::from_be_bytes(zeros), &mut write)
            }
            (0, None) => break,
            (length, _) => {
                let (frame, after) = after.split_at(after.len().min(length.into()));
                rest = after;
                decoder.data(frame, &mut write)
            }
        };
        if done.is_err() {
            break;
        }
    }
    let _ = decoder.finish(0);
    encoded_and_decoded(codec, data, &mut decoder);
}

/// The decoder is used further, with the bytes as a file's content.
fn encoded_and_decoded(codec: Codec, content: &[u8], decoder: &mut Decoder) {
    let level = if codec == Codec::Zstd { 1 } else { 0 };
    let mut encoder = Encoder::new(Capabilities::OURS, level, 100).expect("the level exists");
    let mut frames = Vec::new();
    let send = &mut |kind, parts: &[&[u8]]| {
        frames.push(Frame { kind, payload: parts.concat() });
        Ok::<(), ()>(())
    };
    encoder.begin(1).expect("zstd can be reset");
    encoder.add(content, send).expect("the content can be encoded");
    let crc = encoder.finish(send).expect("the content can be encoded");
    decoder.begin(codec, content.len() as u64).expect("the codec is known");
    let mut decoded = Vec::new();
    let mut write = |piece: Piece<'_>| {
        match piece {
            Piece::Bytes(bytes) => decoded.extend_from_slice(bytes),
            Piece::Zeros(length) => decoded.resize(decoded.len() + length as usize, 0),
        }
        Ok::<(), DecodeError>(())
    };
    for frame in &frames {
        let done = match Message::parse(frame).expect("a sent frame can be parsed") {
            Message::Data { bytes, .. } => decoder.data(&bytes, &mut write),
            Message::Zeros { length, .. } => decoder.zeros(length, &mut write),
            _ => decoder.finish(crc),
        };
        done.expect("what was encoded can be decoded");
    }
    assert_eq!(decoded, content);
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

/// A message to sendWALFile: its kind, then the payload.
pub fn fetch_message(data: &[u8]) {
    let Some((&kind, payload)) = data.split_first() else { return };
    let frame = Frame { kind, payload: payload.to_vec() };
    if let Ok(fetched) = Fetched::parse(&frame) {
        let again = Fetched::parse(&Frame { kind, payload: fetched.payload() });
        assert_eq!(again.expect("a printed message can be parsed"), fetched);
    }
    let Ok(get) = Get::parse(&frame) else { return };
    let again = Get::parse(&Frame { kind, payload: get.payload() });
    assert_eq!(again.expect("a printed request can be parsed"), get);
}
