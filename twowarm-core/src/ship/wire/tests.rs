use std::io::{self, Cursor, Read};

use proptest::prelude::*;

use super::*;
use crate::version::PgMajor;
use crate::wal::{SegmentSize, TimelineId};

mod content;

fn text() -> impl Strategy<Value = String> {
    "[ -~äß€]{0,80}"
}

fn message() -> impl Strategy<Value = Message> {
    let id = 1..u32::MAX;
    let hello = (any::<bool>(), any::<u64>(), 20u32..31, 0..PgMajor::ALL.len(), text()).prop_map(
        |(copy, system_identifier, power, major, label)| {
            Message::Hello(Hello {
                purpose: if copy { Purpose::BaseCopy } else { Purpose::ShipWal },
                system_identifier,
                segment_size: SegmentSize::new(1 << power).unwrap(),
                major: PgMajor::ALL[major],
                node_id: "0123456789abcdef".parse().unwrap(),
                label,
                machine: copy.then(|| "fedcba9876543210".parse().unwrap()),
                relay_for: (!copy).then(|| "postgres@db2".parse().unwrap()),
                relayed_by: (power > 22).then(|| "0011223344556677".parse().unwrap()),
                promoted_to: TimelineId::new(power - 20).ok(),
            })
        },
    );
    let welcome = (text(), text(), any::<u32>(), any::<u32>().prop_map(Features)).prop_map(
        |(label, archive, codecs, features)| {
            let understands = Capabilities { codecs, features };
            Message::Welcome(Welcome { label, archive, understands })
        },
    );
    let codec = (0u8..4).prop_map(Codec::of);
    let modified = prop::option::of(any::<i64>());
    let file = (id.clone(), codec, any::<u64>(), text(), modified).prop_map(
        |(id, codec, size, name, modified)| {
            Message::File(FileStart { id, codec, size, name, modified })
        },
    );
    let refused = (any::<u32>(), any::<u16>(), any::<bool>(), text()).prop_map(
        |(id, code, retryable, message)| {
            Message::Refused(Refusal { id, code: RefusalCode(code), retryable, message })
        },
    );
    let data = (id.clone(), prop::collection::vec(any::<u8>(), 0..300));
    prop_oneof![
        hello,
        welcome,
        file,
        refused,
        data.prop_map(|(id, bytes)| Message::Data { id, bytes }),
        (id.clone(), any::<u64>()).prop_map(|(id, length)| Message::Zeros { id, length }),
        (id.clone(), any::<u32>()).prop_map(|(id, crc)| Message::End { id, crc }),
        (id.clone(), any::<bool>()).prop_map(|(id, new)| Message::Stored {
            id,
            outcome: if new { Stored::New } else { Stored::AlreadyThere },
        }),
        (id.clone(), "[ -~\n]{0,80}").prop_map(|(id, text)| Message::Receipt { id, text }),
        (id.clone(), text()).prop_map(|(id, receipt)| Message::Void { id, receipt }),
        id.clone().prop_map(|id| Message::AskReceipt { id }),
        (id.clone(), "[ -~\n]{0,80}", text())
            .prop_map(|(id, text, missing)| Message::ReceiptHeld { id, text, missing }),
        (id.clone(), text()).prop_map(|(id, from)| Message::AskMissing { id, from }),
        (id.clone(), text()).prop_map(|(id, first)| Message::Missing { id, first }),
        id.prop_map(|id| Message::Probe { id }),
        Just(Message::Working),
        Just(Message::Goodbye),
    ]
}

fn written(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, message.kind(), &[&message.payload()]).unwrap();
    bytes
}

proptest! {
    #[test]
    fn what_is_written_is_read(messages in prop::collection::vec(message(), 0..5)) {
        let bytes: Vec<u8> = messages.iter().flat_map(written).collect();
        let mut input = Cursor::new(bytes.as_slice());
        for message in &messages {
            let frame = read_frame(&mut input).unwrap();
            prop_assert_eq!(&Message::parse(&frame).unwrap(), message);
        }
        prop_assert!(matches!(read_frame(&mut input), Err(WireError::Closed)));
        let mut rest = bytes.as_slice();
        while let Some((_, taken)) = Frame::parse(rest).unwrap() {
            rest = &rest[taken..];
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn a_cut_frame_is_noticed(message in message(), at in any::<prop::sample::Index>()) {
        let bytes = written(&message);
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert!(Frame::parse(cut).unwrap().is_none());
        let error = read_frame(&mut Cursor::new(cut)).unwrap_err();
        prop_assert!(matches!(error, WireError::Cut | WireError::Closed));
    }

    #[test]
    fn a_flipped_bit_is_noticed(
        message in message(),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut bytes = written(&message);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(!matches!(Frame::parse(&bytes), Ok(Some(_))));
        prop_assert!(read_frame(&mut Cursor::new(bytes)).is_err());
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Frame::parse(&bytes);
        let _ = read_frame(&mut Cursor::new(&bytes));
        let _ = read_greeting(&mut Cursor::new(&bytes));
    }

    #[test]
    fn a_garbled_payload_never_panics(
        kind in 0u8..21,
        payload in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let frame = Frame { kind, payload };
        if let Ok(message) = Message::parse(&frame) {
            prop_assert_eq!(Message::parse(&message.frame()).unwrap(), message);
        }
    }
}

#[test]
fn a_length_over_the_limit_is_refused_before_allocation() {
    let error = read_frame(&mut Cursor::new(b"\x04\xff\xff\xff\xff")).unwrap_err();
    assert!(matches!(error, WireError::Oversize(0xFFFF_FFFF)));
}

#[test]
fn only_a_hello_and_a_welcome_may_be_extended() {
    let mut frame = Message::Goodbye.frame();
    frame.payload.push(0);
    assert!(matches!(Message::parse(&frame), Err(WireError::Malformed { .. })));
    let welcome = Message::Welcome(Welcome {
        label: "b".into(),
        archive: "/a".into(),
        understands: Capabilities::OURS,
    });
    let mut frame = welcome.frame();
    frame.payload.push(0);
    assert_eq!(Message::parse(&frame).unwrap(), welcome);
}

/// A welcome of a version without features, and a file for it.
#[test]
fn a_welcome_of_an_earlier_version_has_no_features() {
    let understands = Capabilities { codecs: 1, ..Capabilities::default() };
    let welcome = Welcome { label: "b".into(), archive: "/a".into(), understands };
    let payload = Payload::new().text("b").text("/a").u32(1).into_bytes();
    let frame = Message::Welcome(welcome.clone()).frame();
    // That version reads these fields and ignores the rest.
    assert!(frame.payload.starts_with(&payload));
    let earlier = Frame { payload, ..frame };
    assert_eq!(Message::parse(&earlier).unwrap(), Message::Welcome(welcome));
    let early = Capabilities { codecs: 1, ..Capabilities::default() };
    assert!(early.knows(Codec::None) && !early.knows(Codec::Zstd));
    assert!(!Capabilities { codecs: u32::MAX, ..early }.knows(Codec::Other(200)));
    let file = FileStart { id: 7, codec: Codec::None, size: 9, name: "x".into(), modified: None };
    let payload = Payload::new().u32(7).u8(0).u64(9).text("x").into_bytes();
    assert_eq!(Message::File(file).payload(), payload);
}

/// A hello of a version without the machine's id and the standby for which segments are relayed.
#[test]
fn a_hello_of_an_earlier_version_is_understood() {
    let machine = Some("fedcba9876543210".parse().unwrap());
    let hello = Hello {
        purpose: Purpose::ShipWal,
        system_identifier: 7,
        segment_size: SegmentSize::DEFAULT,
        major: "18".parse().unwrap(),
        node_id: "0123456789abcdef".parse().unwrap(),
        label: "db1:/pg".into(),
        machine,
        relay_for: Some("db2".parse().unwrap()),
        relayed_by: None,
        promoted_to: None,
    };
    let earlier = Payload::new()
        .u8(1)
        .u64(7)
        .u64(SegmentSize::DEFAULT.bytes())
        .text("18")
        .text("0123456789abcdef")
        .text("db1:/pg")
        .into_bytes();
    let frame = Message::Hello(hello.clone()).frame();
    // That version reads these fields and ignores the rest.
    assert!(frame.payload.starts_with(&earlier));
    assert_eq!(Message::parse(&frame).unwrap(), Message::Hello(hello.clone()));
    let frame = Frame { payload: earlier.clone(), ..frame };
    let without = Message::Hello(Hello { machine: None, relay_for: None, ..hello });
    assert_eq!(Message::parse(&frame).unwrap(), without);
    for (machine, good) in [("", true), ("a", true), ("a b", false), ("\r\r\r", false)] {
        let payload = [earlier.clone(), Payload::new().text(machine).into_bytes()].concat();
        assert_eq!(Message::parse(&Frame { payload, ..frame.clone() }).is_ok(), good);
    }
    for (standby, good) in [("", true), ("db2", true), ("../db2", false), ("-o", false)] {
        let payload = Payload::new().text("").text(standby).into_bytes();
        let payload = [earlier.clone(), payload].concat();
        assert_eq!(Message::parse(&Frame { payload, ..frame.clone() }).is_ok(), good, "{standby}");
    }
}

#[test]
fn an_invalid_node_id_is_malformed() {
    for (id, good) in
        [("a", true), ("a-9", true), ("", false), ("a b", false), ("\r\r\r\r\r\r\r\r", false)]
    {
        let payload = Payload::new().u8(1).u64(7).u64(1 << 24).text("18").text(id).text("x");
        let frame = Frame { kind: 1, payload: payload.into_bytes() };
        assert_eq!(Message::parse(&frame).is_ok(), good, "{id:?}");
    }
}

#[test]
fn control_characters_of_a_text_become_spaces() {
    let refusal =
        Refusal { id: 1, code: RefusalCode::FULL, retryable: true, message: "a\x1b[2J\nb".into() };
    let Message::Refused(read) = Message::parse(&Message::Refused(refusal).frame()).unwrap() else {
        panic!("another message came back");
    };
    assert_eq!(read.message, "a [2J b");
}

#[test]
fn greetings() {
    let mut ours = Vec::new();
    write_greeting(&mut ours).unwrap();
    read_greeting(&mut Cursor::new(&ours)).unwrap();
    let later = b"2warm\0\0\x07";
    let error = read_greeting(&mut Cursor::new(later)).unwrap_err();
    assert!(matches!(error, WireError::Version { theirs: 7, ours: VERSION }));
    let error = read_greeting(&mut Cursor::new(b"Welcome to \x1bdb2\nNews")).unwrap_err();
    assert!(error.to_string().contains("\"Welcome to  db2\""), "{error}");
    assert!(matches!(read_greeting(&mut Cursor::new(b"")), Err(WireError::Closed)));
}
