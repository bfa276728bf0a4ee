//! What a record costs on its way down and up, beside what the bare system calls cost in the same run.
//!
//! | group           | measures                                                             | beside it             |
//! |-----------------|----------------------------------------------------------------------|-----------------------|
//! | `record_encode` | `send` alone: serialize, choose the partition, encode into a batch   |                       |
//! | `record_decode` | bytes to a checked batch, every record of it visited                 |                       |
//! | `produce`       | `send` and `send_all` from one thread, `acks` 1, until all is in the file | plain 64 KiB writes   |
//! | `poll`          | reading a topic from its beginning, every value visited              | `pread`, every byte summed |
//! | `group_commit`  | threads that each wait for their own `acks = all` record             | append and fdatasync  |
//!
//! Only ratios within one run mean anything. The directories are where `TMPDIR` says: point it at a disk, or syncs
//! cost nothing. `cargo bench --all-features -- --test` runs each once, to see that it works.

#![expect(clippy::disallowed_methods, reason = "measures time, and the bare files beside ottla's")]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ottla::{
    Acks, Batch, Consumer, ConsumerConfig, Engine, Offset, Producer, ProducerConfig, ProducerRecord, TopicPartition,
};
use tempfile::TempDir;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn record_encode(criterion: &mut Criterion) {
    const TOTAL: usize = 4 * MIB; // less than the producer's buffer: no `send` waits for the writer
    let mut group = criterion.benchmark_group("record_encode");
    group.sample_size(20).throughput(throughput(TOTAL));
    for value_bytes in [100, KIB] {
        let value = vec![b'v'; value_bytes];
        group.bench_function(BenchmarkId::new("send", size(value_bytes)), |bencher| {
            bencher.iter_batched(
                || {
                    let engine = Engine::in_memory().expect("memory is there");
                    producer(&engine, Acks::One)
                },
                |producer| {
                    send(&producer, &value, TOTAL / value_bytes);
                    producer
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn record_decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record_decode");
    for value_bytes in [100, KIB] {
        let bytes = stored_batch(value_bytes);
        group.throughput(throughput(bytes.len()));
        group.bench_function(BenchmarkId::new("none", size(value_bytes)), |bencher| {
            bencher.iter(|| {
                let batch = Batch::decode(black_box(bytes.clone())).expect("a stored batch is whole");
                let records = batch.records().expect("it is not compressed");
                let values = records.map(|record| record.expect("a stored record is whole").value());
                values.map(|value| value.map_or(0, <[u8]>::len)).sum::<usize>()
            });
        });
    }
    group.finish();
}

fn produce(criterion: &mut Criterion) {
    const TOTAL: usize = 48 * MIB; // less than what is synced though nobody asks for it
    let mut group = criterion.benchmark_group("produce");
    group.sample_size(10).throughput(throughput(TOTAL));
    for value_bytes in [100, KIB] {
        let value = vec![b'v'; value_bytes];
        for (call, send) in [("send", send as Send), ("send_all", send_all)] {
            group.bench_function(BenchmarkId::new(call, size(value_bytes)), |bencher| {
                // A new directory each time, removed outside of the measurement: no retention would bound one.
                bencher.iter_batched(
                    Queue::new,
                    |queue| {
                        queue.store_by(send, &value, TOTAL / value_bytes);
                        queue
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.bench_function("plain_writes/64KiB", |bencher| {
        let piece = vec![b'v'; 64 * KIB];
        bencher.iter_batched(
            || tempfile::tempfile().expect("a file can be made"),
            |mut file| {
                for _ in 0..TOTAL / piece.len() {
                    file.write_all(&piece).expect("the disk takes it");
                }
                file
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn poll(criterion: &mut Criterion) {
    const TOTAL: usize = 64 * MIB;
    let mut group = criterion.benchmark_group("poll");
    group.sample_size(10).throughput(throughput(TOTAL));
    let queue = Queue::new();
    queue.store(&[b'v'; KIB], TOTAL / KIB);
    let end = queue.engine.end_offset(&partition()).expect("the topic is there");
    group.bench_function(BenchmarkId::new("from_beginning", size(KIB)), |bencher| {
        let config = ConsumerConfig::builder().build().expect("the defaults are valid");
        let mut consumer = Consumer::<[u8], [u8]>::with_config(&queue.engine, config).expect("the engine is open");
        consumer.assign([partition()]).expect("the topic is there");
        bencher.iter(|| {
            consumer.seek(&partition(), Offset::ZERO).expect("the partition is assigned");
            let mut bytes = 0;
            while consumer.position(&partition()).expect("the partition is assigned") < end {
                let records = consumer.poll(Duration::from_secs(10)).expect("the log is readable");
                for record in &records {
                    bytes += record.value().expect("bytes are bytes").map_or(0, <[u8]>::len);
                }
            }
            assert_eq!(bytes, TOTAL);
        });
    });
    let file = File::open(segment_path(queue.directory.path())).expect("the segment is there");
    group.bench_function("pread/256KiB", |bencher| bencher.iter(|| sum_by_pread(&file, TOTAL)));
    group.finish();
}

fn group_commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("group_commit");
    let value = [b'v'; 100];
    for threads in [1, 16, 64] {
        let queue = Queue::new();
        let producer = producer(&queue.engine, Acks::All);
        group.throughput(Throughput::Elements(threads));
        group.bench_function(BenchmarkId::new("acks_all", format!("{threads}_threads")), |bencher| {
            bencher.iter_custom(|rounds| {
                on_threads(threads, rounds, || {
                    let delivery = producer.send(ProducerRecord::to(TOPIC).value(&value)).expect("there is room");
                    delivery.wait().expect("the disk takes it");
                })
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("append_and_fdatasync/1_thread", |bencher| {
        let mut file = tempfile::tempfile().expect("a file can be made");
        bencher.iter(|| {
            file.write_all(&value).expect("the disk takes it");
            file.sync_data().expect("the disk takes it");
        });
    });
    group.finish();
}

criterion_group!(benches, record_encode, record_decode, produce, poll, group_commit);
criterion_main!(benches);

const TOPIC: &str = "bench";

/// Sends a value so many times.
type Send = fn(&Producer<[u8], [u8]>, &[u8], usize);

/// An engine on a directory that goes away with it.
struct Queue {
    engine: Engine, // before the directory, so that it is closed when that goes
    directory: TempDir,
}

impl Queue {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        Self { engine: Engine::open(directory.path()).expect("an empty directory opens"), directory }
    }

    /// Sends `count` records from one thread, and waits until all are in the file.
    fn store(&self, value: &[u8], count: usize) {
        self.store_by(send, value, count);
    }

    fn store_by(&self, send: Send, value: &[u8], count: usize) {
        let producer = producer(&self.engine, Acks::One);
        send(&producer, value, count);
        producer.flush().expect("the disk takes it");
    }
}

fn producer(engine: &Engine, acks: Acks) -> Producer<[u8], [u8]> {
    let config = ProducerConfig::builder().acks(acks).build().expect("the defaults are valid");
    Producer::with_config(engine, config).expect("the engine is open")
}

fn send(producer: &Producer<[u8], [u8]>, value: &[u8], count: usize) {
    for _ in 0..count {
        drop(producer.send(ProducerRecord::to(TOPIC).value(value)).expect("there is room"));
    }
}

fn send_all(producer: &Producer<[u8], [u8]>, value: &[u8], count: usize) {
    let records: Vec<_> = (0..256).map(|_| ProducerRecord::to(TOPIC).value(value)).collect();
    for begin in (0..count).step_by(records.len()) {
        drop(producer.send_all(&records[..records.len().min(count - begin)]).expect("there is room"));
    }
}

fn partition() -> TopicPartition {
    TopicPartition::new(TOPIC, 0)
}

fn segment_path(directory: &Path) -> PathBuf {
    directory.join("log").join(partition().to_string()).join("00000000000000000000.log")
}

/// The bytes of a full batch as they stand in a segment.
fn stored_batch(value_bytes: usize) -> Bytes {
    let queue = Queue::new();
    queue.store(&vec![b'v'; value_bytes], 64 * KIB / value_bytes);
    queue.engine.close().expect("the disk takes it");
    let mut bytes = fs::read(segment_path(queue.directory.path())).expect("the segment is there");
    let length = bytes[8..12].try_into().map(u32::from_be_bytes).expect("four bytes");
    bytes.truncate(12 + usize::try_from(length).expect("a batch fits memory"));
    Bytes::from(bytes)
}

/// Runs `work` on each of `threads` threads, `rounds` times; the time from the start of all to the end of the last.
fn on_threads(threads: u64, rounds: u64, work: impl Fn() + Sync) -> Duration {
    let start = Barrier::new(usize::try_from(threads).expect("not that many") + 1);
    let mut began = None;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                start.wait();
                (0..rounds).for_each(|_| work());
            });
        }
        start.wait();
        began = Some(Instant::now());
    });
    began.expect("the scope has run").elapsed()
}

fn sum_by_pread(file: &File, len: usize) -> u64 {
    let mut buffer = vec![0; 256 * KIB];
    let (mut sum, mut position) = (0, 0);
    while position < len {
        let read = file.read_at(&mut buffer, u64::try_from(position).expect("a file fits")).expect("the disk gives it");
        sum += buffer[..read].iter().map(|byte| u64::from(*byte)).sum::<u64>();
        position += read;
    }
    sum
}

fn throughput(bytes: usize) -> Throughput {
    Throughput::Bytes(u64::try_from(bytes).expect("sizes fit"))
}

fn size(bytes: usize) -> String {
    if bytes < KIB { format!("{bytes}B") } else { format!("{}KiB", bytes / KIB) }
}
