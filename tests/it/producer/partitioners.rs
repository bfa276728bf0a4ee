//! Where records go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ottla::{
    Admin, Engine, Error, MemoryDisk, NewTopic, Partitioner, Producer, ProducerConfig, ProducerConfigBuilder,
    ProducerRecord, RoundRobinPartitioner, partition_for_key,
};

const PARTITIONS: u32 = 4;

fn engine() -> Engine {
    let engine = Engine::builder().open_memory(&MemoryDisk::stepped(3)).unwrap();
    Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(PARTITIONS)).unwrap();
    engine
}

fn producer(engine: &Engine, config: ProducerConfigBuilder) -> Producer<str, str> {
    Producer::with_config(engine, config.build().unwrap()).unwrap()
}

/// How many records each partition has.
fn ends(engine: &Engine) -> Vec<i64> {
    (0..PARTITIONS).map(|number| engine.end_offset(&("orders", number).into()).unwrap().0).collect()
}

/// Asked how often, and what it answers.
#[derive(Clone)]
struct Always(u32, Arc<AtomicU32>);

impl Partitioner for Always {
    fn partition(&self, topic: &str, _: Option<&[u8]>, _: Option<&[u8]>, count: u32) -> u32 {
        assert_eq!((topic, count), ("orders", PARTITIONS));
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0
    }
}

fn always(engine: &Engine, partition: u32) -> (Producer<str, str>, Arc<AtomicU32>) {
    let partitioner = Always(partition, Arc::default());
    let asked = Arc::clone(&partitioner.1);
    (Producer::<str, str>::builder(engine).partitioner(partitioner).build().unwrap(), asked)
}

#[test]
fn records_of_one_key_go_where_kafka_sends_that_key() {
    let engine = engine();
    let producer = producer(&engine, ProducerConfig::builder());
    for (key, partition) in [("", 1), ("a", 0), ("abc", 3), ("key", 1), ("abc", 3), ("h\u{e9}llo", 2)] {
        let delivery = producer.send(ProducerRecord::to("orders").key(key).value("v")).unwrap();
        assert_eq!(delivery.partition().partition(), partition, "{key}");
        assert_eq!(partition_for_key(key.as_bytes(), PARTITIONS), partition);
    }
}

#[test]
fn named_partition_wins_and_the_partitioner_is_not_asked() {
    let engine = engine();
    let (producer, asked) = always(&engine, 1);
    let to = |record: ProducerRecord<'_, str, str>| producer.send(record).unwrap().partition().partition();
    assert_eq!(to(ProducerRecord::to("orders").key("a").partition(2)), 2);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_eq!(to(ProducerRecord::to("orders").key("a")), 1);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn partitioner_is_asked_once_a_record_by_send_all_too() {
    let engine = engine();
    let (producer, asked) = always(&engine, 3);
    let records = vec![ProducerRecord::to("orders").value("v"); 1000];
    producer.send_all(&records).unwrap();
    producer.flush().unwrap();
    assert_eq!((asked.load(Ordering::Relaxed), ends(&engine)), (1000, vec![0, 0, 0, 1000]));
}

#[test]
fn partition_that_the_topic_does_not_have_is_refused() {
    let engine = engine();
    for wrong in [PARTITIONS, u32::MAX] {
        let (producer, _) = always(&engine, wrong);
        let refused = producer.send(ProducerRecord::to("orders").value("v")).unwrap_err();
        assert!(matches!(refused, Error::IllegalArgument { .. }), "{refused}");
        let named = producer.send(ProducerRecord::to("orders").value("v").partition(wrong)).unwrap_err();
        assert!(matches!(named, Error::UnknownTopicOrPartition { .. }), "{named}");
    }
    assert_eq!(ends(&engine), [0; 4]);
}

// faults: P05
#[test]
fn partitioner_that_panics_concerns_its_record_alone() {
    struct Panics;

    impl Partitioner for Panics {
        fn partition(&self, _: &str, key: Option<&[u8]>, _: Option<&[u8]>, _: u32) -> u32 {
            key.map_or(0, |_| panic!("it was asked to"))
        }
    }

    let engine = engine();
    let producer = Producer::<str, str>::builder(&engine).partitioner(Panics).build().unwrap();
    let send = |record| producer.send(record);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(send(ProducerRecord::to("orders").key("k")));
    }));
    assert!(panicked.is_err());
    assert!(send(ProducerRecord::to("orders").value("v")).unwrap().wait().is_ok());
}

#[test]
fn round_robin_is_even_with_and_without_keys() {
    let engine = engine();
    let partitioner = RoundRobinPartitioner::default();
    let producer = Producer::<str, str>::builder(&engine).partitioner(partitioner).build().unwrap();
    for number in 0..100 {
        let record = ProducerRecord::to("orders").value("v");
        producer.send(if number % 3 == 0 { record.key("k") } else { record }).unwrap();
    }
    producer.flush().unwrap();
    assert_eq!(ends(&engine), [25; 4]);
}

/// Fills about `batches` batches with records that may go anywhere; answers how many partitions went how often.
fn fill(producer: &Producer<str, str>, batches: usize, key: Option<&str>) -> Vec<usize> {
    let value = "v".repeat(100);
    let mut turns = vec![0; PARTITIONS.try_into().unwrap()];
    let mut last = None;
    for _ in 0..batches * 8 {
        let mut record = ProducerRecord::<str, str>::to("orders").value(&value);
        record.key = key;
        let delivery = producer.send(record).unwrap();
        let partition = usize::try_from(delivery.partition().partition()).unwrap();
        if last.replace(partition) != Some(partition) {
            turns[partition] += 1;
        }
    }
    producer.flush().unwrap();
    turns
}

#[test]
fn records_without_a_key_fill_a_batch_and_move_on_evenly() {
    for is_adaptive in [true, false] {
        let engine = engine();
        let config = ProducerConfig::builder().batch_size(1024).adaptive_partitioning(is_adaptive);
        fill(&producer(&engine, config), 2000, None);
        let ends = ends(&engine);
        assert_eq!(ends.iter().sum::<i64>(), 16_000);
        assert!(ends.iter().all(|end| (3400..4600).contains(end)), "adaptive {is_adaptive}: {ends:?}");
    }
}

#[test]
fn records_stay_with_a_partition_until_a_batch_is_full() {
    let engine = engine();
    let producer = producer(&engine, ProducerConfig::builder().batch_size(1024));
    let turns: usize = fill(&producer, 200, None).into_iter().sum();
    let metrics = producer.metrics();
    assert_eq!(metrics.get("record-send-total"), Some(1600.0));
    assert!(metrics.get("records-per-request-avg").unwrap() > 7.0, "batches are full: {metrics}");
    assert!(turns <= 230, "{turns} moves for 200 batches");
}

#[test]
fn ignored_keys_do_not_choose_the_partition() {
    let engine = engine();
    fill(&producer(&engine, ProducerConfig::builder().batch_size(1024).ignore_keys(true)), 400, Some("one key"));
    assert!(ends(&engine).iter().all(|end| *end > 400), "{:?}", ends(&engine));
    let keyed = engine_with_keys_respected();
    assert_eq!(keyed.iter().filter(|end| **end > 0).count(), 1, "{keyed:?}");
}

fn engine_with_keys_respected() -> Vec<i64> {
    let engine = engine();
    fill(&producer(&engine, ProducerConfig::builder().batch_size(1024)), 40, Some("one key"));
    ends(&engine)
}
