//! What compression costs on the way down and up, beside what the bare codec costs for the same bytes in the same run.
//!
//! | group    | measures                                                              | beside it                         |
//! |----------|-----------------------------------------------------------------------|-----------------------------------|
//! | `seal`   | `send` from one thread until all is written, in memory, `acks` 1      | `bare`: the codec over the records |
//! | `unpack` | a stored batch to checked records, every record of it visited         | `bare`: the codec over the stream  |
//!
//! One thread sends, and the writer seals beside it, so `send` is held against one thread that does nothing but compress.
//! Records are 100 bytes and look like JSON; batches are 16 KiB compressed, so `bare` works on what fills one. Throughput
//! is in bytes before compression. Only ratios within one run mean anything, on a machine that does nothing else and
//! has two processors to give.

#![expect(clippy::disallowed_methods, reason = "measures time, and reads a segment as a tool would")]

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ottla::{Acks, Batch, Compression, Engine, Producer, ProducerConfig, ProducerRecord};

const TOPIC: &str = "clicks";
const CODECS: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const LIMIT: usize = Batch::DEFAULT_UNPACKED_LIMIT;
const HEADER_BYTES: usize = 61;

fn seal(criterion: &mut Criterion) {
    const RECORDS: usize = 240_000; // 24 MiB
    const KNOWN: usize = 100_000; // until it is known how well they compress
    let mut group = criterion.benchmark_group("seal");
    group.sample_size(10);
    let values = values(RECORDS);
    for codec in CODECS.into_iter().chain([Compression::None]) {
        group.throughput(throughput(values.iter().map(|value| value.len() + 7).sum()));
        for (call, send_values) in [("send", send as fn(&_, &_)), ("send_all", send_all)] {
            group.bench_function(BenchmarkId::new(format!("{codec}_{call}"), "16KiB"), |bencher| {
                bencher.iter_custom(|rounds| {
                    let mut taken = Duration::ZERO;
                    for _ in 0..rounds {
                        let engine = Engine::in_memory().expect("memory is there");
                        let producer = producer(&engine, codec, 16 * 1024);
                        send(&producer, &values[..KNOWN]);
                        taken += wall_time(|| send_values(&producer, &values));
                    }
                    taken
                });
            });
        }
        if codec == Compression::None {
            continue;
        }
        // Not the same block each time: the processor would learn it by heart.
        let records = stored_records(&values);
        let block = raw_records(codec).len();
        group.throughput(throughput(records.len()));
        let mut pack = bare_packer(codec);
        group.bench_function(BenchmarkId::new(format!("{codec}_bare"), "16KiB"), |bencher| {
            bencher.iter_custom(|rounds| {
                wall_time(|| {
                    for block in (0..rounds).flat_map(|_| records.chunks(block)) {
                        drop(black_box(pack(black_box(block))));
                    }
                })
            });
        });
    }
    group.finish();
}

fn wall_time(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn unpack(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unpack");
    for codec in CODECS {
        let stored = stored_batch(codec, 16 * 1024);
        let records = raw_records(codec);
        group.throughput(throughput(records.len()));
        group.bench_function(BenchmarkId::new(codec.to_string(), "16KiB"), |bencher| {
            bencher.iter(|| {
                let batch = Batch::decode(black_box(stored.clone())).expect("a stored batch is whole");
                let batch = batch.unpack(LIMIT).expect("it was compressed here");
                let values =
                    batch.records().expect("it is unpacked").map(|record| record.expect("it is whole").value());
                values.map(|value| value.map_or(0, <[u8]>::len)).sum::<usize>()
            });
        });
        let packed = bare_packer(codec)(&records);
        let mut unpack = bare_unpacker(codec, records.len());
        group.bench_function(BenchmarkId::new(format!("{codec}_bare"), "16KiB"), |bencher| {
            bencher.iter(|| unpack(black_box(&packed)));
        });
    }
    group.finish();
}

/// Records to blocks.
type BarePacker = Box<dyn FnMut(&[u8]) -> Vec<Vec<u8>>>;
/// Blocks to records; answers how many bytes they are.
type BareUnpacker = Box<dyn FnMut(&[Vec<u8>]) -> usize>;

/// The codec alone, its context kept; blocks as large as in Kafka's streams.
fn bare_packer(codec: Compression) -> BarePacker {
    match codec {
        Compression::Gzip => {
            let mut deflate = flate2::Compress::new(flate2::Compression::default(), false);
            Box::new(move |bytes| {
                let mut into = Vec::with_capacity(bytes.len());
                deflate.reset();
                deflate.compress_vec(bytes, &mut into, flate2::FlushCompress::Finish).expect("there is room");
                vec![into]
            })
        }
        Compression::Snappy => {
            let mut encoder = snap::raw::Encoder::new();
            Box::new(move |bytes| {
                let blocks = bytes.chunks(32 * 1024);
                blocks.map(|block| encoder.compress_vec(block).expect("a block is small")).collect()
            })
        }
        Compression::Lz4 => Box::new(|bytes| bytes.chunks(64 * 1024).map(lz4_flex::block::compress).collect()),
        _ => {
            let mut compressor = zstd::bulk::Compressor::new(3).expect("memory is there");
            Box::new(move |bytes| vec![compressor.compress(bytes).expect("there is room")])
        }
    }
}

fn bare_unpacker(codec: Compression, len: usize) -> BareUnpacker {
    let mut into = vec![0; len];
    match codec {
        Compression::Gzip => {
            let mut inflate = flate2::Decompress::new(false);
            Box::new(move |streams| {
                inflate.reset(false);
                let flush = flate2::FlushDecompress::Finish;
                inflate.decompress(&streams[0], &mut into, flush).expect("it was compressed here");
                into.len()
            })
        }
        Compression::Snappy => Box::new(move |streams| {
            let unpack = |block: &Vec<u8>| snap::raw::Decoder::new().decompress(block, &mut into);
            streams.iter().map(unpack).map(|len| len.expect("it was compressed here")).sum()
        }),
        Compression::Lz4 => Box::new(move |streams| {
            let unpack = |block: &Vec<u8>| lz4_flex::block::decompress_into(block, &mut into);
            streams.iter().map(unpack).map(|len| len.expect("it was compressed here")).sum()
        }),
        _ => {
            let mut decompressor = zstd::bulk::Decompressor::new().expect("memory is there");
            Box::new(move |streams| {
                decompressor.decompress_to_buffer(&streams[0], &mut into).expect("it was compressed here")
            })
        }
    }
}

fn producer(engine: &Engine, codec: Compression, batch_size: usize) -> Producer<[u8], [u8]> {
    let config = ProducerConfig::builder().acks(Acks::One).compression(codec).batch_size(batch_size);
    Producer::with_config(engine, config.build().expect("this build has all codecs")).expect("the engine is open")
}

fn send(producer: &Producer<[u8], [u8]>, values: &[Vec<u8>]) {
    for value in values {
        drop(producer.send(ProducerRecord::to(TOPIC).value(value.as_slice())).expect("there is room"));
    }
    producer.flush().expect("memory takes it");
}

fn send_all(producer: &Producer<[u8], [u8]>, values: &[Vec<u8>]) {
    for values in values.chunks(500) {
        let records: Vec<_> = values.iter().map(|value| ProducerRecord::to(TOPIC).value(value.as_slice())).collect();
        drop(producer.send_all(&records).expect("there is room"));
    }
    producer.flush().expect("memory takes it");
}

/// Like what an application logs: the same words, other numbers; about 100 bytes each.
fn values(count: usize) -> Vec<Vec<u8>> {
    const ACTIONS: [&str; 6] = ["click", "view", "order", "search", "login", "logout"];
    let mut state = 1_u64;
    let mut any = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut value = |index: usize| {
        let (user, page, ms) = (any(100_000), any(1000), any(3000));
        let action = ACTIONS[usize::try_from(any(6)).expect("it is small")];
        let value = format!(
            r#"{{"id":{:07},"user":"u-{user:05}","action":"{action}","page":"/orders/{page}","status":200,"ms":{ms},"region":"eu-1"}}"#,
            1_000_000 + index
        );
        value.into_bytes()
    };
    (0..count).map(&mut value).collect()
}

/// A batch as it stands in a segment, when it is known how well its topic compresses.
fn stored_batch(codec: Compression, batch_size: usize) -> Bytes {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let engine = Engine::open(directory.path()).expect("an empty directory opens");
    send(&producer(&engine, codec, batch_size), &values(150_000));
    engine.close().expect("the disk takes it");
    let path = directory.path().join("log").join(format!("{TOPIC}-0")).join("00000000000000000000.log");
    let mut rest = Bytes::from(fs::read(path).expect("the segment is there"));
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let batch = Batch::decode(rest.clone()).expect("a stored batch is whole");
        rest = rest.slice(batch.header().len_bytes..);
        batches.push(batch.as_bytes().clone());
    }
    let full = batches.iter().rev().nth(3).expect("there are more");
    Bytes::copy_from_slice(full)
}

/// All of them as they stand in batches that are not compressed, without the headers.
fn stored_records(values: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, value) in (0_u8..128).cycle().zip(values) {
        // Length (two bytes for most), attributes, timestamp, offset, no key, value length, value, no headers.
        bytes.extend_from_slice(&[0xe0, 1, 0, 0, index, 1, 0xd0, 1]);
        bytes.extend_from_slice(value);
        bytes.push(0);
    }
    bytes
}

/// About the records that fill a batch of 16 KiB, not compressed.
fn raw_records(codec: Compression) -> Vec<u8> {
    let batch = Batch::decode(stored_batch(codec, 16 * 1024)).and_then(|batch| batch.unpack(LIMIT));
    let batch = batch.expect("it was compressed here");
    let values = batch.records().expect("it is unpacked").map(|record| record.expect("it is whole").value());
    let len: usize = values.map(|value| value.map_or(0, <[u8]>::len) + 11).sum();
    stored_batch(Compression::None, len)[HEADER_BYTES..].to_vec()
}

fn throughput(bytes: usize) -> Throughput {
    Throughput::Bytes(u64::try_from(bytes).expect("sizes fit"))
}

criterion_group!(benches, seal, unpack);
criterion_main!(benches);
