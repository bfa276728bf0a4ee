//! Settings do what they say, under Kafka's names, and a name that does nothing is never taken in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla::{
    Acks, Admin, Consumer, ConsumerConfig, Engine, EngineConfig, Error, MemoryDisk, NewTopic, Offset,
    OffsetAndMetadata, Producer, ProducerConfig, ProducerRecord, Setting, Timestamp, TopicConfig,
};

/// When time begins on a disk that is stepped.
const T: i64 = 1_700_000_000_000;

/// A kind, its settings, and the names that it takes without effect.
type Kind = (&'static str, Vec<Setting>, Vec<(&'static str, &'static str)>);

/// The settings of every kind, and the names that are taken without effect.
fn kinds() -> [Kind; 4] {
    [
        ("engine", EngineConfig::settings(), EngineConfig::settings_without_effect().collect()),
        ("topic", TopicConfig::settings(), TopicConfig::settings_without_effect().collect()),
        ("producer", ProducerConfig::settings(), ProducerConfig::settings_without_effect().collect()),
        ("consumer", ConsumerConfig::settings(), ConsumerConfig::settings_without_effect().collect()),
    ]
}

/// What setting `name` of a kind to `value` gives.
fn set(kind: &str, name: &str, value: &str) -> Result<(), String> {
    let done = match kind {
        "engine" => EngineConfig::builder().set(name, value).and_then(|builder| builder.build()).map(drop),
        "topic" => TopicConfig::builder().set(name, value).and_then(|builder| builder.build()).map(drop),
        "producer" => ProducerConfig::builder().set(name, value).and_then(|builder| builder.build()).map(drop),
        _ => ConsumerConfig::builder().set(name, value).and_then(|builder| builder.build()).map(drop),
    };
    done.map_err(|error| {
        assert!(matches!(&error, Error::InvalidConfig { setting, .. } if **setting == *name), "{error:?}");
        error.to_string()
    })
}

#[test]
fn every_setting_is_told_once_and_takes_its_own_default() {
    for (kind, settings, without_effect) in kinds() {
        let names: BTreeSet<_> = settings.iter().map(|setting| setting.name).collect();
        assert_eq!(names.len(), settings.len(), "{kind}");
        for setting in &settings {
            let Setting { name, kind: values, default, doc, kafka_default, difference, .. } = setting;
            assert!(!values.is_empty() && doc.ends_with('.'), "{kind}: {name}: {doc}");
            assert!(kafka_default.is_none() || difference.is_some(), "{kind}: {name} differs, and does not say why");
            assert_ne!(*kafka_default, Some(default.as_str()), "{kind}: {name}");
            if !default.is_empty() {
                assert_eq!(set(kind, name, default), Ok(()), "{kind}: {name}");
            }
            assert!(!without_effect.iter().any(|(other, _)| other == name), "{kind}: {name}");
        }
    }
}

#[test]
fn unknown_name_is_refused_with_the_nearest_one() {
    for (kind, wrong, right) in [
        ("engine", "auto.create.topic", "auto.create.topics.enable"),
        ("engine", "num_partitions", "num.partitions"),
        ("topic", "segment.byte", "segment.bytes"),
        ("producer", "linger", "linger.ms"),
        ("consumer", "autoOffsetReset", "auto.offset.reset"),
    ] {
        let said = set(kind, wrong, "1").unwrap_err();
        assert_eq!(said, format!("{wrong} = 1: there is no such setting; the nearest is {right}"));
    }
    for (kind, _, _) in kinds() {
        assert_eq!(set(kind, "colour.of.the.sky", "1").unwrap_err(), "colour.of.the.sky = 1: there is no such setting");
        assert!(set(kind, "", "").is_err());
    }
}

#[test]
fn what_this_version_lacks_is_refused_rather_than_ignored() {
    for (kind, name, value) in [
        ("topic", "retention.ms", "1000"),
        ("topic", "cleanup.policy", "compact"),
        ("topic", "min.insync.replicas", "2"),
        ("topic", "compression.type", "zstd"),
        ("producer", "transactional.id", "x"),
        ("producer", "config.providers.file.class", "x"),
        ("consumer", "isolation.level", "read_committed"),
        ("engine", "log.retention.hours", "1"),
        ("engine", "log.segment.bytes", "1000"),
    ] {
        let said = set(kind, name, value).unwrap_err();
        assert!(!said.contains("no such setting"), "{said}");
    }
}

#[test]
fn settings_that_were_made_for_a_cluster_are_taken_and_told() {
    let of_a_cluster = BTreeMap::from(
        [
            ("bootstrap.servers", "kafka-1:9092"),
            ("security.protocol", "SASL_SSL"),
            ("sasl.jaas.config", "..."),
            ("ssl.truststore.location", "/etc/trust"),
            ("client.id", "billing"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let names = ["bootstrap.servers", "sasl.jaas.config", "security.protocol", "ssl.truststore.location"];
    let producer = ProducerConfig::builder().set_all(&of_a_cluster).unwrap().set("linger.ms", "7").unwrap();
    let producer = producer.build().unwrap();
    assert_eq!(producer.without_effect(), names);
    assert_eq!((producer.client_id().as_deref(), producer.value("linger.ms").as_deref()), (Some("billing"), Some("7")));
    let names = ["check.crcs", "default.api.timeout.ms", "heartbeat.interval.ms", "request.timeout.ms", "ssl.protocol"];
    let consumer = ConsumerConfig::builder().set_all(names.map(|name| (name, "1"))).unwrap().build().unwrap();
    assert_eq!(consumer.without_effect(), names);
    let topic = TopicConfig::builder().set("message.format.version", "3.0").unwrap().build().unwrap();
    assert_eq!(topic.without_effect(), ["message.format.version"]);
}

/// An engine in which time passes while somebody polls, and a topic with `settings`.
fn stepped(settings: &[(&str, &str)]) -> (MemoryDisk, Engine) {
    let disk = MemoryDisk::stepped(7);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    let topic = settings.iter().fold(NewTopic::new("t"), |topic, (name, value)| topic.config(*name, *value));
    Admin::new(&engine).create_topic(topic).unwrap();
    (disk, engine)
}

fn send_with_acks_1(engine: &Engine, count: u32) {
    let config = ProducerConfig::builder().acks(Acks::One).build().unwrap();
    let producer = Producer::<str, str>::with_config(engine, config).unwrap();
    for _ in 0..count {
        producer.send(ProducerRecord::to("t").value("v")).unwrap().wait().unwrap();
    }
}

fn pass(engine: &Engine, time: Duration) {
    let mut consumer = Consumer::<str, str>::with_config(engine, ConsumerConfig::default()).unwrap();
    Admin::new(engine).create_topic(NewTopic::new("clock")).unwrap();
    consumer.assign([("clock", 0).into()]).unwrap();
    assert!(consumer.poll(time).unwrap().is_empty());
}

/// How many records are there after the power was cut.
fn left_by_a_power_cut(disk: &MemoryDisk, engine: Engine) -> i64 {
    disk.power_cut();
    drop(engine);
    let engine = Engine::builder().open_memory(disk).unwrap();
    engine.end_offset(&("t", 0).into()).unwrap().0
}

#[test]
fn flush_messages_syncs_what_nobody_waits_for() {
    for (setting, count, left) in [("1000", 3, 0), ("3", 3, 3), ("3", 2, 0), ("1", 1, 1)] {
        let (disk, engine) = stepped(&[("flush.messages", setting)]);
        send_with_acks_1(&engine, count);
        pass(&engine, Duration::from_millis(100));
        assert_eq!(left_by_a_power_cut(&disk, engine), left, "{setting}, {count}");
    }
}

#[test]
fn flush_ms_syncs_what_nobody_waits_for() {
    for (setting, left) in [("60000", 0), ("1000", 2), ("0", 2)] {
        let (disk, engine) = stepped(&[("flush.ms", setting)]);
        send_with_acks_1(&engine, 2);
        pass(&engine, Duration::from_millis(1100));
        assert_eq!(left_by_a_power_cut(&disk, engine), left, "{setting}");
    }
}

#[test]
fn timestamp_too_far_away_is_refused_alone() {
    let (_, engine) = stepped(&[("message.timestamp.before.max.ms", "1000")]);
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let send = |millis: i64| producer.send(ProducerRecord::to("t").value("v").timestamp(Timestamp(T + millis)));
    let first = send(0).unwrap();
    for millis in [-10_000, 3_700_000, i64::MAX - T] {
        assert!(matches!(send(millis), Err(Error::InvalidTimestamp { .. })), "{millis}");
    }
    let second = send(3_500_000).unwrap();
    assert_eq!((first.wait().unwrap().offset(), second.wait().unwrap().offset()), (Some(Offset(0)), Some(Offset(1))));
    let all =
        producer.send_all(&[-1, -5000, 0].map(|at| ProducerRecord::to("t").value("v").timestamp(Timestamp(T + at))));
    assert_eq!(all.unwrap_err().queued, 1);
}

#[test]
fn segments_of_partitions_that_began_together_end_apart() {
    let engine = Engine::builder().open_memory(&MemoryDisk::stepped(7)).unwrap();
    let topic = NewTopic::new("t").partitions(32).config("segment.ms", "1000").config("segment.jitter.ms", "1000");
    let admin = Admin::new(&engine);
    admin.create_topic(topic).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for at in [0, 500, 1001] {
        for partition in 0..32 {
            let record = ProducerRecord::to("t").partition(partition).value("v").timestamp(Timestamp(T + at));
            producer.send(record).unwrap();
        }
        producer.flush().unwrap();
        let partitions = admin.describe_topic("t").unwrap().partitions;
        let ended = partitions.iter().filter(|partition| partition.segments > 1).count();
        match at {
            0 => assert_eq!(ended, 0),
            500 => assert!((8..=24).contains(&ended), "{ended}"),
            _ => assert_eq!(ended, 32),
        }
    }
}

#[test]
fn defaults_of_topics_are_the_engines_unless_a_topic_has_its_own() {
    let disk = MemoryDisk::new();
    let open = |bytes| {
        let defaults = TopicConfig::builder().max_message_bytes(bytes).build().unwrap();
        Engine::builder().topic_defaults(defaults).open_memory(&disk).unwrap()
    };
    let largest = |engine: &Engine, topic: &str| {
        let producer = Producer::<str, str>::new(engine).unwrap();
        match producer.send(ProducerRecord::to(topic).value(&"v".repeat(5000))) {
            Err(Error::RecordTooLarge { limit, setting: "max.message.bytes", .. }) => limit,
            other => panic!("{other:?}"),
        }
    };
    let engine = open(1000);
    Admin::new(&engine).create_topic(NewTopic::new("own").config("max.message.bytes", "2000")).unwrap();
    assert_eq!((largest(&engine, "t"), largest(&engine, "own")), (1000, 2000));
    engine.close().unwrap();
    let engine = open(3000);
    assert_eq!((largest(&engine, "t"), largest(&engine, "own")), (3000, 2000));
    assert!(Admin::new(&engine).describe_topic("t").unwrap().config.is_empty(), "they are not stored");
}

#[test]
fn topics_stay_if_the_engine_says_so() {
    let config = EngineConfig::builder().set("delete.topic.enable", "false").unwrap().build().unwrap();
    let engine = Engine::builder().config(config).open_memory(&MemoryDisk::new()).unwrap();
    let admin = Admin::new(&engine);
    admin.create_topic(NewTopic::new("t")).unwrap();
    let refused = admin.delete_topic("t").unwrap_err();
    assert!(matches!(&refused, Error::TopicDeletionDisabled { topic } if **topic == *"t"), "{refused}");
    assert!(matches!(admin.delete_topic("u"), Err(Error::UnknownTopicOrPartition { .. })));
    assert_eq!(admin.list_topics().unwrap().len(), 1);
}

#[test]
fn notes_of_commits_are_as_long_as_the_engine_says() {
    let config = EngineConfig::builder().offset_metadata_max_bytes(10).build().unwrap();
    let engine = Engine::builder().config(config).open_memory(&MemoryDisk::new()).unwrap();
    Admin::new(&engine).create_topic(NewTopic::new("t")).unwrap();
    let mut consumer = Consumer::<str, str>::new(&engine, "g").unwrap();
    consumer.assign([("t", 0).into()]).unwrap();
    let mut commit = |note: &str| {
        let offset = OffsetAndMetadata::new(Offset(0)).with_metadata(note);
        consumer.commit_sync_offsets([(("t", 0).into(), offset)])
    };
    assert!(commit(&"n".repeat(10)).is_ok());
    assert!(matches!(commit(&"n".repeat(11)), Err(Error::OffsetMetadataTooLarge { limit: 10, .. })));
}
