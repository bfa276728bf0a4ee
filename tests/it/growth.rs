//! Partitions that are added to a topic in use.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{
    Admin, Consumer, ConsumerConfig, Engine, Error, NewTopic, Offset, Producer, ProducerRecord, TopicPartition,
    partition_for_key, verify,
};

fn engine(topics: &[(&str, u32)]) -> Engine {
    let engine = Engine::in_memory().unwrap();
    let admin = Admin::new(&engine);
    topics.iter().for_each(|(name, count)| drop(admin.create_topic(NewTopic::new(*name).partitions(*count)).unwrap()));
    engine
}

fn member(engine: &Engine, topics: &[&str]) -> Consumer<str, str> {
    let config = ConsumerConfig::builder().group_id(Some("billing".into())).build().unwrap();
    let mut consumer = Consumer::with_config(engine, config).unwrap();
    consumer.subscribe(topics).unwrap();
    consumer
}

fn poll(consumer: &mut Consumer<str, str>) -> Vec<(TopicPartition, i64)> {
    let records = consumer.poll(Duration::from_millis(1)).unwrap();
    records.iter().map(|record| (TopicPartition::new(record.topic(), record.partition()), record.offset().0)).collect()
}

#[test] // A3
fn partitions_are_added_and_never_taken_away() {
    let engine = engine(&[("orders", 2)]);
    let admin = Admin::new(&engine);
    for total in [0, 1, 2, 100_001] {
        let refused = admin.create_partitions("orders", total);
        assert!(matches!(refused, Err(Error::InvalidPartitions { .. })), "{total}");
    }
    assert!(matches!(admin.create_partitions("none", 2), Err(Error::UnknownTopicOrPartition { .. })));
    let before = admin.describe_topic("orders").unwrap();
    let grown = admin.create_partitions("orders", 5).unwrap();
    assert_eq!((grown.id, grown.partitions.len()), (before.id, 5));
    assert_eq!(admin.list_topics().unwrap()[0].partitions, 5);
}

#[test] // R066
fn r066_added_partitions_are_shared_and_read_from_their_beginning() {
    let engine = engine(&[("t", 2), ("u", 1)]);
    let (mut both, mut one) = (member(&engine, &["t", "u"]), member(&engine, &["t"]));
    for _ in 0..3 {
        poll(&mut both);
        poll(&mut one);
    }
    let before = one.assignment();
    assert_eq!((before.len(), both.assignment().len()), (1, 2));
    Admin::new(&engine).create_partitions("u", 4).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for partition in 1..4 {
        for _ in 0..10 {
            drop(producer.send(ProducerRecord::to("u").partition(partition).value("x")).unwrap());
        }
    }
    producer.flush().unwrap();
    let mut read: BTreeMap<TopicPartition, Vec<i64>> = BTreeMap::new();
    for _ in 0..10 {
        assert_eq!(poll(&mut one), []);
        poll(&mut both).into_iter().for_each(|(partition, offset)| read.entry(partition).or_default().push(offset));
    }
    assert_eq!(read.len(), 3);
    assert!(read.values().all(|offsets| offsets.iter().copied().eq(0..10)), "{read:?}");
    assert_eq!(one.assignment(), before);
}

#[test]
fn producer_that_knows_the_topic_uses_added_partitions_and_keeps_the_order_of_the_others() {
    let engine = engine(&[("orders", 1)]);
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let send = |key: &str, value: &str| producer.send(ProducerRecord::to("orders").key(key).value(value)).unwrap();
    let (key, _) = (0..)
        .map(|number| (format!("k{number}"), number))
        .find(|(key, _)| {
            partition_for_key(key.as_bytes(), 3) == 0 // stays where it is
        })
        .unwrap();
    let first = send(&key, "made"); // lies in a batch that is open
    Admin::new(&engine).create_partitions("orders", 3).unwrap();
    let second = send(&key, "paid");
    let (first, second) = (first.wait().unwrap(), second.wait().unwrap());
    assert_eq!((first.offset(), second.offset(), second.partition()), (Some(Offset(0)), Some(Offset(1)), 0));
    let elsewhere = producer.send(ProducerRecord::to("orders").partition(2).value("new")).unwrap().wait().unwrap();
    assert_eq!((elsewhere.partition(), elsewhere.offset()), (2, Some(Offset(0))));
    producer.close().unwrap();
}

#[test]
#[cfg(feature = "sim")]
fn power_cut_at_every_step_leaves_the_topic_grown_or_as_it_was() {
    use ottla::MemoryDisk;

    let (mut grown, mut as_it_was) = (0, 0);
    for step in 0.. {
        let disk = MemoryDisk::simulated(step);
        let engine = Engine::builder().open_memory(&disk).unwrap();
        let admin = Admin::new(&engine);
        admin.create_topic(NewTopic::new("orders").partitions(2)).unwrap();
        let producer = Producer::<str, str>::new(&engine).unwrap();
        producer.send(ProducerRecord::to("orders").partition(1).value("kept")).unwrap().wait().unwrap();
        disk.fail_from(disk.steps() + step);
        let outcome = admin.create_partitions("orders", 4);
        let stored = outcome.as_ref().ok().map(|_| {
            producer
                .send(ProducerRecord::to("orders").partition(3).value("new"))
                .and_then(|delivery| delivery.wait())
                .is_ok()
        });
        let is_through = outcome.is_ok() && stored == Some(true) && engine.close().is_ok();
        drop((producer, admin, engine));
        disk.power_cut_as(ottla::sim::PowerCut::keeping(step));

        let engine = Engine::builder().open_memory(&disk).unwrap();
        let orders = Admin::new(&engine).describe_topic("orders").unwrap();
        assert_eq!(orders.partitions[1].high_watermark, Offset(1), "step {step}");
        match orders.partitions.len() {
            2 => as_it_was += 1,
            4 => grown += 1,
            other => panic!("step {step}: {other} partitions"),
        }
        if outcome.is_ok() {
            assert_eq!(orders.partitions.len(), 4, "step {step}: it was acknowledged");
        }
        if stored == Some(true) {
            assert_eq!(orders.partitions[3].high_watermark, Offset(1), "step {step}");
        }
        let again = Admin::new(&engine).create_partitions("orders", 6).unwrap();
        assert_eq!(again.partitions.len(), 6);
        engine.close().unwrap();
        if is_through {
            break;
        }
    }
    assert!(grown > 0 && as_it_was > 0, "{grown}, {as_it_was}");
}

#[test]
fn grown_topic_has_no_finding_and_opens_with_all_its_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path()).unwrap();
    let admin = Admin::new(&engine);
    admin.create_topic(NewTopic::new("orders")).unwrap();
    admin.create_partitions("orders", 3).unwrap();
    engine.close().unwrap();
    let report = verify(dir.path(), &ottla::VerifyOptions::default()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    let engine = Engine::open(dir.path()).unwrap();
    assert!(engine.report().is_empty());
    assert_eq!(Admin::new(&engine).describe_topic("orders").unwrap().partitions.len(), 3);
    engine.close().unwrap();
}
