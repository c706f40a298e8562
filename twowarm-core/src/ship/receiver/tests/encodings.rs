//! Compressed files, zeros that are not sent, modification times, and the other side's earlier versions.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::retry::Retryable;
use crate::ship::{RateLimit, SendOptions};

/// A frame as it is on the wire.
fn frame(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let mut bytes = vec![kind];
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_be_bytes());
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

/// What a receiver of the first version, which stores one file, sends and accepts.
fn early_receiver(mut input: impl Read, mut output: impl Write) -> Vec<u8> {
    let mut exactly = |length: usize| {
        let mut bytes = vec![0; length];
        input.read_exact(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(exactly(8), b"2warm\0\0\x01");
    output.write_all(b"2warm\0\0\x01").unwrap();
    let mut next = || {
        let header = exactly(5);
        let payload = exactly(u32::from_be_bytes(header[1..].try_into().unwrap()) as usize);
        let crc = exactly(4);
        assert_eq!(frame(header[0], &[&payload]), [header.clone(), payload.clone(), crc].concat());
        (header[0], payload)
    };
    assert_eq!(next().0, 1);
    let welcome = frame(2, &[&text("far"), &text("/archive"), &1u32.to_be_bytes()]);
    output.write_all(&welcome).unwrap();
    let (kind, file) = next();
    let size = u64::from_be_bytes(file[5..13].try_into().unwrap());
    assert_eq!((kind, file[4], &file[13..]), (3, 0, &text(TWO)[..]), "no codec, no time");
    let mut content = Vec::new();
    let crc = loop {
        match next() {
            (4, data) => content.extend(&data[4..]),
            (5, end) => break u32::from_be_bytes(end[4..].try_into().unwrap()),
            (kind, _) => panic!("an unknown kind of frame: {kind}"),
        }
    };
    assert_eq!((content.len() as u64, crc32fast::hash(&content)), (size, crc));
    output.write_all(&frame(6, &[&file[..4], &[1]])).unwrap();
    content
}

/// An early receiver in a thread.
#[derive(Debug)]
struct Early(Mutex<Option<JoinHandle<Vec<u8>>>>);

struct EarlyPipes(io::PipeReader, io::PipeWriter);

impl Transport for Early {
    fn connect(&self) -> Result<Box<dyn Connection>, ConnectError> {
        let (far_input, output) = io::pipe().unwrap();
        let (input, far_output) = io::pipe().unwrap();
        let thread = std::thread::spawn(move || early_receiver(far_input, far_output));
        *self.0.lock().unwrap() = Some(thread);
        Ok(Box::new(EarlyPipes(input, output)))
    }

    fn node(&self) -> &str {
        "far"
    }

    fn command(&self) -> FarCommand {
        FarCommand::ReceiveWalFile
    }
}

impl Read for EarlyPipes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for EarlyPipes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for EarlyPipes {
    fn last_words(&mut self) -> Option<String> {
        None
    }
}

#[test]
fn a_receiver_of_the_first_version_gets_plain_data() {
    let bed = Bed::new();
    let content = segment(2, CLUSTER);
    let path = bed.file(&content);
    for compression_level in [-1, 3] {
        let far = Early(Mutex::new(None));
        let link = Link::open(&far, hello()).unwrap();
        let options = SendOptions { compression_level, ..SendOptions::default() };
        let mut sender = Sender::with_options(link, options);
        assert_eq!(sender.send(TWO.parse().unwrap(), &path).unwrap(), Stored::New);
        sender.leave();
        let stored = far.0.into_inner().unwrap().unwrap().join().unwrap();
        assert!(stored == content);
    }
}

#[test]
fn a_sender_of_the_first_version_is_served() {
    let bed = Bed::new();
    let content = segment(2, CLUSTER);
    let request = 5u32.to_be_bytes();
    let mut session = b"2warm\0\0\x01".to_vec();
    session.extend(frame(
        1,
        &[
            &[1],
            &CLUSTER.to_be_bytes(),
            &SIZE.to_be_bytes(),
            &text("15"),
            &text("near-node-id"),
            &text("near"),
        ],
    ));
    session.extend(frame(3, &[&request, &[0], &SIZE.to_be_bytes(), &text(TWO)]));
    for chunk in content.chunks(256 * 1024) {
        session.extend(frame(4, &[&request, chunk]));
    }
    session.extend(frame(5, &[&request, &crc32fast::hash(&content).to_be_bytes()]));
    session.extend(frame(10, &[]));

    let mut answers = Vec::new();
    let served = bed.receiver().serve(session.as_slice(), &mut answers).unwrap();
    assert_eq!((served.stored, served.refused), (1, 0));
    assert!(answers.ends_with(&frame(6, &[&request, &[1]])));
    // Such a sender reads the label, the archive and the codecs, and ignores the rest.
    let archive = bed.far.archive.display().to_string();
    let welcome = [text("far:/pg"), text(&archive), 3u32.to_be_bytes().to_vec()].concat();
    assert_eq!(answers[..8], *b"2warm\0\0\x01");
    assert!(answers[13..].starts_with(&welcome));
    assert!(fs::read(bed.far.archive.join(TWO)).unwrap() == content);
}

#[test]
fn a_file_arrives_compressed_sparse_and_with_its_time() {
    let mut content = segment(2, CLUSTER);
    content[600_000..700_000].fill(7);
    let written = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
    for compression_level in [0, -7, 3] {
        let bed = Bed::new();
        let path = bed.file(&content);
        File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        let options = SendOptions { compression_level, ..SendOptions::default() };
        let link = Link::open(&bed.far, hello()).unwrap();
        let mut sender = Sender::with_options(link, options);
        assert_eq!(sender.send(TWO.parse().unwrap(), &path).unwrap(), Stored::New);
        assert_eq!(sender.send(TWO.parse().unwrap(), &path).unwrap(), Stored::AlreadyThere);
        sender.close();
        let place = bed.far.archive.join(TWO);
        assert!(fs::read(&place).unwrap() == content);
        let stored = fs::metadata(&place).unwrap();
        assert!(stored.blocks() * 512 < 200_000, "{} blocks", stored.blocks());
        assert_eq!(stored.modified().unwrap(), written);
    }
}

#[test]
fn a_rate_limit_is_kept() {
    let bed = Bed::new();
    let mut content = segment(2, CLUSTER);
    content[8192..].fill(7);
    let path = bed.file(&content);
    let rate_limit = RateLimit::new(4 * SIZE);
    let link = Link::open(&bed.far, hello()).unwrap();
    let options = SendOptions { compression_level: 0, rate_limit, ..SendOptions::default() };
    let mut sender = Sender::with_options(link, options);
    let start = Instant::now();
    sender.send(TWO.parse().unwrap(), &path).unwrap();
    // A quarter of a second; the last frame is sent when its time begins.
    assert!(start.elapsed() > Duration::from_millis(150), "{:?}", start.elapsed());
    assert_eq!(sender.last_checksum(), crc32fast::hash(&content));
    sender.close();
    assert!(fs::read(bed.far.archive.join(TWO)).unwrap() == content);
}

/// Its heartbeats continue.
#[test]
fn a_disk_that_hangs_is_reported_after_a_limit() {
    let bed = Bed::new();
    let path = bed.file(&segment(2, CLUSTER));
    // The receiver opens the existing file, and nothing is at the other end of this pipe.
    let hanging = bed.far.archive.join(TWO);
    assert!(Command::new("mkfifo").arg(&hanging).status().unwrap().success());
    let link = Link::open(&bed.far, hello()).unwrap();
    let options =
        SendOptions { storing_limit: Duration::from_millis(700), ..SendOptions::default() };
    let mut sender = Sender::with_options(link, options);
    let error = sender.send(TWO.parse().unwrap(), &path).unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("hangs"), "{error}");
    drop(sender);
    let _ = File::options().write(true).open(hanging);
}

/// A clock that is ahead must not make readers take the file for one that is being written.
#[test]
fn a_time_in_the_future_is_not_kept() {
    let bed = Bed::new();
    let path = bed.file(&segment(2, CLUSTER));
    let ahead = SystemTime::now() + Duration::from_secs(10_000);
    File::options().write(true).open(&path).unwrap().set_modified(ahead).unwrap();
    let mut sender = bed.open(hello()).unwrap();
    sender.send(TWO.parse().unwrap(), &path).unwrap();
    sender.close();
    let stored = fs::metadata(bed.far.archive.join(TWO)).unwrap();
    assert!(stored.modified().unwrap() <= SystemTime::now());
}

/// Compressed data that is not, that is too long or incomplete, and zeros beyond the end: each is a refusal of the
/// file, after which the session continues.
#[test]
fn invalid_compressed_data_is_refused() {
    let bed = Bed::new();
    let content = segment(2, CLUSTER);
    let whole = zstd::encode_all(&content[..], 1).unwrap();
    let longer = zstd::encode_all(&[&content[..], &[0]].concat()[..], 1).unwrap();
    let cut = whole[..whole.len() - 1].to_vec();
    let other = zstd::encode_all(&segment(3, CLUSTER)[..], 1).unwrap();
    let cases = [
        (b"garbage".to_vec(), 0),
        (longer, 0),
        (cut, 0),
        (other, 0),
        (whole.clone(), 1),
        (vec![], u64::MAX),
    ];
    let mut link = Link::open(&bed.far, hello()).unwrap();
    let mut send = |id, data: &[u8], zeros: u64| {
        let (codec, name) = (Codec::Zstd, TWO.into());
        link.send(&Message::File(FileStart { id, codec, size: SIZE, name, modified: None }))
            .unwrap();
        let half = data.len() / 2;
        link.send(&Message::Data { id, bytes: data[..half].to_vec() }).unwrap();
        link.send(&Message::Data { id, bytes: data[half..].to_vec() }).unwrap();
        if zeros > 0 {
            link.send(&Message::Zeros { id, length: zeros }).unwrap();
        }
        link.send(&Message::End { id, crc: crc32fast::hash(&content) }).unwrap();
        link.receive_message().unwrap()
    };
    for (id, (data, zeros)) in (1..).zip(cases) {
        let Message::Refused(refusal) = send(id, &data, zeros) else { panic!("not refused") };
        assert_eq!((refusal.id, refusal.code), (id, RefusalCode::DAMAGED));
        assert!(refusal.retryable && refusal.message.starts_with(TWO), "{}", refusal.message);
    }
    assert_eq!((bed.stored(), bed.leftovers()), (vec![], 0));
    assert_eq!(send(99, &whole, 0), Message::Stored { id: 99, outcome: Stored::New });
    link.close();
    assert!(fs::read(bed.far.archive.join(TWO)).unwrap() == content);
}
