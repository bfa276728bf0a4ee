//! What playing stored records back costs.
//!
//! | group     | measures                                                       | beside it                                       |
//! |-----------|----------------------------------------------------------------|-------------------------------------------------|
//! | `records` | replaying 256 MiB of records of 1 KiB, in each mode of reading | `pread` and CRC-32C of the same files, no more  |
//! | `zstd`    | replaying the same, compressed                                 | Zstandard alone, on the same batches in memory  |
//!
//! Checksums are verified, every record is visited. All of it is in the page cache. Only ratios within one run mean
//! anything. Last, on two cores and beside `pread` and CRC in pieces of 256 KiB: records at 1.26 with a thread that reads
//! ahead, 0.83 if it gets no processor of its own, 0.91 without (`alone`); from maps 1.33. zstd takes 1.07 of the time of
//! Zstandard alone.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ottla::replay::{Archive, ReplayOptions, Scanned};
use ottla::{Acks, Admin, Compression, Engine, NewTopic, Producer, ProducerConfig, ProducerRecord, ReadMode};
use tempfile::TempDir;

const MIB: usize = 1024 * 1024;
const TOTAL: usize = 256 * MIB;
const VALUE_BYTES: usize = 1024;

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("records");
    group.sample_size(10).throughput(Throughput::Bytes(TOTAL as u64));
    let data = directory(Compression::None);
    let files = segments(data.path());
    for buffer_bytes in [64 * 1024, 256 * 1024, MIB] {
        let mut buffer = vec![0; buffer_bytes];
        group.bench_function(BenchmarkId::new("pread+crc", format!("{}KiB", buffer_bytes / 1024)), |bencher| {
            bencher.iter(|| files.iter().fold(0, |sum, file| sum ^ checksum(file, &mut buffer)));
        });
    }
    for mode in [ReadMode::Buffered, ReadMode::Mmap] {
        let archive = Archive::open_with(data.path(), mode).expect("the directory is fine");
        group.bench_function(BenchmarkId::new("for_each", mode), |bencher| bencher.iter(|| replay(&archive, true)));
        if mode == ReadMode::Buffered {
            group.bench_function(BenchmarkId::new("for_each", "alone"), |bencher| {
                bencher.iter(|| replay(&archive, false));
            });
        }
        group.bench_function(BenchmarkId::new("next_record", mode), |bencher| bencher.iter(|| step(&archive)));
    }
    group.finish();
}

fn zstd(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("zstd");
    group.sample_size(10).throughput(Throughput::Bytes(TOTAL as u64));
    let data = directory(Compression::Zstd);
    let archive = Archive::open(data.path()).expect("the directory is fine");
    let frames = frames(&archive);
    let mut unpacker = ::zstd::bulk::Decompressor::new().expect("there is memory");
    let mut buffer = vec![0; 4 * MIB];
    group.bench_function("bare", |bencher| {
        bencher.iter(|| {
            let unpack = |frame: &Vec<u8>| unpacker.decompress_to_buffer(frame, &mut buffer).expect("it is whole");
            frames.iter().map(unpack).sum::<usize>()
        });
    });
    group.bench_function("for_each", |bencher| bencher.iter(|| replay(&archive, true)));
    group.finish();
}

/// A directory with records of half random text in one partition.
fn directory(compression: Compression) -> TempDir {
    let data = tempfile::tempdir().expect("a temporary directory");
    let engine = Engine::open(data.path()).expect("the directory is new");
    let topic = NewTopic::new("orders").config("segment.bytes", (64 * MIB).to_string());
    Admin::new(&engine).create_topic(topic).expect("it is new");
    let config = ProducerConfig::builder().acks(Acks::One).batch_size(64 * 1024).compression(compression);
    let config = config.build().expect("it is consistent");
    let producer = Producer::<str, [u8]>::with_config(&engine, config).expect("the engine is open");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut value = vec![b'v'; VALUE_BYTES];
    for _ in 0..TOTAL / VALUE_BYTES {
        for letter in value.iter_mut().step_by(2) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            *letter = b'a' + u8::try_from(random % 16).expect("it is small");
        }
        producer.send(ProducerRecord::to("orders").value(&value)).expect("it is taken");
    }
    producer.close().expect("all is written");
    engine.close().expect("all is synced");
    data
}

#[expect(clippy::disallowed_methods, reason = "the other side of the comparison reads the files itself")]
fn segments(data: &Path) -> Vec<File> {
    let dir = std::fs::read_dir(data.join("log/orders-0")).expect("it is there");
    let mut paths: Vec<PathBuf> = dir.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "log"));
    paths.sort();
    paths.iter().map(|path| File::open(path).expect("it is there")).collect()
}

/// Reads a file from front to end, and computes a checksum of each piece.
fn checksum(file: &File, buffer: &mut [u8]) -> u64 {
    let (mut position, mut sum) = (0, 0);
    loop {
        let read = file.read_at(buffer, position).expect("it can be read");
        if read == 0 {
            return sum;
        }
        sum ^= crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &buffer[..read]);
        position += read as u64;
    }
}

fn replay(archive: &Archive, read_ahead: bool) -> usize {
    let mut bytes = 0;
    let replay = archive.replay(&ReplayOptions::default().read_ahead(read_ahead));
    let report = replay.for_each(|found| bytes += found.record.value().map_or(0, <[u8]>::len));
    assert!(report.expect("it can be read").findings.is_empty());
    assert_eq!(bytes, TOTAL);
    bytes
}

fn step(archive: &Archive) -> usize {
    let mut bytes = 0;
    let mut replay = archive.replay(&ReplayOptions::default());
    while let Some(found) = replay.next_record().expect("it can be read") {
        bytes += found.record.value().map_or(0, <[u8]>::len);
    }
    assert_eq!(bytes, TOTAL);
    bytes
}

/// The compressed records of each batch.
fn frames(archive: &Archive) -> Vec<Vec<u8>> {
    const HEADER_BYTES: usize = 61;
    let mut frames = Vec::new();
    for found in archive.logs()[0].scan() {
        let Scanned::Batch(stored) = found.expect("it can be read") else { panic!("nothing is damaged") };
        frames.push(stored.batch.as_bytes()[HEADER_BYTES..].to_vec());
    }
    frames
}

criterion_group!(benches, records, zstd);
criterion_main!(benches);
