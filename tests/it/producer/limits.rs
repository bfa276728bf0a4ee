//! What is too much, or cannot be, concerns its record alone.

use ottla::{
    Admin, Consumer, ConsumerConfig, Engine, EngineConfig, Error, MemoryDisk, NewTopic, Offset, Producer,
    ProducerConfig, ProducerRecord, Timestamp, TimestampType,
};

fn engine(topic: NewTopic) -> Engine {
    let engine = Engine::builder().open_memory(&MemoryDisk::stepped(4)).unwrap();
    Admin::new(&engine).create_topic(topic).unwrap();
    engine
}

fn record(value: &str) -> ProducerRecord<'_, str, str> {
    ProducerRecord::to("orders").value(value)
}

#[test]
fn record_larger_than_max_request_size_is_refused_and_nothing_of_it_is_queued() {
    let engine = engine(NewTopic::new("orders"));
    let config = ProducerConfig::builder().max_request_size(1000).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let large = "x".repeat(1000);
    let fine = producer.send(record("a")).unwrap();
    let refused = producer.send(record(&large)).unwrap_err();
    assert!(matches!(refused, Error::RecordTooLarge { setting: "max.request.size", limit: 1000, .. }), "{refused}");
    let behind = producer.send(record("b")).unwrap();
    let offsets = [fine, behind].map(|delivery| delivery.wait().unwrap().offset());
    assert_eq!(offsets, [Some(Offset(0)), Some(Offset(1))]);
}

#[cfg(feature = "lz4")]
#[test]
fn compressed_record_too_large_for_the_topic_fails_alone_and_its_memory_is_free_again() {
    let engine = engine(NewTopic::new("orders").config("max.message.bytes", "1000"));
    for acks in [ottla::Acks::All, ottla::Acks::One, ottla::Acks::Zero] {
        let config = ProducerConfig::builder().acks(acks).compression(ottla::Compression::Lz4).build().unwrap();
        let producer = Producer::<str, [u8]>::with_config(&engine, config).unwrap();
        let noise: Vec<u8> = (0..2000_u32).map(|each| each.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let send = |value: &[u8]| producer.send(ProducerRecord::to("orders").value(value)).unwrap();
        let sent = [send(b"a"), send(&noise), send(&[0; 2000]), send(b"b")];
        producer.flush().unwrap();
        let outcomes = sent.map(|delivery| delivery.wait());
        let metrics = producer.metrics();
        if acks == ottla::Acks::Zero {
            assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_ok_and(|sent| sent.offset().is_none())));
        } else {
            let [fine, large, small, behind] = &outcomes;
            assert!(matches!(large, Err(Error::RecordTooLarge { setting: "max.message.bytes", .. })), "{large:?}");
            assert!([fine, small, behind].iter().all(|outcome| outcome.is_ok()), "{outcomes:?}");
        }
        assert_eq!(metrics.get("record-error-total"), Some(1.0), "it is counted though acks of 0 tell nobody");
        assert_eq!(metrics.get("record-retry-total"), Some(0.0));
        assert_eq!(metrics.get("buffer-available-bytes"), metrics.get("buffer-total-bytes"));
    }
    assert_eq!(engine.end_offset(&("orders", 0).into()).unwrap(), Offset(9));
}

#[test]
fn bad_record_among_good_ones_is_refused_alone() {
    let engine = engine(NewTopic::new("orders"));
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let first = producer.send(record("a")).unwrap();
    let bad = producer.send(record("b").timestamp(Timestamp(-2))).unwrap_err();
    assert!(matches!(bad, Error::InvalidTimestamp { timestamp: -2, .. }), "{bad}");
    let last = producer.send(record("c")).unwrap();
    assert_eq!([first, last].map(|delivery| delivery.wait().unwrap().offset()), [Some(Offset(0)), Some(Offset(1))]);
}

#[test]
fn topic_and_partition_that_are_not_there_are_refused_at_once() {
    let config = EngineConfig::builder().auto_create_topics(false).build().unwrap();
    let engine = Engine::builder().config(config).open_memory(&MemoryDisk::stepped(4)).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    assert!(matches!(producer.send(record("a")), Err(Error::UnknownTopicOrPartition { .. })));
    Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(2)).unwrap();
    assert!(producer.send(record("a").partition(1)).is_ok(), "it is found when it is there");
    let refused = producer.send(record("a").partition(2)).unwrap_err();
    assert_eq!(refused.to_string(), "there is no topic or partition orders-2");
    assert_eq!(producer.metrics().get("metadata-wait-time-ns-total"), Some(0.0), "nobody waited");
}

#[test]
fn records_of_an_append_time_topic_have_the_time_of_the_append() {
    let engine = engine(NewTopic::new("orders").config("message.timestamp.type", "LogAppendTime"));
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let metadata = producer.send(record("a").timestamp(Timestamp(1000))).unwrap().wait().unwrap();
    assert_ne!(metadata.timestamp(), Timestamp(1000));
    let mut consumer = Consumer::<str, str>::with_config(&engine, ConsumerConfig::default()).unwrap();
    consumer.assign([("orders", 0).into()]).unwrap();
    let records = consumer.poll(std::time::Duration::from_secs(1)).unwrap();
    let seen = records.iter().map(|record| (record.timestamp(), record.timestamp_type()));
    assert!(seen.eq([(metadata.timestamp(), TimestampType::LogAppendTime)]));
}

#[test]
fn settings_of_the_producer_are_held_against_each_other() {
    let refused = |settings: &[(&str, &str)]| {
        let built = ProducerConfig::builder().set_all(settings.iter().copied()).and_then(|builder| builder.build());
        built.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(refused(&[("linger.ms", "300000")]), Ok(()), "the default of delivery.timeout.ms gives way");
    let error = refused(&[("linger.ms", "5000"), ("delivery.timeout.ms", "4999")]).unwrap_err();
    assert_eq!(error, "delivery.timeout.ms = 4999: it has to be at least linger.ms = 5000");
    assert!(refused(&[("retries", "2147483648")]).is_err());
    assert!(refused(&[("metrics.num.samples", "0")]).is_err());
    for (name, value) in [("request.timeout.ms", "30000"), ("enable.idempotence", "true"), ("acks", "-1")] {
        assert_eq!(refused(&[(name, value)]), Ok(()), "{name}");
    }
}
