//! Senders that break off, and damaged data.

use super::*;

#[test]
fn an_interrupted_sender_leaves_no_file_behind() {
    let bed = Bed::new();
    let mut stream = Vec::new();
    write_greeting(&mut stream).unwrap();
    let content = segment(2, CLUSTER);
    let start =
        FileStart { id: 1, codec: Codec::None, size: SIZE, name: TWO.into(), modified: None };
    let messages = [
        Message::Hello(hello()),
        Message::File(start),
        Message::Data { id: 1, bytes: content[..SIZE as usize / 2].to_vec() },
        Message::Data { id: 1, bytes: content[SIZE as usize / 2..].to_vec() },
        Message::End { id: 1, crc: crc32fast::hash(&content) },
    ];
    let mut ends = Vec::new();
    for message in &messages {
        write_frame(&mut stream, message.kind(), &[&message.payload()]).unwrap();
        ends.push(stream.len());
    }
    let whole = stream.len();
    let cuts = ends.iter().flat_map(|end| [end - 1, *end]).chain([0, 7, 8, 9, 20]);
    for cut in cuts.filter(|cut| *cut < whole) {
        let _ = bed.receiver().serve(&stream[..cut], io::sink());
        assert_eq!(bed.stored(), [""; 0], "cut at {cut}");
        assert_eq!(bed.leftovers(), 0, "cut at {cut}");
    }
}

#[test]
fn data_damaged_in_transit_is_not_stored() {
    let bed = Bed::new();
    let path = bed.file(&segment(2, CLUSTER));
    let mut link = Link::open(&bed.far, hello()).unwrap();
    let start =
        FileStart { id: 9, codec: Codec::None, size: SIZE, name: TWO.into(), modified: None };
    link.send(&Message::File(start.clone())).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[500_000] ^= 1;
    link.send(&Message::Data { id: 9, bytes: bytes[..600_000].to_vec() }).unwrap();
    link.send(&Message::Data { id: 9, bytes: bytes[600_000..].to_vec() }).unwrap();
    link.send(&Message::End { id: 9, crc: crc32fast::hash(&segment(2, CLUSTER)) }).unwrap();
    let Message::Refused(refusal) = link.receive_message().unwrap() else { panic!("not refused") };
    assert_eq!((refusal.id, refusal.code), (9, RefusalCode::DAMAGED));
    assert!(refusal.retryable);

    // An unknown codec is a refusal of the file, not of the session.
    link.send(&Message::File(FileStart { codec: Codec::Other(3), ..start })).unwrap();
    link.send(&Message::Data { id: 9, bytes: vec![1] }).unwrap();
    link.send(&Message::End { id: 9, crc: 0 }).unwrap();
    let Message::Refused(refusal) = link.receive_message().unwrap() else { panic!("not refused") };
    assert_eq!(refusal.code, RefusalCode::CODEC);
    link.close();
    assert_eq!(bed.stored(), [""; 0]);
}

#[test]
fn an_unexpected_frame_ends_the_session() {
    let bed = Bed::new();
    let mut link = Link::open(&bed.far, hello()).unwrap();
    link.send(&Message::Data { id: 1, bytes: vec![1] }).unwrap();
    let error = link.receive_message().unwrap_err();
    let LinkError::Refused { refusal, .. } = &error else { panic!("{error}") };
    assert_eq!((refusal.id, refusal.code), (SESSION, RefusalCode::PROTOCOL));
    assert!(!error.is_retryable());
}
