//! Encoding and decoding the content of files.

use super::*;

/// The frames of one file, as kind and payload.
type Frames = Vec<(u8, Vec<u8>)>;

fn welcome(codecs: u32, features: Features) -> Welcome {
    Welcome { codecs, features, ..Welcome::default() }
}

/// Encodes a file that is read in pieces of these sizes.
fn encode(encoder: &mut Encoder, content: &[u8], pieces: &[usize]) -> Frames {
    let mut frames = Frames::new();
    let send = &mut |kind, parts: &[&[u8]]| {
        frames.push((kind, parts.concat()));
        Ok::<(), ()>(())
    };
    encoder.begin(7).unwrap();
    let mut rest = content;
    let mut sizes = pieces.iter().copied().filter(|size| *size > 0).cycle();
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(sizes.next().unwrap_or(usize::MAX).min(rest.len()));
        encoder.add(piece, send).unwrap();
        rest = left;
    }
    let crc = encoder.finish(send).unwrap();
    assert_eq!(crc, crc32fast::hash(content));
    frames
}

/// Decodes a file's frames.
fn decode(
    decoder: &mut Decoder,
    codec: Codec,
    size: u64,
    frames: &Frames,
) -> Result<Vec<u8>, DecodeError> {
    let mut content = Vec::new();
    decoder.begin(codec, size)?;
    for (kind, payload) in frames {
        let mut write = |piece: Piece<'_>| {
            match piece {
                Piece::Bytes(bytes) => content.extend_from_slice(bytes),
                Piece::Zeros(length) => content.resize(content.len() + length as usize, 0),
            }
            assert!(content.len() as u64 <= size, "more was written than announced");
            Ok::<(), DecodeError>(())
        };
        match Message::parse(&Frame { kind: *kind, payload: payload.clone() }).unwrap() {
            Message::Data { id: 7, bytes } => decoder.data(&bytes, &mut write)?,
            Message::Zeros { id: 7, length } => decoder.zeros(length, &mut write)?,
            Message::End { id: 7, crc } => {
                decoder.finish(crc)?;
                return Ok(content);
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("no end")
}

/// Content with runs of zeros, of text and of random bytes, around the sizes at which something changes.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![0usize..9000, Just(4096), 32_000usize..34_000, 130_000usize..140_000];
    let run = (0u8..3, size, any::<u64>()).prop_map(|(sort, size, seed)| match sort {
        0 => vec![0; size],
        1 => b"WAL of a primary ".iter().copied().cycle().take(size).collect(),
        _ => noise(size, seed),
    });
    prop::collection::vec(run, 0..7).prop_map(|runs| runs.concat())
}

fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(|_| next()).collect()
}

fn levels() -> impl Strategy<Value = i32> {
    prop_oneof![Just(0), Just(-7), Just(-1), Just(1), Just(3), Just(9)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_file_arrives_bit_for_bit(
        files in prop::collection::vec((content(), prop::collection::vec(0usize..300_000, 1..6)), 1..4),
        level in levels(),
        features in (0u32..8).prop_map(Features),
        codecs in prop_oneof![Just(1), Just(3)],
        frame in prop_oneof![Just(FILE_CHUNK), 1usize..2000],
    ) {
        let mut encoder = Encoder::new(&welcome(codecs, features), level, frame).unwrap();
        prop_assert_eq!(encoder.codec() == Codec::Zstd, level != 0 && codecs == 3);
        let mut decoder = Decoder::new();
        for (content, pieces) in files {
            let frames = encode(&mut encoder, &content, &pieces);
            let within = |(_, payload): &(u8, Vec<u8>)| payload.len() <= frame.max(8) + 4;
            prop_assert!(frames.iter().all(within));
            let zeros = frames.iter().any(|(kind, _)| *kind == 11);
            prop_assert!(!zeros || features.contains(Features::ZEROS));
            let decoded = decode(&mut decoder, encoder.codec(), content.len() as u64, &frames);
            prop_assert!(decoded.unwrap() == content);
        }
    }

    #[test]
    fn damaged_data_is_refused(
        content in content(),
        level in levels(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut encoder = Encoder::new(&welcome(3, Features::ALL), level, FILE_CHUNK).unwrap();
        let mut frames = encode(&mut encoder, &content, &[100_000]);
        let size = content.len() as u64;
        let mut decoder = Decoder::new();
        let data: Vec<usize> = (0..frames.len()).filter(|n| frames[*n].0 == Message::DATA).collect();
        if !data.is_empty() {
            let (_, payload) = &mut frames[data[at.index(data.len())]];
            let at = 4 + at.index(payload.len() - 4);
            payload[at] ^= flip;
            // Some bits of a zstd frame have no meaning; but no other content passes.
            if let Ok(decoded) = decode(&mut decoder, encoder.codec(), size, &frames) {
                prop_assert!(decoded == content);
            }
            payload_of(&mut frames, &data).truncate(4);
            prop_assert!(decode(&mut decoder, encoder.codec(), size, &frames).is_err());
        }
        // The next file is not affected.
        let frames = encode(&mut encoder, &content, &[5000]);
        prop_assert!(decode(&mut decoder, encoder.codec(), size, &frames).unwrap() == content);
        prop_assert!(decode(&mut decoder, encoder.codec(), size + 1, &frames).is_err());
        if size > 0 {
            prop_assert!(decode(&mut decoder, encoder.codec(), size - 1, &frames).is_err());
        }
    }

    #[test]
    fn garbage_is_refused(
        garbage in prop::collection::vec(any::<u8>(), 0..400),
        magic in any::<bool>(),
        size in 0u64..100_000,
    ) {
        let start = if magic { &[0x28, 0xB5, 0x2F, 0xFD][..] } else { &[] };
        let bytes = [start, &garbage].concat();
        let mut decoder = Decoder::new();
        decoder.begin(Codec::Zstd, size).unwrap();
        let mut written = 0;
        let _ = decoder.data(&bytes, &mut |piece| {
            written += match piece {
                Piece::Bytes(bytes) => bytes.len() as u64,
                Piece::Zeros(length) => length,
            };
            Ok::<(), DecodeError>(())
        });
        prop_assert!(written <= size);
    }
}

/// The last DATA frame's payload.
fn payload_of<'a>(frames: &'a mut Frames, data: &[usize]) -> &'a mut Vec<u8> {
    &mut frames[*data.last().unwrap()].1
}

fn ignore(_: Piece<'_>) -> Result<(), DecodeError> {
    Ok(())
}

/// 256 MB of zeros in a few kilobytes.
#[test]
fn a_decompression_bomb_is_refused_at_the_announced_size() {
    let mut bomb = Vec::new();
    let mut encoder = zstd::Encoder::new(&mut bomb, 1).unwrap();
    io::copy(&mut io::repeat(0).take(1 << 28), &mut encoder).unwrap();
    encoder.finish().unwrap();
    assert!(bomb.len() < 50_000);
    let mut decoder = Decoder::new();
    decoder.begin(Codec::Zstd, 1 << 20).unwrap();
    let mut written = 0;
    let error = decoder
        .data(&bomb, &mut |piece| {
            let Piece::Bytes(bytes) = piece else { panic!("{piece:?}") };
            written += bytes.len();
            Ok::<(), DecodeError>(())
        })
        .unwrap_err();
    assert!(matches!(error, DecodeError::TooLong), "{error}");
    assert!(written <= 1 << 20);
    decoder.begin(Codec::None, 1 << 20).unwrap();
    for length in [u64::MAX, (1 << 20) + 1] {
        let error = decoder.zeros(length, &mut ignore).unwrap_err();
        assert!(matches!(error, DecodeError::TooLong), "{error}");
    }
}

/// A window of 128 MB would have to be kept in memory.
#[test]
fn a_large_window_is_refused() {
    let mut frame = Vec::new();
    let mut encoder = zstd::Encoder::new(&mut frame, 1).unwrap();
    encoder.window_log(27).unwrap();
    io::copy(&mut Cursor::new(noise(100_000, 3)), &mut encoder).unwrap();
    encoder.finish().unwrap();
    let mut decoder = Decoder::new();
    decoder.begin(Codec::Zstd, 100_000).unwrap();
    let error = decoder.data(&frame, &mut ignore).unwrap_err();
    assert!(matches!(error, DecodeError::Zstd(_)), "{error}");
}

#[test]
fn incomplete_and_concatenated_zstd_frames_are_refused() {
    let content = noise(10_000, 5);
    let frame = zstd::encode_all(&content[..], 1).unwrap();
    let crc = crc32fast::hash(&content);
    let mut decoder = Decoder::new();
    let size = content.len() as u64;

    // All of the content, but not the frame's end.
    decoder.begin(Codec::Zstd, size).unwrap();
    let unfinished = &frame[..frame.len() - 1];
    decoder.data(unfinished, &mut ignore).unwrap();
    assert!(matches!(decoder.finish(crc), Err(DecodeError::Incomplete)));

    for (size, extra) in [(2 * size, frame.clone()), (size, vec![0])] {
        decoder.begin(Codec::Zstd, size).unwrap();
        let error =
            decoder.data(&[frame.clone(), extra.clone()].concat(), &mut ignore).unwrap_err();
        assert!(matches!(error, DecodeError::AfterEnd), "{error}");
        decoder.begin(Codec::Zstd, size).unwrap();
        decoder.data(&frame, &mut ignore).unwrap();
        let error = decoder.data(&extra, &mut ignore).unwrap_err();
        assert!(matches!(error, DecodeError::AfterEnd), "{error}");
    }
    assert!(matches!(decoder.begin(Codec::Other(9), 1), Err(DecodeError::Codec(9))));
}

#[test]
fn zeros_are_not_sent() {
    let mut content = vec![0; 1 << 24];
    content[..100_000].copy_from_slice(&noise(100_000, 9));
    content[9_000_000] = 1;
    for level in [0, -1] {
        let mut encoder = Encoder::new(&welcome(3, Features::ALL), level, FILE_CHUNK).unwrap();
        let frames = encode(&mut encoder, &content, &[FILE_CHUNK]);
        let zeros: Vec<u64> = frames
            .iter()
            .filter_map(|(kind, payload)| {
                let frame = Frame { kind: *kind, payload: payload.clone() };
                match Message::parse(&frame).unwrap() {
                    Message::Zeros { length, .. } => Some(length),
                    _ => None,
                }
            })
            .collect();
        let sent: usize = frames.iter().map(|(_, payload)| payload.len()).sum();
        assert_eq!(zeros.len(), 2);
        assert!(zeros.iter().sum::<u64>() > content.len() as u64 - 110_000);
        assert!(sent < 107_000, "{sent}");
    }
}
