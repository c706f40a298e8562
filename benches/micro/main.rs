//! Functions that run for each segment or name: `cargo bench -p twowarm-benches --bench micro`.

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput};
use twowarm_core::prune::{Prune, RestartPoint, Retention};
use twowarm_core::wal::{
    Expected, SegmentName, SegmentWalk, WalEnd, WalFileName, check_segment_header,
};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    walks(&mut criterion);
    names(&mut criterion);
    criterion.final_summary();
}

/// Full segments that servers wrote, one for each of PostgreSQL's two checksums.
fn walks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segment walk");
    for (checksum, version, name) in [
        ("legacy CRC", "9.4", "000000010000000000000001"),
        ("CRC-32C", "18-1MB", "000000010000000000000008"),
    ] {
        let (bytes, name) = (sample(version, name), segment_name(name));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(checksum, |bench| bench.iter(|| walk(black_box(&bytes), name)));
    }
    group.finish();
}

fn sample(version: &str, name: &str) -> Vec<u8> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../twowarm-core/tests/data");
    let packed = fs::read(data.join(version).join("wal").join(format!("{name}.zst")));
    zstd::decode_all(&packed.expect("the sample is part of the project")[..]).expect("it is sound")
}

fn walk(bytes: &[u8], name: SegmentName) {
    let length = bytes.len() as u64;
    let header = check_segment_header(bytes, name, length, &Expected::default());
    let header = header.expect("a sound segment");
    let mut walk = SegmentWalk::new(&header, name);
    bytes.chunks(header.block_size() as usize).for_each(|page| walk.push(page));
    assert_eq!(walk.finish(), WalEnd::ReachesEnd);
}

fn names(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("names");
    for name in ["000000010000000C00000098", "000000010000000C00000098.00000020.backup"] {
        group.bench_function(name, |bench| bench.iter(|| black_box(name).parse::<WalFileName>()));
    }
    let listing: Vec<String> =
        (0..100_000).map(|n| format!("00000001{:08X}{:08X}", n >> 8, n & 0xFF)).collect();
    let last = listing.last().expect("there are some");
    for (what, restart) in [("prunes none of 100,000", &listing[0]), ("prunes all but one", last)] {
        let prune = Prune::after_restore(&Retention {
            restored: segment_name(last),
            restart_point: RestartPoint::parse(Some(restart)),
            layout: None,
            keep: 0,
            floors: &[],
        });
        let prune = prune.expect("there is a restart point");
        group.bench_function(what, |bench| bench.iter(|| prune.plan(black_box(&listing)).count()));
    }
    group.finish();
}

fn segment_name(text: &str) -> SegmentName {
    text.parse().expect("a segment's name")
}
