//! Producers of an engine in memory, most of them without threads: time passes only when nothing else is left to do.

use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;
use crate::error::RecordPart;
use crate::io::MemoryDisk;
use crate::sync::{Moment, Signal};
use crate::types::{Acks, Offset, TopicPartition};

const HOUR: Duration = Duration::from_secs(3600);

fn stepped() -> (MemoryDisk, Engine) {
    let disk = MemoryDisk::stepped(1);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    (disk, engine)
}

fn now(engine: &Engine) -> Moment {
    engine.scheduler().now()
}

/// Lets the engine run for `time`.
fn pass(engine: &Engine, time: Duration) {
    let never = Signal::default();
    engine.scheduler().park(&never, never.seen(), Some(now(engine) + time));
}

fn end(engine: &Engine, partition: u32) -> Offset {
    engine.end_offset(&TopicPartition::new("orders", partition)).unwrap()
}

fn create(engine: &Engine, partitions: u32, overrides: &[(&str, &str)]) {
    let overrides = overrides.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    engine.create_topic("orders", Some(partitions), &overrides).unwrap();
}

fn value(value: &str) -> ProducerRecord<'_, str, str> {
    ProducerRecord::to("orders").value(value)
}

#[test]
fn record_that_nobody_waits_for_is_written_when_its_linger_ends() {
    let (_, engine) = stepped();
    create(&engine, 1, &[]);
    let producer = Producer::<str, str>::new(&engine).unwrap();
    producer.send(value("a")).unwrap();
    pass(&engine, Duration::from_millis(4));
    assert_eq!(end(&engine, 0), Offset(0));
    pass(&engine, Duration::from_millis(2));
    assert_eq!(end(&engine, 0), Offset(1));
}

#[test]
fn whoever_waits_does_not_linger() {
    let (_, engine) = stepped();
    let config = ProducerConfig::builder().linger(HOUR).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let deliveries: Vec<_> = ["a", "b", "c"].map(|each| producer.send(value(each)).unwrap()).into();
    let began = now(&engine);
    assert_eq!(deliveries[1].wait().unwrap().offset(), Some(Offset(1)));
    assert_eq!(deliveries[0].try_get().unwrap().unwrap().offset(), Some(Offset(0)), "they share a batch");
    producer.send(value("d")).unwrap();
    producer.flush().unwrap();
    assert_eq!(end(&engine, 0), Offset(4));
    producer.send(value("e")).unwrap();
    producer.close().unwrap();
    assert_eq!(end(&engine, 0), Offset(5));
    assert_eq!(now(&engine), began);
}

#[test]
fn whoever_waits_for_memory_makes_open_batches_due() {
    let (_, engine) = stepped();
    create(&engine, 3, &[]);
    let config = ProducerConfig::builder().linger(HOUR).batch_size(1024).buffer_memory(2048).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let began = now(&engine);
    for partition in 0..3 {
        producer.send(value("a").partition(partition)).unwrap();
    }
    assert_eq!(now(&engine), began, "no linger had to end");
    pass(&engine, Duration::from_millis(1));
    assert_eq!([0, 1, 2].map(|partition| end(&engine, partition).0), [1, 1, 0]);
}

#[test]
fn every_record_that_was_taken_in_while_the_producer_closes_is_resolved() {
    for round in 0..20 {
        let engine = Engine::in_memory().unwrap();
        create(&engine, 4, &[]);
        let config = ProducerConfig::builder().linger(HOUR).batch_size(200).build().unwrap();
        let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let sent = std::iter::from_fn(|| producer.send(value("some text")).ok()).collect::<Vec<_>>();
                    for delivery in &sent {
                        delivery.wait().unwrap();
                    }
                });
            }
            std::thread::yield_now();
            if round % 2 == 0 { producer.close().unwrap() } else { engine.close().unwrap() }
        });
    }
}

#[test]
fn many_threads_wait_for_one_batch() {
    let engine = Engine::in_memory().unwrap();
    let config = ProducerConfig::builder().linger(HOUR).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let deliveries: Vec<_> = (0..64).map(|_| producer.send(value("a")).unwrap()).collect();
    std::thread::scope(|scope| {
        for (number, delivery) in deliveries.iter().enumerate() {
            let expected = Offset(i64::try_from(number).unwrap());
            scope.spawn(move || assert_eq!(delivery.wait().unwrap().offset(), Some(expected)));
        }
    });
    engine.close().unwrap();
}

#[test]
fn threads_that_share_a_producer_each_keep_their_order() {
    let engine = Engine::in_memory().unwrap();
    create(&engine, 1, &[]);
    let producer = Producer::<str, [u8]>::new(&engine).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let producer = producer.clone();
            scope.spawn(move || {
                let send = |_| producer.send(ProducerRecord::to("orders").value(&[7; 100])).unwrap();
                let deliveries: Vec<_> = (0..500).map(send).collect();
                let offsets: Vec<_> = deliveries.iter().map(|each| each.wait().unwrap().offset()).collect();
                assert!(offsets.is_sorted_by(|one, next| one < next));
            });
        }
    });
    assert_eq!(end(&engine, 0), Offset(2000));
}

#[test]
fn callbacks_have_run_in_order_when_flush_returns() {
    let (_, engine) = stepped();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let (told, calls) = channel();
    for number in 0..300_i64 {
        let told = told.clone();
        let callback = move |outcome: Result<RecordMetadata>| {
            assert_ne!(number, 100, "this one panics, and the others are called all the same");
            told.send((number, outcome.unwrap().offset())).unwrap();
        };
        producer
            .send_with(value("a value of some length, to fill more than one batch of 16 KiB with"), callback)
            .unwrap();
    }
    producer.flush().unwrap();
    let calls: Vec<_> = calls.try_iter().collect();
    let expected: Vec<_> = (0..300).filter(|&number| number != 100).map(|each| (each, Some(Offset(each)))).collect();
    assert_eq!(calls, expected);
}

#[test]
fn callback_may_send_but_not_wait() {
    let (_, engine) = stepped();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let (told, calls) = channel();
    let inside = producer.clone();
    let callback = move |_| {
        let delivery = inside.send(value("from inside")).unwrap();
        let refused = [delivery.wait().map(drop), inside.flush(), inside.close()];
        assert!(refused.iter().all(|each| matches!(each, Err(Error::IllegalState { .. }))));
        told.send(delivery).unwrap();
    };
    producer.send_with(value("a"), callback).unwrap().wait().unwrap();
    let delivery = calls.try_recv().expect("it has run, and did not panic");
    assert_eq!(delivery.wait().unwrap().offset(), Some(Offset(1)));
}

#[test]
fn send_inside_a_callback_does_not_wait_for_memory() {
    let (_, engine) = stepped();
    let config = ProducerConfig::builder().batch_size(1024).buffer_memory(1024).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let (told, calls) = channel();
    let inside = producer.clone();
    let callback = move |_| {
        let large = "x".repeat(800);
        inside.send(value(&large)).unwrap();
        told.send(inside.send(value(&large))).unwrap();
    };
    producer.send_with(value("a"), callback).unwrap().wait().unwrap();
    let refused = calls.try_recv().unwrap().unwrap_err();
    assert!(matches!(refused, Error::BufferExhausted { waited: Duration::ZERO, .. }), "{refused}");
    let began = now(&engine);
    producer.send(value(&"x".repeat(800))).unwrap(); // waits until the first one is written
    assert_eq!(now(&engine), began);
}

#[test] // P27
fn flush_returns_well_when_records_have_failed() {
    let (disk, engine) = stepped();
    create(&engine, 1, &[]);
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let delivery = producer.send(value("a")).unwrap();
    disk.fail_next_syncs(1);
    producer.flush().unwrap();
    assert!(matches!(delivery.wait(), Err(Error::OutcomeUnknown { .. })));
    let later = producer.send(value("b")).unwrap();
    assert!(matches!(later.wait(), Err(Error::Storage { .. })));
    producer.close().unwrap();
}

#[test]
fn acks_0_resolves_at_once_and_tells_nothing() {
    let (disk, engine) = stepped();
    create(&engine, 1, &[]);
    let config = ProducerConfig::builder().acks(Acks::Zero).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let delivery = producer.send(value("a").timestamp(Timestamp(7))).unwrap();
    let metadata = delivery.try_get().expect("it is resolved from the start").unwrap();
    assert_eq!((metadata.offset(), metadata.timestamp()), (None, Timestamp(7)));
    assert_eq!(delivery.wait().unwrap(), metadata);
    producer.flush().unwrap();
    assert_eq!(end(&engine, 0), Offset(1));

    disk.set_capacity(Some(0));
    let (told, calls) = channel();
    let lost = producer.send_with(value("b"), move |outcome| told.send(outcome).unwrap()).unwrap();
    producer.flush().unwrap();
    assert_eq!(lost.wait().unwrap().offset(), None);
    assert_eq!(calls.try_recv().unwrap().unwrap().offset(), None);
}

#[test]
fn close_is_for_all_clones_and_may_be_repeated() {
    let (_, engine) = stepped();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let clone = producer.clone();
    let delivery = clone.send(value("a")).unwrap();
    producer.close().unwrap();
    assert_eq!(delivery.try_get().unwrap().unwrap().offset(), Some(Offset(0)));
    assert!(matches!(clone.send(value("b")), Err(Error::Closed { what: "producer" })));
    clone.close().unwrap();
    engine.close().unwrap();
    assert!(matches!(clone.send(value("b")), Err(Error::Closed { what: "engine" })));
    assert!(matches!(Producer::<str, str>::new(&engine), Err(Error::Closed { what: "engine" })));
}

#[test]
fn closing_the_engine_resolves_what_was_sent() {
    let (disk, engine) = stepped();
    let config = ProducerConfig::builder().linger(HOUR).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let delivery = producer.send(value("a")).unwrap();
    engine.close().unwrap();
    assert_eq!(delivery.try_get().unwrap().unwrap().offset(), Some(Offset(0)));
    drop((producer, engine));
    let engine = Engine::builder().open_memory(&disk).unwrap();
    assert_eq!(end(&engine, 0), Offset(1));
}

#[test]
fn what_was_sent_is_written_when_the_last_clone_is_dropped() {
    let (_, engine) = stepped();
    let config = ProducerConfig::builder().linger(HOUR).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let delivery = producer.send(value("a")).unwrap();
    drop(producer.clone());
    pass(&engine, Duration::from_millis(1));
    assert!(delivery.try_get().is_none(), "there is another clone");
    drop(producer);
    pass(&engine, Duration::from_millis(1));
    assert_eq!(delivery.try_get().unwrap().unwrap().offset(), Some(Offset(0)));
}

#[test]
fn delivery_outlives_producer_and_engine() {
    for engine in [stepped().1, Engine::in_memory().unwrap()] {
        let config = ProducerConfig::builder().linger(HOUR).build().unwrap();
        let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
        let delivery = producer.send(value("a")).unwrap();
        drop((producer, engine));
        assert_eq!(delivery.wait().unwrap().offset(), Some(Offset(0)));
    }
}

#[test]
fn record_too_large_for_the_topic_leaves_its_neighbors_alone() {
    let (_, engine) = stepped();
    create(&engine, 1, &[("max.message.bytes", "1000")]);
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let first = producer.send(value("a")).unwrap();
    let refused = producer.send(value(&"x".repeat(5000))).unwrap_err();
    let second = producer.send(value("b")).unwrap();
    let Error::RecordTooLarge { size, limit: 1000, setting: "max.message.bytes", .. } = refused else {
        panic!("{refused}")
    };
    assert!((5061..5100).contains(&size), "{size}");
    assert_eq!(first.wait().unwrap().offset(), Some(Offset(0)));
    assert_eq!(second.wait().unwrap().offset(), Some(Offset(1)));
}

#[test]
fn limit_of_a_record_is_what_it_takes_to_the_byte() {
    let (_, engine) = stepped();
    create(&engine, 1, &[("max.message.bytes", "1000")]);
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let sizes = |len: usize| producer.send(value(&"x".repeat(len)));
    let most = (1..1000).rev().find_map(|len| sizes(len).ok().map(|delivery| (len, delivery))).unwrap();
    most.1.wait().expect("what send lets pass, the log takes");
    assert_eq!(most.0, 1000 - BatchHeader::LEN_BYTES - single_record_size(None, Some(&[]), &[]) - 2);
}

#[test]
fn refusals_name_the_setting() {
    let (_, engine) = stepped();
    let config = ProducerConfig::builder().max_request_size(2000).buffer_memory(1024).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let setting = |len: usize| match producer.send(value(&"x".repeat(len))) {
        Err(Error::RecordTooLarge { setting, .. }) => Some(setting),
        _ => None,
    };
    assert_eq!(setting(2000), Some("max.request.size"));
    assert_eq!(setting(1500), Some("buffer.memory"));
    assert_eq!(setting(900), None, "a buffer smaller than batch.size makes batches smaller");
    assert!(ProducerConfig::builder().batch_size(1 << 31).build().is_err());
    assert!(ProducerConfig::builder().buffer_memory(1023).build().is_err());
}

#[test] // P1, P2, P4 (refused at once: there is nothing to wait for)
fn partition_is_the_one_named_or_that_of_the_key() {
    let (_, engine) = stepped();
    create(&engine, 4, &[]);
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let partition = |record| producer.send(record).map(|delivery| delivery.partition().partition());
    assert_eq!(partition(value("a").key("")).unwrap(), 1, "an empty key is a key");
    assert_eq!(partition(value("a").key("abc")).unwrap(), 3);
    assert_eq!(partition(value("a").key("abc").partition(2)).unwrap(), 2);
    let refused = partition(value("a").partition(4)).unwrap_err();
    assert!(matches!(&refused, Error::UnknownTopicOrPartition { name } if &**name == "orders-4"), "{refused}");
}

#[test]
fn timestamp_is_the_records_or_that_of_the_call() {
    let (_, engine) = stepped();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let timestamp = |record| producer.send(record)?.wait().map(|metadata| metadata.timestamp());
    assert_eq!(timestamp(value("a").timestamp(Timestamp(0))).unwrap(), Timestamp(0));
    assert_eq!(timestamp(value("a")).unwrap(), engine.now());
    assert_eq!(timestamp(value("a").timestamp(Timestamp::NONE)).unwrap(), engine.now());
    let refused = timestamp(value("a").timestamp(Timestamp(-2))).unwrap_err();
    assert!(matches!(refused, Error::InvalidTimestamp { timestamp: -2, .. }), "{refused}");
}

#[test]
fn topic_that_was_created_again_is_another_one() {
    let (_, engine) = stepped();
    create(&engine, 1, &[]);
    let producer = Producer::<str, str>::new(&engine).unwrap();
    producer.send(value("a")).unwrap().wait().unwrap();
    let late = producer.send(value("b")).unwrap();
    engine.delete_topic("orders").unwrap();
    assert!(late.wait().is_err_and(|error| matches!(error, Error::UnknownTopicId { .. })));
    create(&engine, 2, &[]);
    assert_eq!(producer.send(value("c").partition(1)).unwrap().wait().unwrap().offset(), Some(Offset(0)));
}

/// Doubles each byte, and refuses what is empty.
struct Doubling;

impl Serializer<str> for Doubling {
    fn serialize<'a>(
        &self,
        topic: &str,
        data: &'a str,
        scratch: &'a mut Vec<u8>,
    ) -> std::result::Result<&'a [u8], crate::error::Cause> {
        assert_eq!(topic, "orders");
        assert!(scratch.is_empty());
        if data.is_empty() {
            return Err(std::fmt::Error.into());
        }
        scratch.extend(data.bytes().flat_map(|byte| [byte, byte]));
        Ok(scratch)
    }
}

#[test]
fn serializers_get_scratch_and_null_stays_null() {
    let (_, engine) = stepped();
    let producer =
        Producer::<str, str>::with_serializers(&engine, ProducerConfig::default(), StringSerializer, Doubling).unwrap();
    for _ in 0..2 {
        let metadata = producer.send(value("abc")).unwrap().wait().unwrap();
        assert_eq!((metadata.serialized_key_size(), metadata.serialized_value_size()), (None, Some(6)));
    }
    let metadata = producer.send(ProducerRecord::to("orders").key("")).unwrap().wait().unwrap();
    assert_eq!((metadata.serialized_key_size(), metadata.serialized_value_size()), (Some(0), None));
    let refused = producer.send(value("")).unwrap_err();
    assert!(matches!(refused, Error::Serialization { part: RecordPart::Value, .. }), "{refused}");
}

#[test]
fn send_all_keeps_the_order_over_batches_topics_and_partitions() {
    let engine = Engine::builder().open_memory(&MemoryDisk::stepped(3)).unwrap();
    let config = ProducerConfig::builder().batch_size(500).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let values: Vec<String> = (0..300).map(|number| format!("value {number}")).collect();
    let topic = |index: usize| if index % 100 < 70 { "a" } else { "b" };
    let records: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(index, value)| ProducerRecord::to(topic(index)).value(value.as_str()))
        .collect();
    for delivery in producer.send_all(&records).unwrap() {
        delivery.wait().unwrap();
    }
    for (name, count) in [("a", 210), ("b", 90)] {
        let partition = engine.topic(name).unwrap().partition(0).unwrap().clone();
        let batches = partition.read(&mut None, Offset(0), usize::MAX).unwrap();
        let read: Vec<String> = batches
            .iter()
            .flat_map(|batch| batch.records().unwrap())
            .map(|record| String::from_utf8(record.unwrap().value().unwrap().to_vec()).unwrap())
            .collect();
        let sent = values.iter().enumerate().filter(|(index, _)| topic(*index) == name).map(|(_, value)| value);
        assert!(read.iter().eq(sent), "{name}");
        assert_eq!(read.len(), count);
    }
}

#[test]
fn metrics_tell_of_batches_waits_and_failures() {
    let (_, engine) = stepped();
    create(&engine, 2, &[]);
    let config = ProducerConfig::builder().linger(Duration::from_millis(40)).max_request_size(1000).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let get = |name| producer.metrics().get(name).unwrap();
    assert!(get("batch-size-avg").is_nan());
    for partition in [0, 0, 0, 1] {
        producer.send(value("abcd").partition(partition)).unwrap();
    }
    assert!(get("buffer-available-bytes") < get("buffer-total-bytes"));
    pass(&engine, Duration::from_millis(50));
    assert_eq!(get("record-send-total"), 4.0);
    assert_eq!((get("request-total"), get("records-per-request-avg")), (2.0, 2.0));
    assert_eq!((get("batch-size-max"), get("batch-size-avg")), (94.0, 83.0));
    assert_eq!((get("record-queue-time-avg"), get("compression-rate-avg")), (40.0, 1.0));
    assert_eq!((get("requests-in-flight"), get("buffer-available-bytes")), (0.0, get("buffer-total-bytes")));
    assert!((get("record-send-rate") - 4.0).abs() < 0.1, "in the first second");

    let large = "x".repeat(2000);
    producer.send(value(&large)).unwrap_err();
    producer.send(ProducerRecord::to("no/such/name")).unwrap_err();
    producer.send_all(&[value("a"), value(&large)]).unwrap_err();
    producer.flush().unwrap();
    let metrics = producer.metrics();
    assert_eq!(metrics.get("record-error-total"), Some(3.0));
    assert_eq!(metrics.of_topic("record-error-total", "orders"), Some(2.0));
    assert_eq!(metrics.of_topic("record-send-total", "orders"), Some(5.0));
    assert_eq!(metrics.of_topic("record-send-total", "no/such/name"), None);
}
