//! What cannot be written for the moment is tried again, in order, and fails in the end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla::{
    Acks, Admin, Consumer, ConsumerConfig, Engine, Error, ErrorClass, MemoryDisk, NewTopic, Offset, Producer,
    ProducerConfig, ProducerConfigBuilder, ProducerRecord,
};

/// An engine whose disk takes nothing more, until `set_capacity(None)`.
fn full(disk: &MemoryDisk) -> Engine {
    let engine = Engine::builder().open_memory(disk).unwrap();
    Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(2)).unwrap();
    let warm_up = Producer::<str, str>::new(&engine).unwrap();
    warm_up.send(ProducerRecord::to("orders").partition(0).value("first")).unwrap().wait().unwrap();
    disk.set_capacity(Some(disk.files().iter().map(|(_, bytes)| bytes).sum()));
    engine
}

fn producer(engine: &Engine, config: ProducerConfigBuilder) -> Producer<str, str> {
    Producer::with_config(engine, config.batch_size(200).build().unwrap()).unwrap()
}

fn record(value: &str) -> ProducerRecord<'_, str, str> {
    ProducerRecord::to("orders").partition(0).value(value)
}

fn stored(engine: &Engine) -> Vec<String> {
    let mut consumer = Consumer::<str, str>::with_config(engine, ConsumerConfig::default()).unwrap();
    consumer.assign([("orders", 0).into()]).unwrap();
    let end = engine.end_offset(&("orders", 0).into()).unwrap();
    let mut values = Vec::new();
    while consumer.position(&("orders", 0).into()).unwrap() < end {
        let records = consumer.poll(Duration::from_secs(1)).unwrap();
        values.extend(records.iter().map(|record| record.value().unwrap().unwrap().to_owned()));
    }
    values
}

#[test]
fn batches_on_a_full_disk_are_written_once_and_in_order_when_there_is_room() {
    for acks in [Acks::Zero, Acks::One, Acks::All] {
        let disk = MemoryDisk::stepped(5);
        let engine = full(&disk);
        let producer = producer(&engine, ProducerConfig::builder().acks(acks));
        let values: Vec<String> = (0..40).map(|number| format!("value {number} of forty")).collect();
        let mut sent = Vec::new();
        for values in values.chunks(10) {
            sent.extend(values.iter().map(|value| producer.send(record(value)).unwrap()));
            if acks != Acks::Zero {
                assert_eq!(sent.last().unwrap().wait_timeout(Duration::from_secs(3)).unwrap(), None);
            }
        }
        disk.set_capacity(None);
        producer.flush().unwrap();
        let offsets = sent.iter().map(|delivery| delivery.wait().unwrap().offset());
        if acks != Acks::Zero {
            assert!(offsets.eq((1..=40).map(|number| Some(Offset(number)))));
            let retried = producer.metrics().of_topic("record-retry-total", "orders").unwrap();
            assert!(retried > 40.0, "{retried}");
        }
        assert_eq!(stored(&engine)[1..], values);
        assert_eq!(producer.metrics().get("record-error-total"), Some(0.0));
    }
}

#[test]
fn deliveries_fail_with_what_stood_in_the_way_when_the_delivery_timeout_ends() {
    let disk = MemoryDisk::stepped(5);
    let engine = full(&disk);
    let producer = producer(&engine, ProducerConfig::builder().delivery_timeout(Duration::from_secs(10)));
    let delivery = producer.send(record("a")).unwrap();
    assert_eq!(delivery.wait_timeout(Duration::from_millis(9900)).unwrap(), None);
    let failed = delivery.wait_timeout(Duration::from_millis(100)).unwrap_err();
    assert!(matches!(failed, Error::DiskFull { .. }), "{failed}");
    assert_eq!(failed.class(), ErrorClass::Retry);
    let metrics = producer.metrics();
    let retried = metrics.get("record-retry-total").unwrap();
    assert!((11.0..=15.0).contains(&retried), "0.1, 0.2, 0.4, 0.8, 1, 1, ... seconds: {retried}");
    assert_eq!(metrics.get("record-error-total"), Some(1.0));
    assert_eq!(metrics.get("requests-in-flight"), Some(0.0));
    assert_eq!(metrics.get("buffer-available-bytes"), metrics.get("buffer-total-bytes"));

    disk.set_capacity(None);
    assert_eq!(producer.send(record("b")).unwrap().wait().unwrap().offset(), Some(Offset(1)), "nothing of it is there");
}

#[test]
fn no_attempt_is_made_with_retries_of_zero() {
    let disk = MemoryDisk::stepped(5);
    let engine = full(&disk);
    let producer = producer(&engine, ProducerConfig::builder().retries(0));
    let failed = producer.send(record("a")).unwrap().wait().unwrap_err();
    assert!(matches!(failed, Error::DiskFull { .. }), "{failed}");
    assert_eq!(producer.metrics().get("record-retry-total"), Some(0.0));
}

#[test]
fn flush_returns_and_callbacks_are_called_in_order_when_all_has_failed() {
    let disk = MemoryDisk::stepped(5);
    let engine = full(&disk);
    let producer = producer(&engine, ProducerConfig::builder().delivery_timeout(Duration::from_secs(2)));
    let called = Arc::new(Mutex::new(Vec::new()));
    for number in 0..20 {
        let called = Arc::clone(&called);
        let note = move |outcome: Result<_, Error>| called.lock().unwrap().push((number, outcome.is_err()));
        producer.send_with(record("some value or other"), note).unwrap();
    }
    producer.flush().unwrap();
    assert!(called.lock().unwrap().iter().copied().eq((0..20).map(|number| (number, true))));
}

#[test]
fn engine_closes_though_batches_wait_for_their_next_attempt() {
    let disk = MemoryDisk::stepped(5);
    let engine = full(&disk);
    let producer = producer(&engine, ProducerConfig::builder());
    let delivery = producer.send(record("a")).unwrap();
    assert_eq!(delivery.wait_timeout(Duration::from_secs(5)).unwrap(), None);
    engine.close().unwrap();
    assert!(matches!(delivery.wait(), Err(Error::DiskFull { .. })));
    drop((producer, delivery, engine));
    let engine = Engine::builder().open_memory(&disk).unwrap();
    assert_eq!(stored(&engine), ["first"]);
}

#[test]
fn producer_that_closes_waits_until_there_is_room() {
    let disk = MemoryDisk::new();
    let engine = full(&disk);
    let producer = producer(&engine, ProducerConfig::builder().retry_backoff(Duration::from_millis(1)));
    let delivery = producer.send(record("a")).unwrap();
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| producer.close());
        while producer.metrics().get("record-retry-total") < Some(3.0) {
            std::thread::yield_now();
        }
        assert!(!closing.is_finished());
        disk.set_capacity(None);
        closing.join().unwrap().unwrap();
    });
    assert!(delivery.try_get().unwrap().is_ok());
}

#[test]
fn buffer_stays_charged_and_send_fails_after_max_block() {
    let disk = MemoryDisk::stepped(5);
    let engine = full(&disk);
    let config = ProducerConfig::builder().buffer_memory(1024).max_block(Duration::from_secs(2));
    let producer = producer(&engine, config);
    let refused = loop {
        if let Err(error) = producer.send(record("some value or other")) {
            break error;
        }
    };
    assert!(matches!(refused, Error::BufferExhausted { .. }), "{refused}");
    let metrics = producer.metrics();
    assert_eq!(metrics.get("buffer-exhausted-total"), Some(1.0));
    assert_eq!(metrics.get("bufferpool-wait-time-ns-total"), Some(2e9));
    assert_eq!(metrics.get("waiting-threads"), Some(0.0));
    disk.set_capacity(None);
    assert!(producer.send(record("a")).unwrap().wait().is_ok());
}
