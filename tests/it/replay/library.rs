//! `Archive::replay`: filters, orders, speeds, damage.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla::replay::{Archive, OnDamage, ReplayOptions, ReplayedRecord};
use ottla::{
    Acks, Admin, DefectKind, Engine, Error, MemoryDisk, NewTopic, Offset, Producer, ProducerConfig, ProducerRecord,
    Timestamp,
};

const T: i64 = 1_700_000_000_000;

/// Three partitions of `orders` with ten records each, the next one always in the next partition, 10 ms apart; in
/// segments of a few batches.
fn orders(disk: &MemoryDisk) {
    let engine = Engine::builder().open_memory(disk).unwrap();
    let topic =
        NewTopic::new("orders").partitions(3).config("segment.bytes", "400").config("index.interval.bytes", "0");
    Admin::new(&engine).create_topic(topic).unwrap();
    let config = ProducerConfig::builder().acks(Acks::All).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    for number in 0..30_u32 {
        let (key, value) = (format!("k{}", number % 4), format!("v{number}"));
        let parity = if number % 2 == 0 { "even" } else { "odd" };
        let record = ProducerRecord::to("orders").partition(number % 3).key(&*key).value(&*value);
        let record = record.timestamp(Timestamp(T + 10 * i64::from(number))).header("parity", parity);
        producer.send(record).unwrap().wait().unwrap();
    }
    engine.close().unwrap();
}

fn number(found: &ReplayedRecord<'_>) -> u32 {
    std::str::from_utf8(found.record.value().unwrap()).unwrap()[1..].parse().unwrap()
}

/// The numbers of the records, in the order in which they come; the three ways of having them agree.
fn numbers(disk: &MemoryDisk, options: &ReplayOptions) -> Vec<u32> {
    let archive = Archive::open_memory(disk).unwrap();
    let mut stepped = Vec::new();
    let mut replay = archive.replay(options);
    while let Some(found) = replay.next_record().unwrap() {
        stepped.push(number(&found));
    }
    assert!(replay.next_record().unwrap().is_none());
    let mut called = Vec::new();
    let report = archive.replay(options).for_each(|found| called.push(number(&found))).unwrap();
    let owned: Vec<_> = archive.replay(options).map(|found| number(&found.unwrap().get())).collect();
    assert_eq!((&stepped, &stepped), (&called, &owned));
    assert_eq!(replay.report(), &report);
    assert_eq!(report.records, stepped.len() as u64);
    let together = Mutex::new(BTreeSet::new());
    let taken = archive.replay(options).for_each_in_parallel(2, |found| {
        assert!(together.lock().unwrap().insert(number(&found)));
    });
    assert_eq!(taken.unwrap().records, report.records);
    assert_eq!(together.into_inner().unwrap(), stepped.iter().copied().collect());
    stepped
}

#[test]
fn partitions_come_one_after_the_other_or_merged_by_time() {
    let disk = MemoryDisk::new();
    orders(&disk);
    let all = ReplayOptions::default();
    let in_turn: Vec<_> = (0..3).flat_map(|partition| (partition..30).step_by(3)).collect();
    assert_eq!(numbers(&disk, &all), in_turn);
    assert_eq!(numbers(&disk, &all.clone().by_time(true)), (0..30).collect::<Vec<_>>());
    let back: Vec<_> = (0..30).rev().collect();
    assert_eq!(numbers(&disk, &all.by_time(true).backwards(true)), back);
}

#[test]
fn filters_all_have_to_fit() {
    let disk = MemoryDisk::new();
    orders(&disk);
    let all = || ReplayOptions::default().by_time(true);
    assert_eq!(numbers(&disk, &all().key("k1")), (1..30).step_by(4).collect::<Vec<_>>());
    assert_eq!(numbers(&disk, &all().header("parity", "odd")), (1..30).step_by(2).collect::<Vec<_>>());
    assert_eq!(numbers(&disk, &all().header("parity", "odd").header("parity", "even")), [0; 0]);
    assert_eq!(numbers(&disk, &all().key("k1").partition(0)), [9, 21]);
    assert_eq!(numbers(&disk, &all().key("k")), [0; 0]);
    let ends_in_7 = all().filter(|_, record| record.value().is_some_and(|value| value.ends_with(b"7")));
    assert_eq!(numbers(&disk, &ends_in_7), [7, 17, 27]);
    assert_eq!(numbers(&disk, &all().topic("others")), [0; 0]);
}

#[test]
fn bounds_hold_to_the_record_in_both_directions() {
    let disk = MemoryDisk::new();
    orders(&disk);
    for (from, to) in [(0, 10), (3, 7), (5, 5), (9, 10), (7, 3), (10, 20)] {
        let options = ReplayOptions::default().partition(1).from_offset(Offset(from)).to_offset(Offset(to));
        let mut expected: Vec<_> = (from..to.min(10)).map(|offset| u32::try_from(3 * offset + 1).unwrap()).collect();
        assert_eq!(numbers(&disk, &options), expected, "{from} to {to}");
        expected.reverse();
        assert_eq!(numbers(&disk, &options.backwards(true)), expected, "{from} to {to}");
    }
    for (from, to) in [(0, 300), (1, 20), (10, 11), (290, 291), (291, 400)] {
        let times = ReplayOptions::default().by_time(true).from_time(Timestamp(T + from)).to_time(Timestamp(T + to));
        let expected: Vec<_> = (0..30).filter(|number| (from..to).contains(&i64::from(10 * number))).collect();
        assert_eq!(numbers(&disk, &times), expected, "{from} to {to}");
    }
}

#[test]
fn batches_that_are_too_old_are_not_unpacked() {
    let disk = MemoryDisk::new();
    orders(&disk);
    let options = ReplayOptions::default().from_time(Timestamp(T + 150));
    let report = Archive::open_memory(&disk).unwrap().replay(&options).for_each(|_| {}).unwrap();
    assert_eq!((report.batches, report.batches_passed, report.records, report.records_passed), (30, 15, 15, 0));
    assert_eq!(report.times, Some((Timestamp(T + 150), Timestamp(T + 290))));
}

#[test]
fn progress_is_told_of_every_batch() {
    let disk = MemoryDisk::new();
    orders(&disk);
    static TOLD: AtomicU64 = AtomicU64::new(0);
    let options = ReplayOptions::default().key("nobody").on_progress(|bytes| {
        TOLD.fetch_add(bytes, Ordering::Relaxed);
    });
    let replay = Archive::open_memory(&disk).unwrap().replay(&options);
    let total = replay.total_bytes();
    assert_eq!(replay.for_each(|_| {}).unwrap().bytes, total);
    assert_eq!(TOLD.load(Ordering::Relaxed), total);
}

/// Here time passes only while somebody waits for it.
#[test]
fn speed_is_that_of_the_timestamps_divided() {
    for (speed, expected_ms) in [(1.0, 290), (10.0, 29), (0.5, 580)] {
        let disk = MemoryDisk::stepped(7);
        orders(&disk);
        let engine = Engine::builder().open_memory(&disk).unwrap();
        let producer = Producer::<str, str>::new(&engine).unwrap();
        let now = || producer.send(ProducerRecord::to("now")).unwrap().wait().unwrap().timestamp().0;
        now();
        let (began, waits) = (now(), now());
        let waits = waits - began; // what a send itself waits for
        let began = now();
        let options = ReplayOptions::default().topic("orders").by_time(true).speed(speed);
        Archive::open_memory(&disk).unwrap().replay(&options).for_each(|_| {}).unwrap();
        let passed = now() - began - waits;
        assert!((expected_ms..expected_ms + 5).contains(&passed), "{speed}: {passed}");
    }
}

#[test]
fn damage_is_skipped_and_told_or_ends_it_until_it_is_asked_again() {
    let disk = MemoryDisk::new();
    orders(&disk);
    let name = |partition: u32| format!("log/orders-{partition}/00000000000000000000.log");
    disk.flip_bit(name(1), 65, 0).unwrap();
    let archive = Archive::open_memory(&disk).unwrap();
    let mut found = Vec::new();
    let report =
        archive.replay(&ReplayOptions::default().by_time(true)).for_each(|each| found.push(number(&each))).unwrap();
    assert_eq!(found, (0..30).filter(|number| *number != 1).collect::<Vec<_>>());
    let [defect] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!((defect.kind, defect.offsets), (DefectKind::Damage, Some((Offset::ZERO, Offset::ZERO))));
    assert!(defect.path.ends_with(name(1)), "{}", defect.path.display());
    assert_eq!(defect.position, Some(0));

    let mut replay = archive.replay(&ReplayOptions::default().partition(1).on_damage(OnDamage::Stop));
    let error = replay.next_record().unwrap_err();
    assert!(matches!(&error, Error::CorruptBatch { first: Offset(0), last: Offset(0), .. }), "{error}");
    assert_eq!(replay.next_record().unwrap().map(|found| number(&found)), Some(4));
}
