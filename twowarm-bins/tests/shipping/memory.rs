//! How much memory both ends use.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use twowarm_core::ship::wire::{
    Capabilities, Codec, Encoder, FILE_CHUNK, Features, FileStart, Hello, Message, Purpose,
    RefusalCode, read_frame, read_greeting, write_frame, write_greeting,
};
use twowarm_core::testbed::Call;
use twowarm_core::wal::SegmentSize;

use crate::pair::{ONE, Pair};

/// The limit for either process, in kB.
const LIMIT: u64 = 32 * 1024;

/// The peak resident set of a process so far, in kB.
fn peak(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Sends the first segment and returns the peaks of both ends, in kB.
fn peaks(pair: &Pair) -> BTreeMap<&'static str, u64> {
    let mut command = pair.db1.command("archiveWALFile");
    command.args([format!("pg_wal/{ONE}"), ONE.to_owned()]);
    let mut call = Call::start(command);
    let mut peaks = BTreeMap::new();
    let mut see = |name, pid| {
        let most = peaks.entry(name).or_default();
        *most = peak(pid).unwrap_or_default().max(*most);
    };
    while !call.has_ended() {
        see("archiveWALFile", call.pid());
        for process in pair.bed.processes() {
            if process.command.ends_with("/receiveWALFile") {
                see("receiveWALFile", process.pid);
            }
        }
    }
    call.exits(0);
    peaks
}

#[test]
fn both_ends_use_little_memory_for_large_segments() {
    let pair = Pair::with_cluster(&["--wal-segsize=64"]);
    pair.db1.start().unwrap();
    let fill = "create table t as select md5(i::text) from generate_series(1, 1100000) i";
    pair.db1.sql(fill).unwrap();
    pair.db1.sql("select pg_switch_wal()").unwrap();
    let sent = fs::read(pair.db1.pgdata().join("pg_wal").join(ONE)).unwrap();
    assert_eq!(sent.len(), 64 << 20);
    let check = |case: &str| {
        let peaks = peaks(&pair);
        assert_eq!(peaks.len(), 2, "{case}: {peaks:?}");
        let within = peaks.values().all(|peak| (1000..LIMIT).contains(peak));
        assert!(within, "{case}: {peaks:?}");
    };
    check("a new file");
    assert!(fs::read(pair.archived(ONE)).unwrap() == sent);
    check("the same file");
    // The beginning of the segment, as flushPrimary of 2warm leaves it, is compared record by record.
    let mut unfinished = sent.clone();
    unfinished[48 << 20..].fill(0);
    pair.db2.run_as().write(&pair.archived(ONE), &unfinished).unwrap();
    check("a file that differs");
    assert!(fs::read(pair.archived(ONE)).unwrap() == sent);
    assert!(fs::read(pair.archived(&format!("{ONE}.foreign"))).unwrap() == unfinished);
}

/// The DATA payloads of 1 GB of zeros, compressed.
fn bomb() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let send = &mut |kind, parts: &[&[u8]]| {
        if kind == (Message::Data { id: 1, bytes: Vec::new() }).kind() {
            frames.push(parts[1].to_vec());
        }
        Ok::<(), ()>(())
    };
    let receiver = Capabilities { features: Features::default(), ..Capabilities::OURS };
    let mut encoder = Encoder::new(receiver, 1, FILE_CHUNK).unwrap();
    encoder.begin(1).unwrap();
    for _ in 0..1 << 10 {
        encoder.add(&[0; 1 << 20], send).unwrap();
    }
    encoder.finish(send).unwrap();
    frames
}

#[test]
fn invalid_compressed_data_uses_little_memory() {
    let pair = Pair::new();
    let mut command = pair.db2.command("receiveWALFile");
    let mut receiver = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = receiver.stdin.take().unwrap();
    let mut output = receiver.stdout.take().unwrap();
    let size = SegmentSize::DEFAULT;
    let hello = Hello {
        purpose: Purpose::ShipWal,
        system_identifier: 7,
        segment_size: size,
        major: "15".parse().unwrap(),
        node_id: "near-node-id".parse().unwrap(),
        label: "near".into(),
        machine: None,
        relay_for: None,
        relayed_by: None,
        promoted_to: None,
    };
    write_greeting(&mut input).unwrap();
    let mut send = |message: Message| {
        write_frame(&mut input, message.kind(), &[&message.payload()]).unwrap();
    };
    send(Message::Hello(hello));
    read_greeting(&mut output).unwrap();
    let mut answer = || loop {
        match Message::parse(&read_frame(&mut output).unwrap()).unwrap() {
            Message::Working => {}
            answer => return answer,
        }
    };
    let Message::Welcome(welcome) = answer() else { panic!("no welcome") };
    assert!(welcome.understands.knows(Codec::Zstd));

    let magic = [0x28, 0xB5, 0x2F, 0xFD];
    // Windows of 128 MB and of 2 TB.
    let window = |log: u8| vec![[&magic[..], &[0, (log - 10) << 3], &[9; 100]].concat()];
    let cases = [bomb(), window(27), window(41), vec![vec![0x28; 1 << 19]; 40]];
    for (id, frames) in (1..).zip(cases) {
        let (codec, name) = (Codec::Zstd, ONE.into());
        send(Message::File(FileStart { id, codec, size: size.bytes(), name, modified: None }));
        for bytes in frames {
            send(Message::Data { id, bytes });
        }
        send(Message::End { id, crc: 0 });
        let Message::Refused(refusal) = answer() else { panic!("not refused: {id}") };
        assert_eq!((refusal.id, refusal.code), (id, RefusalCode::DAMAGED), "{}", refusal.message);
    }
    let peak = peak(receiver.id() as i32).unwrap();
    assert!((1000..LIMIT).contains(&peak), "{peak} kB");
    send(Message::Goodbye);
    assert!(receiver.wait().unwrap().success());
    assert_eq!(pair.leftovers(), 0);
}
