//! Names, numbers and sizes at the ends of what there can be.

use std::path::Path;

use ottla::{
    Admin, Consumer, ConsumerConfig, Engine, Error, ErrorClass, MemoryDisk, NewTopic, Offset, Producer, ProducerRecord,
    Timestamp, TopicConfig, TopicPartition,
};

use super::{producer, read, scratch, send, t};

// faults: N01
#[test]
fn topic_names_that_lead_elsewhere_or_nowhere_are_refused_before_anything_is_written() {
    let disk = MemoryDisk::new();
    let engine = Engine::builder().open_memory(&disk).unwrap();
    let before = disk.files();
    let (long, longest) = ("x".repeat(250), "x".repeat(249));
    let bad = [
        "",
        ".",
        "..",
        "a/b",
        "/etc",
        "../x",
        "a\0b",
        "a\nb",
        "a b",
        "a\\b",
        "\u{e4}",
        "t\u{200b}",
        "%2e",
        ":",
        "*",
        &long,
    ];
    for name in bad {
        let refused = Admin::new(&engine).create_topic(NewTopic::new(name)).unwrap_err();
        assert!(matches!(refused, Error::InvalidTopic { .. }), "{name:?}: {refused}");
        let refused = producer(&engine).send(ProducerRecord::to(name).value("x")).unwrap_err();
        assert!(matches!(refused, Error::InvalidTopic { .. }), "{name:?}: {refused}");
    }
    assert_eq!(disk.files(), before);
    for name in [longest.as_str(), "__consumer_offsets", "-", "_", "a.b", "0", "CON", "-0"] {
        Admin::new(&engine).create_topic(NewTopic::new(name)).unwrap();
        producer(&engine).send(ProducerRecord::to(name).value("x")).unwrap().wait().unwrap();
    }
    // Kafka writes `_` for `.` in the names of metrics: these two would be one.
    let collides = Admin::new(&engine).create_topic(NewTopic::new("a_b")).unwrap_err();
    assert!(matches!(collides, Error::InvalidTopic { .. }), "{collides}");
    engine.close().unwrap();
    drop(engine);
    assert_eq!(Engine::builder().open_memory(&disk).unwrap().report().iter().count(), 0);
}

// faults: N01
#[test]
fn topics_that_differ_in_case_alone_are_two() {
    let directory = scratch();
    let engine = Engine::open(directory.path()).unwrap();
    for name in ["orders", "Orders"] {
        producer(&engine).send(ProducerRecord::to(name).value(name)).unwrap().wait().unwrap();
    }
    assert_eq!(engine.end_offset(&("orders", 0).into()).unwrap(), Offset(1));
    assert_eq!(engine.end_offset(&("Orders", 0).into()).unwrap(), Offset(1));
    engine.close().unwrap();
}

// faults: N03
#[test]
fn records_of_nothing_of_the_limit_and_beyond_it() {
    let limit = 1000;
    let defaults = TopicConfig::builder().max_message_bytes(limit).build().unwrap();
    let engine = Engine::builder().topic_defaults(defaults).open_memory(&MemoryDisk::new()).unwrap();
    send(&engine, "").unwrap();
    let fits = (0..limit as usize).rev().find(|len| send(&engine, &"x".repeat(*len)).is_ok()).unwrap();
    assert!((900..1000).contains(&fits), "{fits}");
    let refused = send(&engine, &"x".repeat(fits + 1)).unwrap_err();
    assert!(matches!(refused, Error::RecordTooLarge { limit: 1000, .. }), "{refused}");
    let producer = Producer::<str, str>::new(&engine).unwrap();
    producer.send(ProducerRecord::to("t")).unwrap().wait().unwrap(); // neither key nor value
    assert_eq!(engine.end_offset(&t()).unwrap(), Offset(3), "of what was refused nothing is there");
    engine.close().unwrap();
}

// faults: N03
#[test]
fn record_with_a_hundred_thousand_headers_is_stored_or_refused_by_its_size() {
    let engine = Engine::in_memory().unwrap();
    let record = (0..100_000).fold(ProducerRecord::to("t").value("x"), |record, _| record.header("h", "v"));
    let producer = Producer::<str, str>::new(&engine).unwrap();
    producer.send(record).unwrap().wait().unwrap();
    let mut consumer = Consumer::<str, str>::with_config(&engine, ConsumerConfig::default()).unwrap();
    consumer.assign([t()]).unwrap();
    let records = consumer.poll(std::time::Duration::from_secs(10)).unwrap();
    assert_eq!(records.iter().next().unwrap().headers().iter().count(), 100_000);
    let record = (0..400_000).fold(ProducerRecord::to("t").value("x"), |record, _| record.header("h", "v"));
    assert!(matches!(producer.send(record), Err(Error::RecordTooLarge { .. })));
    engine.close().unwrap();
}

// faults: N03
#[test]
fn value_longer_than_any_length_of_a_record_is_refused() {
    let engine = Engine::in_memory().unwrap();
    let huge = vec![0; (1 << 31) + 1]; // zeros that nobody touches take no memory
    let producer = Producer::<[u8], [u8]>::new(&engine).unwrap();
    let refused = producer.send(ProducerRecord::to("t").value(&huge)).unwrap_err();
    assert!(matches!(refused, Error::RecordTooLarge { .. }), "{refused}");
    engine.close().unwrap();
}

// faults: N04 L03
#[test]
fn offsets_partitions_and_times_at_the_ends_of_their_ranges_are_refused_or_found_nowhere() {
    let engine = Engine::in_memory().unwrap();
    send(&engine, "a").unwrap();
    let mut consumer = Consumer::<str, str>::new(&engine, "billing").unwrap();
    consumer.assign([t()]).unwrap();
    for offset in [-1, i64::MIN] {
        assert!(matches!(consumer.seek(&t(), Offset(offset)), Err(Error::IllegalArgument { .. })), "{offset}");
        assert!(consumer.commit_sync_offsets([(t(), Offset(offset).into())]).is_err(), "{offset}");
    }
    for offset in [2, i64::from(i32::MAX), i64::from(u32::MAX), i64::MAX - 1, i64::MAX] {
        consumer.seek(&t(), Offset(offset)).unwrap();
        // `auto.offset.reset` says where to go from there: to the beginning.
        assert_eq!(consumer.poll(std::time::Duration::from_secs(10)).unwrap().len(), 1, "{offset}");
    }
    for partition in [1, 1_000_000_000, u32::MAX] {
        let there: TopicPartition = ("t", partition).into();
        assert!(engine.end_offset(&there).is_err());
        assert!(consumer.assign([there.clone()]).is_err());
        let record = ProducerRecord::to("t").partition(partition).value("x");
        assert!(producer(&engine).send(record).is_err());
        let made = Admin::new(&engine).create_topic(NewTopic::new("many").partitions(partition));
        assert!(partition == 1 || made.is_err(), "{partition}");
    }
    for time in [i64::MIN, -2, i64::MAX] {
        let record = ProducerRecord::to("t").value("x").timestamp(Timestamp(time));
        let refused = producer(&engine).send(record).and_then(|delivery| delivery.wait()).unwrap_err();
        assert_eq!(refused.class(), ErrorClass::Refused, "{time}: {refused}");
    }
    assert!(consumer.offsets_for_times([(t(), Timestamp(i64::MIN))]).is_err());
    let found = consumer.offsets_for_times([(t(), Timestamp(i64::MAX))]).unwrap();
    assert!(found.into_iter().all(|(_, found)| found.is_none()));
    assert_eq!(read(&engine).unwrap(), ["a"]);
    engine.close().unwrap();
}

// faults: N02
#[test]
#[expect(clippy::disallowed_methods, reason = "plants links, as somebody may")]
fn symbolic_link_in_the_place_of_a_file_of_ours_is_not_followed() {
    let of_ours = [
        "LOCK",
        "catalog",
        "positions",
        "log",
        "groups",
        "log/t-0",
        "log/meta.properties",
        "log/t-0/00000000000000000000.log",
        "log/t-0/partition.metadata",
    ];
    for name in of_ours {
        let outside = scratch();
        let (data, elsewhere) = (outside.path().join("data"), outside.path().join("elsewhere"));
        super::open_with_two(&data).close().unwrap();
        std::fs::rename(data.join(name), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, data.join(name)).unwrap();
        let before = content(&elsewhere);
        let refused = Engine::open(&data).and_then(|engine| {
            let read = read(&engine);
            engine.close()?;
            read
        });
        match refused {
            // What can be made again may be, in the place of the link.
            Ok(values) => assert_eq!(values, ["a", "b"], "{name}"),
            Err(error) => assert!(error.to_string().contains(name.rsplit('/').next().unwrap()), "{name}: {error}"),
        }
        assert_eq!(content(&elsewhere), before, "{name}: what the link leads to is not touched");
    }
}

/// The bytes of a file, or of all files of a directory.
#[expect(clippy::disallowed_methods, reason = "looks at what an engine has left")]
fn content(path: &Path) -> Vec<(String, Vec<u8>)> {
    if path.is_file() {
        return vec![(String::new(), std::fs::read(path).unwrap())];
    }
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        all.extend(content(&entry.path()).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
    }
    all.sort();
    all
}
