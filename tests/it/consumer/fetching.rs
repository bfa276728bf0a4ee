//! How much a poll brings, and when.

use std::time::Duration;

use ottla::{
    Admin, Consumer, Engine, Error, GroupReset, MemoryDisk, Offset, OffsetSpec, Producer, ProducerRecord, Timestamp,
};

use super::{append, consumer, engine, engine_on, orders, poll, subscribed};

#[test]
fn c14_record_larger_than_the_fetch_limits_is_returned() {
    let engine = engine(&[("orders", 1)]);
    let large = "x".repeat(100_000);
    append(&engine, "orders", 0, &[large.as_bytes()]);
    append(&engine, "orders", 0, &[large.as_bytes(), b"small"]);
    let mut consumer = consumer(&engine, &[("max.partition.fetch.bytes", "10"), ("fetch.max.bytes", "10")]);
    consumer.assign([orders()]).unwrap();
    let mut read = Vec::new();
    while read.len() < 3 {
        let records = consumer.poll(Duration::from_secs(1)).unwrap();
        assert!(!records.is_empty());
        read.extend(records.iter().map(|record| (record.offset().0, record.value_bytes().unwrap().len())));
    }
    assert_eq!(read, [(0, 100_000), (1, 100_000), (2, 5)]);
}

#[test]
fn c13_corrupt_batch_is_an_error_that_names_its_place_until_seek() {
    let disk = MemoryDisk::stepped(5);
    let engine = engine_on(&disk, &[("orders", 1)]);
    for value in ["a", "b", "c"] {
        append(&engine, "orders", 0, &[value.as_bytes()]);
    }
    let (path, len) =
        disk.files().into_iter().find(|(path, _)| path.extension().is_some_and(|it| it == "log")).unwrap();
    disk.flip_bit(&path, len / 3 + 70, 0).unwrap(); // a record's bytes, in the second of three batches of one size
    let mut consumer = consumer(&engine, &[]);
    consumer.assign([orders()]).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    for _ in 0..2 {
        let error = poll(&mut consumer).unwrap_err();
        let Error::CorruptBatch { partition, first, last, path: at, .. } = &error else { panic!("{error}") };
        assert_eq!((partition, *first, *last), (&orders(), Offset(1), Offset(1)));
        assert!(at.ends_with("orders-0/00000000000000000000.log"), "{error}");
        assert_eq!(consumer.position(&orders()).unwrap(), Offset(1));
    }
    consumer.seek(&orders(), Offset(2)).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [2]);
}

#[test]
fn looking_up_a_time_does_not_pass_damage_by_in_silence() {
    let disk = MemoryDisk::stepped(5);
    let engine = engine_on(&disk, &[("orders", 1)]);
    for value in ["a", "b"] {
        append(&engine, "orders", 0, &[value.as_bytes()]);
    }
    let is_log = |path: &std::path::Path| path.extension().is_some_and(|it| it == "log");
    let (path, _) = disk.files().into_iter().find(|(path, _)| is_log(path)).unwrap();
    disk.flip_bit(&path, 70, 0).unwrap(); // a record's bytes, in the first of two batches
    let mut consumer = consumer(&engine, &[]);
    let found = consumer.offset_for_time(&orders(), Timestamp(7)).unwrap_err();
    assert!(matches!(found, Error::CorruptBatch { first: Offset(0), last: Offset(0), .. }), "{found}");
    let admin = Admin::new(&engine);
    assert!(admin.plan_group_reset("billing", [orders()], GroupReset::Timestamp(Timestamp(7))).is_err());
    assert!(admin.list_offsets([(orders(), OffsetSpec::Timestamp(Timestamp(7)))]).is_err());
    consumer.assign([orders()]).unwrap();
    consumer.seek_to_time([], Timestamp(7)).unwrap();
    assert!(matches!(poll(&mut consumer), Err(Error::CorruptBatch { first: Offset(0), .. })));
    assert_eq!(consumer.position(&orders()).unwrap(), Offset(0));
    consumer.seek(&orders(), Offset(1)).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [1]);
}

fn gathering(engine: &Engine, min_bytes: &str) -> Consumer<str, str> {
    let settings = [("fetch.min.bytes", min_bytes), ("fetch.max.wait.ms", "500"), ("max.poll.records", "2")];
    let mut consumer = consumer(engine, &settings);
    consumer.assign([orders()]).unwrap();
    consumer
}

fn count(consumer: &mut Consumer<str, str>, millis: u64) -> usize {
    consumer.poll(Duration::from_millis(millis)).unwrap().len()
}

#[test]
fn fewer_than_min_bytes_wait_for_more_or_for_max_wait() {
    let engine = engine_on(&MemoryDisk::stepped(5), &[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b", b"c"]);
    let mut consumer = gathering(&engine, "10000");
    assert_eq!(count(&mut consumer, 0), 0);
    assert_eq!(count(&mut consumer, 300), 0);
    assert_eq!(count(&mut consumer, 300), 2, "500 ms have passed since the first poll");
    assert_eq!(count(&mut consumer, 0), 1, "what is left of it waits for nothing");
    append(&engine, "orders", 0, &[b"d"]);
    assert_eq!(count(&mut consumer, 300), 0, "and the next begins anew");
    append(&engine, "orders", 0, &[&[b'x'; 5000], &[b'y'; 5000]]);
    assert_eq!(count(&mut consumer, 0), 2, "now there is enough");
    assert_eq!(count(&mut consumer, 0), 1);
    assert_eq!(consumer.metrics().get("records-consumed-total"), Some(6.0));
}

#[test]
fn waiting_for_min_bytes_hides_no_error_and_ends_where_the_limits_do() {
    let engine = engine_on(&MemoryDisk::stepped(5), &[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a"]);
    let settings = [("fetch.min.bytes", "10000"), ("auto.offset.reset", "none"), ("fetch.max.bytes", "1")];
    let mut consumer = consumer(&engine, &settings);
    consumer.assign([orders()]).unwrap();
    consumer.seek(&orders(), Offset(7)).unwrap();
    assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::OffsetOutOfRange { .. })));
    consumer.seek(&orders(), Offset(0)).unwrap();
    assert_eq!(count(&mut consumer, 0), 1, "no poll returns more than fetch.max.bytes, so none waits for more");
}

#[test]
fn one_byte_is_enough_by_default_and_for_zero() {
    let engine = engine_on(&MemoryDisk::stepped(5), &[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a"]);
    for min_bytes in ["0", "1"] {
        assert_eq!(count(&mut gathering(&engine, min_bytes), 0), 1);
    }
}

#[test]
fn large_batch_is_cut_into_polls_without_a_gap() {
    let engine = engine(&[("orders", 1)]);
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for number in 0..1000 {
        drop(producer.send(ProducerRecord::to("orders").value(&number.to_string())).unwrap());
    }
    producer.flush().unwrap();
    let mut consumer = consumer(&engine, &[("max.poll.records", "7")]);
    consumer.assign([orders()]).unwrap();
    let mut read = Vec::new();
    while read.len() < 1000 {
        let records = consumer.poll(Duration::from_secs(1)).unwrap();
        assert!(records.len() <= 7 && records.iter().count() == records.len());
        read.extend(records.iter().map(|record| record.value().unwrap().unwrap().parse::<i64>().unwrap()));
    }
    assert_eq!(read, (0..1000).collect::<Vec<_>>());
    consumer.seek(&orders(), Offset(555)).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), (555..562).collect::<Vec<_>>());
}

#[test]
fn poll_rests_although_commits_or_reads_wait_for_nothing() {
    // Where nobody rests, the time of a stepped disk stands still, and the poll would never end.
    for settings in
        [&[("auto.commit.interval.ms", "0")][..], &[("fetch.max.wait.ms", "0"), ("fetch.min.bytes", "1000")]]
    {
        let engine = engine_on(&MemoryDisk::stepped(7), &[("orders", 1)]);
        let mut consumer = subscribed(&engine, settings);
        assert!(consumer.poll(Duration::from_secs(1)).unwrap().is_empty());
        append(&engine, "orders", 0, &[b"a"]);
        assert_eq!(poll(&mut consumer).unwrap(), [0], "{settings:?}");
    }
}
