//! What reading costs in both modes, and what opening a directory of many segments costs.
//!
//! | group     | measures                                                                  | beside it               |
//! |-----------|---------------------------------------------------------------------------|-------------------------|
//! | `scan`    | reading a topic of 256 MiB in 16 MiB segments, every record visited       | `log.read.mode` `mmap`  |
//! | `open`    | opening and closing a directory of 10,000 segments that was closed cleanly | one of a single segment |
//!
//! All of it is in the page cache. Only ratios within one run mean anything.

use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ottla::{
    Acks, Admin, Consumer, ConsumerConfig, Engine, EngineConfig, NewTopic, Offset, Producer, ProducerConfig,
    ProducerRecord, ReadMode, TopicPartition,
};
use tempfile::TempDir;

const MIB: usize = 1024 * 1024;

fn scan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan");
    group.sample_size(10);
    for (name, value_bytes) in [("100B", 100), ("16KiB", 16 * 1024)] {
        let total = 256 * MIB;
        let data = directory(total / value_bytes, value_bytes, "16777216");
        group.throughput(Throughput::Bytes(total as u64));
        for mode in [ReadMode::Buffered, ReadMode::Mmap] {
            let engine = open(data.path(), mode);
            group.bench_function(BenchmarkId::new(mode.to_string(), name), |bencher| {
                bencher.iter(|| read_all(&engine));
            });
            engine.close().expect("the directory is fine");
        }
    }
    group.finish();
}

fn open_many(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10);
    for segments in [1, 10_000] {
        let data = directory(segments, 100, "128");
        group.bench_function(BenchmarkId::new("segments", segments), |bencher| {
            bencher.iter(|| open(data.path(), ReadMode::Buffered).close().expect("the directory is fine"));
        });
    }
    group.finish();
}

/// A directory with `records` in one partition, in the page cache.
fn directory(records: usize, value_bytes: usize, segment_bytes: &str) -> TempDir {
    let data = tempfile::tempdir().expect("a temporary directory");
    let engine = open(data.path(), ReadMode::Buffered);
    let is_tiny = segment_bytes == "128";
    let topic = NewTopic::new("orders").config("segment.bytes", if is_tiny { "200" } else { segment_bytes });
    Admin::new(&engine).create_topic(topic).expect("it is new");
    let config = ProducerConfig::builder().acks(Acks::One).batch_size(if is_tiny { 1 } else { 64 * 1024 });
    let config = config.build().expect("it is consistent");
    let producer = Producer::<str, [u8]>::with_config(&engine, config).expect("the engine is open");
    let value = vec![b'v'; value_bytes];
    for number in 0..records {
        let delivery = producer.send(ProducerRecord::to("orders").value(&value)).expect("it is taken");
        if is_tiny && number % 50 == 0 {
            delivery.wait().expect("it is written");
        }
    }
    producer.close().expect("all is written");
    engine.close().expect("all is synced");
    data
}

fn open(path: &Path, mode: ReadMode) -> Engine {
    let config = EngineConfig::builder().read_mode(mode).build().expect("it is consistent");
    Engine::builder().config(config).open(path).expect("the directory is fine")
}

fn read_all(engine: &Engine) -> usize {
    let config = ConsumerConfig::builder().max_poll_records(usize::MAX).build().expect("it is consistent");
    let mut consumer = Consumer::<str, [u8]>::with_config(engine, config).expect("the engine is open");
    let orders = TopicPartition::new("orders", 0);
    consumer.assign([orders.clone()]).expect("there is such a partition");
    consumer.seek(&orders, Offset::ZERO).expect("it is assigned");
    let mut bytes = 0;
    loop {
        let records = consumer.poll(Duration::ZERO).expect("nothing is damaged");
        if records.is_empty() {
            return bytes;
        }
        for record in &records {
            bytes += record.value().expect("it is of bytes").map_or(0, <[u8]>::len);
        }
    }
}

criterion_group!(benches, scan, open_many);
criterion_main!(benches);
