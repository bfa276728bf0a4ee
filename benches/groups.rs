//! What a group costs its members, and what it gives them.
//!
//! | group     | measures                                                                     | beside it            |
//! |-----------|------------------------------------------------------------------------------|----------------------|
//! | `members` | a group that reads a topic of 16 partitions, some work with each record      | by one thread, by four |
//! | `poll`    | a poll that finds nothing, and one that returns a single record              | without a membership |
//!
//! All of it is in memory. Only ratios within one run mean anything: four threads want at least two cores to themselves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ottla::{Admin, Consumer, ConsumerConfig, Engine, NewTopic, Producer, ProducerRecord};

const PARTITIONS: u32 = 16;
const RECORDS: u64 = 400_000;

type BytesConsumer = Consumer<str, [u8]>;

fn members(criterion: &mut Criterion) {
    let engine = filled();
    let mut group = criterion.benchmark_group("members");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS));
    let groups = AtomicU64::new(0);
    for threads in [1, 4] {
        group.bench_function(BenchmarkId::new("threads", threads), |bencher| {
            bencher.iter_custom(|times| {
                let run = || read_as_group(&engine, &groups.fetch_add(1, Ordering::Relaxed).to_string(), threads);
                (0..times).map(|_| run()).sum()
            });
        });
    }
    group.finish();
}

/// A topic of records of 100 bytes, in each partition as many.
fn filled() -> Engine {
    let engine = Engine::in_memory().expect("it is new");
    Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(PARTITIONS)).expect("it is new");
    let producer = Producer::<str, [u8]>::new(&engine).expect("the engine is open");
    let value = [b'v'; 100];
    for number in 0..RECORDS {
        let partition = u32::try_from(number % u64::from(PARTITIONS)).expect("it is below 16");
        let record = ProducerRecord::to("orders").partition(partition).value(&value[..]);
        drop(producer.send(record).expect("it is taken"));
    }
    producer.close().expect("all is written");
    engine
}

fn member(engine: &Engine, group: Option<&str>) -> BytesConsumer {
    let config = ConsumerConfig::builder().group_id(group.map(str::to_owned)).enable_auto_commit(false);
    Consumer::with_config(engine, config.build().expect("it is consistent")).expect("the engine is open")
}

/// How long a group of so many threads takes for all records, once each of them has its partitions.
#[expect(clippy::disallowed_methods, reason = "looks at a clock")]
fn read_as_group(engine: &Engine, name: &str, threads: usize) -> Duration {
    let mut members: Vec<BytesConsumer> = (0..threads).map(|_| member(engine, Some(name))).collect();
    for member in &mut members {
        member.subscribe(["orders"]).expect("there is such a topic");
    }
    let share = PARTITIONS as usize / threads;
    while members.iter().any(|member| member.assignment().len() != share) {
        for member in &mut members {
            drop(member.poll(Duration::ZERO).expect("nothing is damaged"));
        }
    }
    for member in &mut members {
        member.seek_to_beginning([]).expect("nothing was committed");
    }
    let read = AtomicU64::new(0);
    let begun = Instant::now();
    thread::scope(|scope| {
        for member in &mut members {
            let read = &read;
            scope.spawn(move || {
                while read.load(Ordering::Relaxed) < RECORDS {
                    let records = member.poll(Duration::from_millis(1)).expect("nothing is damaged");
                    for record in &records {
                        std::hint::black_box(work(record.value().expect("it is of bytes").unwrap_or_default()));
                    }
                    read.fetch_add(records.len() as u64, Ordering::Relaxed);
                }
            });
        }
    });
    begun.elapsed()
}

/// One or two microseconds.
fn work(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for _ in 0..12 {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

fn polls(criterion: &mut Criterion) {
    let engine = filled();
    let mut group = criterion.benchmark_group("poll");
    for is_member in [false, true] {
        let name = if is_member { "member" } else { "assigned" };
        let mut consumer = member(&engine, is_member.then_some("billing"));
        if is_member {
            consumer.subscribe(["orders"]).expect("there is such a topic");
        } else {
            consumer.assign((0..PARTITIONS).map(|number| ("orders", number).into())).expect("there are such");
        }
        consumer.poll(Duration::ZERO).expect("nothing is damaged");
        consumer.seek_to_end([]).expect("all are assigned");
        consumer.poll(Duration::ZERO).expect("nothing is damaged");
        group.bench_function(BenchmarkId::new("nothing", name), |bencher| {
            bencher.iter(|| consumer.poll(Duration::ZERO).expect("nothing is damaged").len());
        });
        let config = ConsumerConfig::builder().group_id(is_member.then(|| "shipping".to_owned())).max_poll_records(1);
        let config = config.enable_auto_commit(false).build().expect("it is consistent");
        let mut consumer = BytesConsumer::with_config(&engine, config).expect("the engine is open");
        if is_member {
            consumer.subscribe(["orders"]).expect("there is such a topic");
        } else {
            consumer.assign((0..PARTITIONS).map(|number| ("orders", number).into())).expect("there are such");
        }
        group.bench_function(BenchmarkId::new("one record", name), |bencher| {
            bencher.iter(|| {
                if consumer.poll(Duration::ZERO).expect("nothing is damaged").is_empty() {
                    consumer.seek_to_beginning([]).expect("all are assigned");
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, members, polls);
criterion_main!(benches);
