//! [`Fetcher`] and [`Supplier`](crate::ship::Supplier) at the two ends of a pair of pipes.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::thread::JoinHandle;

use super::*;
use crate::archive::Stored;
use crate::ship::transport::{ConnectError, Connection, FarCommand};
use crate::ship::{ServeError, Supplied, Supplier};
use crate::wal::ControlFile;

const HISTORY: &str = "00000002.history";
const TEXT: &str = "1\t0/3000158\tno recovery target specified\n";

#[derive(Debug, Clone)]
struct InThread(Supplier);

struct Pipes {
    input: io::PipeReader,
    output: Option<io::PipeWriter>,
    thread: Option<JoinHandle<Result<Supplied, ServeError>>>,
}

impl Transport for InThread {
    fn connect(&self) -> Result<Box<dyn Connection>, ConnectError> {
        let (far_input, output) = io::pipe().unwrap();
        let (input, far_output) = io::pipe().unwrap();
        let supplier = self.0.clone();
        let thread = Some(std::thread::spawn(move || supplier.serve(far_input, far_output)));
        Ok(Box::new(Pipes { input, output: Some(output), thread }))
    }

    fn node(&self) -> &str {
        "db3"
    }

    fn command(&self) -> FarCommand {
        FarCommand::SendWalFile
    }
}

impl Read for Pipes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Pipes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.as_mut().map_or(Err(io::ErrorKind::BrokenPipe.into()), |o| o.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for Pipes {
    fn last_words(&mut self) -> Option<String> {
        self.output = None;
        self.thread.take()?.join().unwrap().err().map(|e| e.to_string())
    }
}

/// A node that fetches and one that sends, both of the cluster of the samples.
struct Bed {
    _dir: tempfile::TempDir,
    fetcher: Fetcher<InThread>,
    control: ControlFile,
}

impl Bed {
    fn new() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/15/pg_control");
        let control = fs::read(sample).unwrap();
        let [near, far] = ["db2", "db3"].map(|node| {
            let node = dir.path().join(node);
            for made in ["archive", "local", "data/global"] {
                fs::create_dir_all(node.join(made)).unwrap();
            }
            fs::write(node.join("data/global/pg_control"), &control).unwrap();
            fs::write(node.join("data/PG_VERSION"), "15\n").unwrap();
            node
        });
        let supplier = Supplier {
            archive: far.join("archive"),
            local_replication: far.join("local"),
            data_directory: Some(far.join("data")),
            label: "db3".into(),
            node_id: "id-of-db3".parse().unwrap(),
        };
        let node = LocalNode {
            data_directory: near.join("data"),
            node_id: "id-of-db2".parse().unwrap(),
            label: "db2".into(),
        };
        let (archive, local_replication) = (near.join("archive"), near.join("local"));
        let transport = InThread(supplier);
        let fetcher = Fetcher { node, transport, archive, local_replication };
        Bed { _dir: dir, fetcher, control: ControlFile::parse(&control).unwrap() }
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.fetcher.transport.0.archive.join(name), content).unwrap();
    }

    /// A segment of the cluster with this number whose records are missing.
    fn put_segment(&self, number: u64) -> WalFileName {
        let control = &self.control;
        let size = control.segment_size.bytes();
        let name = format!("{:024X}", (1u128 << 64) + u128::from(number));
        let mut bytes = vec![0; size as usize];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &control.major.unwrap().wal_magic().unwrap().to_le_bytes());
        put(2, &2u16.to_le_bytes());
        put(4, &1u32.to_le_bytes());
        put(8, &(number * size).to_le_bytes());
        put(24, &control.system_identifier.to_le_bytes());
        put(32, &(size as u32).to_le_bytes());
        put(36, &control.wal_block_size.to_le_bytes());
        self.put(&name, bytes);
        name.parse().unwrap()
    }

    fn fetch(&self, wanted: &[Wanted]) -> Result<Vec<FetchStep>, FetchError> {
        let mut steps = Vec::new();
        let mut note = |step| {
            if step != FetchStep::Data {
                steps.push(step);
            }
            true
        };
        self.fetcher.fetch(wanted, &mut note)?;
        assert_eq!(
            fs::read_dir(self.fetcher.archive.join(".incoming")).map_or(0, Iterator::count),
            0
        );
        assert!(!self.fetcher.archive.join(".owner").exists(), "fetching binds the archive");
        Ok(steps)
    }

    fn refused(&self, words: &str) {
        let error = self.fetch(&[history()]).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

fn history() -> Wanted {
    Wanted { name: HISTORY.parse().unwrap(), following: 0, even_damaged: false }
}

#[test]
fn files_are_fetched_over_one_connection_and_absent_ones_are_reported() {
    let bed = Bed::new();
    let absent = Wanted { name: "00000003.history".parse().unwrap(), ..history() };
    bed.put(HISTORY, TEXT);
    let steps = bed.fetch(&[absent, history(), history()]).unwrap();
    let name = history().name;
    assert_eq!(
        steps,
        [
            FetchStep::Absent(absent.name),
            FetchStep::Stored(name, Stored::New),
            FetchStep::Stored(name, Stored::AlreadyThere)
        ]
    );
    assert_eq!(fs::read_to_string(bed.fetcher.archive.join(HISTORY)).unwrap(), TEXT);
}

#[test]
fn segments_that_follow_come_with_the_first() {
    let bed = Bed::new();
    let names = [7, 8, 9].map(|number| bed.put_segment(number));
    bed.put_segment(11);
    let wanted = Wanted { name: names[0], following: 8, even_damaged: true };
    let steps = bed.fetch(&[wanted]).unwrap();
    let stored = names.map(|name| FetchStep::Stored(name, Stored::New));
    assert_eq!(steps[..3], stored);
    assert!(matches!(steps[3..], [FetchStep::Absent(_)]), "{steps:?}");
    // Their records are missing: otherwise they are refused.
    let careful = Wanted { name: names[1], following: 1, even_damaged: false };
    fs::remove_file(bed.fetcher.archive.join(names[1].to_string())).unwrap();
    let steps = bed.fetch(&[careful]).unwrap();
    assert!(matches!(steps[0], FetchStep::Unfit { damaged: true, .. }), "{steps:?}");
    assert!(!bed.fetcher.archive.join(names[1].to_string()).exists());
}

/// The first segment that the far end keeps for db2.
fn kept(bed: &Bed) -> Option<WalFileName> {
    let consumers = Archive::open(&bed.fetcher.transport.0.archive).unwrap().consumers().unwrap();
    consumers.first().map(|consumer| WalFileName::Segment(consumer.floor.clone().unwrap()))
}

#[test]
fn relayed_segments_are_kept_until_they_are_stored() {
    let bed = Bed::new();
    let names = [7, 8, 9].map(|number| bed.put_segment(number));
    let far = Archive::open(&bed.fetcher.transport.0.archive).unwrap();
    for name in names {
        far.note_relayed(&"db2".parse().unwrap(), name.segment().unwrap()).unwrap();
    }
    // Their records are missing, so that it is not stored.
    let careful = |name| Wanted { name, following: 8, even_damaged: false };
    bed.fetch(&[careful(names[0])]).unwrap();
    assert_eq!(kept(&bed), Some(names[0]));
    // It asks for a later segment: it does not need those before it.
    bed.fetch(&[careful(names[1]), history()]).unwrap();
    assert_eq!(kept(&bed), Some(names[1]));
    bed.fetch(&[history(), careful(names[0])]).unwrap();
    assert_eq!(kept(&bed), Some(names[1]));
    bed.fetch(&[Wanted { following: 0, even_damaged: true, ..careful(names[1]) }]).unwrap();
    assert_eq!(kept(&bed), Some(names[2]));
    bed.fetch(&[Wanted { even_damaged: true, ..careful(names[2]) }]).unwrap();
    assert_eq!(kept(&bed), None);
}

#[test]
fn an_unfit_file_does_not_leave_its_archive() {
    let bed = Bed::new();
    bed.put(HISTORY, "nonsense");
    let name = bed.put_segment(7);
    bed.put("000000010000000000000008", "short");
    let next = Wanted { name, following: 1, even_damaged: true };
    let steps = bed.fetch(&[history(), next]).unwrap();
    let [FetchStep::Unfit { .. }, FetchStep::Stored(..), FetchStep::Unfit { .. }] = &steps[..]
    else {
        panic!("{steps:?}");
    };
}

#[test]
fn another_cluster_and_the_node_itself_are_refused() {
    let mut bed = Bed::new();
    let owner = "version=1\nsystem_identifier=42\nnode_id=db9\nlabel=db9\n";
    bed.put(".owner", owner);
    bed.refused("another cluster");
    fs::remove_file(bed.fetcher.transport.0.archive.join(".owner")).unwrap();
    bed.fetch(&[history()]).unwrap();
    bed.fetcher.transport.0.node_id = bed.fetcher.node.node_id.clone();
    bed.refused("same node_id");
}

#[test]
fn an_unmounted_archive_is_neither_read_nor_written() {
    let bed = Bed::new();
    bed.put(HISTORY, TEXT);
    fs::write(bed.fetcher.local_replication.join("archive_id"), "x\n").unwrap();
    bed.refused("not the one that configStandby prepared");
    fs::remove_file(bed.fetcher.local_replication.join("archive_id")).unwrap();
    fs::write(bed.fetcher.transport.0.local_replication.join("archive_id"), "x\n").unwrap();
    bed.refused("not the one that configStandby prepared");
}
