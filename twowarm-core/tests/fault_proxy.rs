//! The fault proxy of the testbed: delays, limits and faults, at the byte where they were scheduled.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use twowarm_core::testbed::{Direction, Fault, FaultProxy, Testbed, finish, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// A server that returns what it receives, and a proxy to it.
fn echo() -> FaultProxy {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    FaultProxy::to_port(port).unwrap()
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(bytes)?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back)?;
    Ok(back)
}

/// Whether nothing arrives for a while.
fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let read = stream.read(&mut [0]);
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    read.is_err_and(|e| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn bytes_and_ends_pass() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let bytes = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == sent);
    assert_eq!(proxy.bytes(Direction::ToServer), 1_000_000);
    assert_eq!(proxy.bytes(Direction::ToClient), 1_000_000);
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn each_way_is_delayed_and_not_throttled() {
    let proxy = echo();
    let delay = Duration::from_millis(50);
    proxy.delay(delay);
    let mut stream = connect(&proxy);
    let start = Instant::now();
    exchange(&mut stream, b"1").unwrap();
    assert!(start.elapsed() >= 4 * delay, "setup and one exchange: {:?}", start.elapsed());
    // Pieces follow each other without waiting for answers.
    let start = Instant::now();
    const PIECES: usize = 2000;
    for piece in 0..PIECES {
        stream.write_all(&[piece as u8]).unwrap();
    }
    let mut back = [0; PIECES];
    stream.read_exact(&mut back).unwrap();
    assert!(back.iter().enumerate().all(|(piece, &byte)| byte == piece as u8));
    let took = start.elapsed();
    assert!(took >= 2 * delay && took < LIMIT, "{took:?}");
}

#[test]
fn the_limit_is_for_all_connections_together() {
    let proxy = echo();
    proxy.limit(1_000_000);
    let start = Instant::now();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = connect(&proxy);
            thread::spawn(move || exchange(&mut stream, &[7; 100_000]).unwrap())
        })
        .collect();
    threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), [7; 100_000]));
    assert!(start.elapsed() >= Duration::from_millis(199), "{:?}", start.elapsed());
    // Three thousand seconds would be needed with this limit.
    proxy.limit(1000);
    proxy.limit(0);
    exchange(&mut connect(&proxy), &[7; 3_000_000]).unwrap();
}

#[test]
fn a_stalled_line_holds_bytes_back_until_it_is_resumed() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, b"before").unwrap();
    proxy.stall();
    stream.write_all(b"held").unwrap();
    assert!(is_silent(&mut stream));
    let mut late = connect(&proxy);
    late.write_all(b"late").unwrap();
    assert!(is_silent(&mut late));
    proxy.resume();
    let mut back = [0; 4];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"held");
    late.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"late");
}

#[test]
fn a_cut_closes_old_connections_only() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, b"before").unwrap();
    proxy.cut();
    assert!(exchange(&mut stream, b"after").is_err());
    exchange(&mut connect(&proxy), b"new").unwrap();
    proxy.refuse(true);
    assert!(exchange(&mut connect(&proxy), b"refused").is_err());
    proxy.refuse(false);
    exchange(&mut connect(&proxy), b"again").unwrap();
}

#[test]
fn a_bit_is_flipped_once_at_its_offset() {
    for (direction, other) in
        [(Direction::ToServer, Direction::ToClient), (Direction::ToClient, Direction::ToServer)]
    {
        let proxy = echo();
        proxy.fault_at(direction, 70_000, Fault::FlipBit);
        let mut stream = connect(&proxy);
        assert!(exchange(&mut stream, &[0; 70_000]).unwrap() == [0; 70_000]);
        assert_eq!(proxy.pending_faults(), 1);
        assert_eq!(exchange(&mut stream, &[0, 0]).unwrap(), [1, 0]);
        assert_eq!(proxy.pending_faults(), 0);
        assert!(exchange(&mut connect(&proxy), &[0; 80_000]).unwrap() == [0; 80_000]);
        assert_eq!(proxy.bytes(direction), proxy.bytes(other));
    }
}

#[test]
fn faults_stop_the_stream_before_their_byte() {
    let proxy = echo();
    proxy.fault_at(Direction::ToServer, 5, Fault::Stall);
    proxy.fault_at(Direction::ToClient, 7, Fault::Cut);
    let mut stream = connect(&proxy);
    stream.write_all(b"0123456789").unwrap();
    let mut back = [0; 5];
    wait_until("the line to stall", LIMIT, || proxy.is_stalled()).unwrap();
    proxy.resume();
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"01234");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(rest, b"56");
}

#[test]
fn dropping_the_proxy_closes_its_port_and_connections() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, b"before").unwrap();
    proxy.stall();
    let port = proxy.port();
    drop(proxy);
    assert!(exchange(&mut stream, b"after").is_err());
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}

#[test]
fn a_node_is_reached_through_a_proxy() {
    let bed = Testbed::new().unwrap();
    let (db1, mut db2) = bed.pair().unwrap();
    let proxy = FaultProxy::to_sshd(db2.sshd()).unwrap();
    db1.reach_through(&db2, &proxy).unwrap();
    let settings = std::fs::read_to_string(db1.local().join("2warm.toml")).unwrap();
    assert_eq!(settings.matches("[node.db2]").count(), 1);
    assert!(
        settings.contains("[server]") && settings.contains(&format!("port = {}", proxy.port()))
    );

    finish(db1.ssh_through(&db2, &proxy).unwrap().arg("true")).unwrap();
    assert_eq!(proxy.connections(), 1);
    proxy.fault_at(Direction::ToClient, 2000, Fault::FlipBit);
    assert!(finish(db1.ssh_through(&db2, &proxy).unwrap().arg("head -c 4000 /dev/zero")).is_err());
    db2.sshd().stop();
    assert!(finish(db1.ssh_through(&db2, &proxy).unwrap().arg("true")).is_err());
    db2.sshd().restart().unwrap();
    finish(db1.ssh_through(&db2, &proxy).unwrap().arg("true")).unwrap();
}
