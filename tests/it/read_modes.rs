//! `log.read.mode`: the same records come out of maps as out of buffers, and neither holds more than it may.

use std::path::Path;
use std::time::Duration;

use ottla::{
    Acks, Admin, Consumer, ConsumerConfig, ConsumerRecords, Engine, EngineConfig, NewTopic, Offset, Producer,
    ProducerConfig, ProducerRecord, ReadMode, TopicPartition,
};
use proptest::prelude::*;
use tempfile::TempDir;

/// What a record is, to compare.
type Seen = (i64, i64, Option<Vec<u8>>, Vec<u8>);

fn config(mode: ReadMode, open_segments: u32, mapped_bytes: u64) -> EngineConfig {
    let builder = EngineConfig::builder().read_mode(mode).read_open_segments(open_segments);
    builder.read_mapped_bytes(mapped_bytes).build().unwrap()
}

fn open(root: &Path, config: &EngineConfig) -> Engine {
    Engine::builder().config(config.clone()).open(root).unwrap()
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

/// A directory with `segments` segments or more, of a few batches each.
fn directory(segments: i64, values: &[Vec<u8>]) -> TempDir {
    let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let engine = open(root.path(), &EngineConfig::default());
    let topic = NewTopic::new("orders").config("segment.bytes", "600").config("index.interval.bytes", "0");
    Admin::new(&engine).create_topic(topic).unwrap();
    let config = ProducerConfig::builder().acks(Acks::One).linger(Duration::ZERO).build().unwrap();
    let producer = Producer::<[u8], [u8]>::with_config(&engine, config).unwrap();
    for number in 0..segments {
        for value in values {
            let key = number.to_be_bytes();
            let record = ProducerRecord::to("orders").key(&key[..]).value(&value[..]);
            producer.send(record).unwrap().wait().unwrap();
        }
    }
    producer.close().unwrap();
    engine.close().unwrap();
    root
}

fn take(records: &ConsumerRecords<[u8], [u8]>) -> Vec<Seen> {
    let seen = records.iter().map(|record| {
        let key = record.key().unwrap().map(<[u8]>::to_vec);
        (record.offset().0, record.timestamp().0, key, record.value().unwrap().unwrap().to_vec())
    });
    seen.collect()
}

fn reader(engine: &Engine, from: i64, max_bytes: usize) -> Consumer<[u8], [u8]> {
    let config = ConsumerConfig::builder().max_partition_fetch_bytes(max_bytes).build().unwrap();
    let mut consumer = Consumer::with_config(engine, config).unwrap();
    consumer.assign([orders()]).unwrap();
    consumer.seek(&orders(), Offset(from)).unwrap();
    consumer
}

/// Everything from `from` on.
fn scan(engine: &Engine, from: i64, max_bytes: usize) -> Vec<Seen> {
    let mut consumer = reader(engine, from, max_bytes);
    let mut seen = Vec::new();
    loop {
        match take(&consumer.poll(Duration::ZERO).unwrap()) {
            records if records.is_empty() => return seen,
            records => seen.extend(records),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn both_modes_read_the_same(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
        segments in 1..20i64,
        starts in prop::collection::vec(0..100i64, 3),
        max_bytes in 1..3000usize,
        open_segments in 1..5u32,
        mapped_bytes in prop_oneof![Just(0), 1..2000u64, Just(1 << 30)],
    ) {
        let root = directory(segments, &values);
        let scanned = [ReadMode::Buffered, ReadMode::Mmap].map(|mode| {
            let engine = open(root.path(), &config(mode, open_segments, mapped_bytes));
            let end = engine.end_offset(&orders()).unwrap().0;
            let starts = starts.iter().map(|start| end * start / 100).chain([0]);
            let seen: Vec<_> = starts.map(|start| scan(&engine, start, max_bytes)).collect();
            engine.close().unwrap();
            seen
        });
        prop_assert_eq!(scanned[0][3].len(), usize::try_from(segments).unwrap() * values.len());
        prop_assert_eq!(&scanned[0], &scanned[1]);

        // The active segment grows under a reader, and becomes a sealed one.
        for mode in [ReadMode::Mmap, ReadMode::Buffered] {
            let engine = open(root.path(), &config(mode, open_segments, mapped_bytes));
            let producer = Producer::<[u8], [u8]>::new(&engine).unwrap();
            let mut consumer = reader(&engine, engine.end_offset(&orders()).unwrap().0, max_bytes);
            for value in values.iter().cycle().take(8) {
                producer.send(ProducerRecord::to("orders").value(&value[..])).unwrap().wait().unwrap();
                let polled = take(&consumer.poll(Duration::from_secs(30)).unwrap());
                prop_assert_eq!(polled.iter().map(|seen| &seen.3).collect::<Vec<_>>(), [value]);
            }
            drop((consumer, producer));
            engine.close().unwrap();
        }
    }
}

#[test]
fn records_outlive_topic_segment_and_engine_in_both_modes() {
    for mode in [ReadMode::Buffered, ReadMode::Mmap] {
        let values: Vec<_> = (0..4u8).map(|number| vec![number; 100]).collect();
        let root = directory(20, &values);
        let engine = open(root.path(), &config(mode, 2, 1000));
        let mut consumer = reader(&engine, 0, 1 << 20);
        let records = consumer.poll(Duration::ZERO).unwrap();
        let before = take(&records);
        assert!(!before.is_empty());
        drop(consumer);
        Admin::new(&engine).delete_topic("orders").unwrap();
        assert_eq!(take(&records), before);
        engine.close().unwrap();
        drop(engine);
        assert_eq!(take(&records), before);
    }
}

/// How many descriptors, and how many maps, this process has on files below `root`.
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "looks at its own process from outside")]
fn handles(root: &Path) -> (usize, usize) {
    let root = root.to_str().unwrap();
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let is_log = |path: &str| path.contains(root) && path.contains(".log");
    let open = targets.filter(|path| is_log(&path.to_string_lossy())).count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    (open, maps.lines().filter(|line| is_log(line)).count())
}

#[cfg(target_os = "linux")]
#[test]
fn descriptors_and_maps_are_bounded_however_many_segments_are_read() {
    let values: Vec<_> = (0..4u8).map(|number| vec![number; 100]).collect();
    let root = directory(150, &values);
    for (mode, mapped_bytes) in [(ReadMode::Buffered, 0), (ReadMode::Mmap, 1 << 30), (ReadMode::Mmap, 3000)] {
        let engine = open(root.path(), &config(mode, 7, mapped_bytes));
        assert_eq!(scan(&engine, 0, 4000).len(), 600);
        let (open, mapped) = handles(root.path());
        // One of the active segment on top.
        assert!((1..=8).contains(&open), "{mode}: {open} open");
        match (mode, mapped_bytes) {
            (ReadMode::Mmap, 3000) => assert!((1..=5).contains(&mapped), "{mapped} maps of more than 500 bytes"),
            (ReadMode::Mmap, _) => assert!((1..=7).contains(&mapped), "{mapped} maps"),
            _ => assert_eq!(mapped, 0),
        }
        engine.close().unwrap();
        drop(engine);
        assert_eq!(handles(root.path()), (0, 0), "{mode}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn segments_that_are_written_and_synced_leave_no_descriptor_behind() {
    let root = tempfile::tempdir().unwrap();
    let engine = open(root.path(), &EngineConfig::default());
    Admin::new(&engine).create_topic(NewTopic::new("orders").config("segment.bytes", "200")).unwrap();
    let producer = Producer::<str, [u8]>::new(&engine).unwrap();
    for _ in 0..40 {
        producer.send(ProducerRecord::to("orders").value(&[7; 100])).unwrap().wait().unwrap();
    }
    assert!(Admin::new(&engine).describe_topic("orders").unwrap().partitions[0].segments >= 40);
    let (open, _) = handles(root.path());
    assert!(open <= 2, "{open} open");
    producer.close().unwrap();
    engine.close().unwrap();
}
