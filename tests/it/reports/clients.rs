//! What producers and consumers are told.

#![expect(clippy::disallowed_methods, reason = "removes files behind the engine's back")]

use std::fs;
use std::time::Duration;

use ottla::{
    Consumer, ConsumerConfig, Engine, Error, MemoryDisk, Offset, Producer, ProducerConfig, ProducerRecord, Timestamp,
    TopicPartition,
};
use serde_json::{Value, json};

use super::{T, committed};
use crate::command::{Home, names, seq};

/// A record over the limit takes its small neighbours with it.
#[test]
fn r019_one_record_over_the_limit_fails_alone() {
    for options in ["produce t --json", "produce t --json --linger 500"] {
        let home = Home::new();
        home.run("topic create t --config max.message.bytes=1000").done();
        let ran = home.feed(format!("a\n{}\nb\n", "x".repeat(5000)), options);
        assert_eq!((ran.status, ran.err.as_str()), (2, ""));
        let answers: Vec<Value> =
            ran.out.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert_eq!(answers.len(), 3, "{answers:?}");
        assert_eq!((&answers[0]["offset"], &answers[2]["offset"]), (&json!(0), &json!(1)));
        let error = answers[1]["error"].as_str().unwrap();
        let size: String = error.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        assert!(size.parse::<u64>().unwrap() >= 5000 && error.contains("1000"), "{error}");
        assert_eq!(home.run("consume t").lines(), ["a", "b"]);
    }
}

/// Until the end: partitions without records are waited for. That no time passes,
/// `r029_reading_to_the_end_lets_no_time_pass` sees beside the command.
#[test]
fn r029_reading_to_the_end_waits_for_nothing() {
    let home = Home::new();
    home.run("topic create t --partitions 4").done();
    home.feed(seq(1, 1000), "produce t --partition 2").done();
    assert_eq!(home.run("consume t --partition 0").done(), "");
    assert_eq!(home.run("consume t").lines().len(), 1000);
    assert_eq!(home.run("consume t --group g").lines().len(), 1000);
    assert_eq!(home.run("consume t --group g").done(), "");
}

/// A time after the last record falls back to the beginning; among equal times the look-up lands in the middle.
#[test]
fn r034_time_lookup_finds_the_first_of_equal_times_and_nothing_behind_the_last() {
    let home = Home::new();
    home.run("topic create t --config segment.bytes=16384").done();
    let engine = Engine::open(home.data()).unwrap();
    // Several batches a segment, so that the look-up has something to find inside of one.
    let config = ProducerConfig::builder().batch_size(2048).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    for number in 0..3010 {
        let timestamp = Timestamp(if number < 3000 { T } else { T + 5 });
        producer.send(ProducerRecord::to("t").value("twelve bytes").timestamp(timestamp)).unwrap();
    }
    producer.close().unwrap();
    engine.close().unwrap();
    let indexes = || {
        let files = names(&home.partition("t-0"));
        files.into_iter().filter(|name| name.ends_with(".timeindex")).collect::<Vec<_>>()
    };
    assert!(indexes().len() >= 4, "{:?}", indexes());
    for has_indexes in [true, false] {
        for (from, first) in [
            (T.to_string(), "0\n"),
            ((T + 1).to_string(), "3000\n"),
            ((T + 5).to_string(), "3000\n"),
            ((T + 6).to_string(), ""),
            ("2100-01-01T00:00:00Z".to_owned(), ""),
        ] {
            if !has_indexes {
                indexes().iter().for_each(|name| fs::remove_file(home.partition("t-0").join(name)).unwrap());
            }
            let at = format!("@{from}");
            let arguments = ["consume", "t", "--from", &at, "--max-records", "1", "--format", "{offset}"];
            assert_eq!(home.run_with(&arguments).done(), first, "{from}, indexes: {has_indexes}");
        }
        for (time, after) in [
            (T.to_string(), 0),
            ((T + 1).to_string(), 3000),
            ((T + 6).to_string(), 3010),
            ("2100-01-01T00:00:00Z".to_owned(), 3010),
        ] {
            if !has_indexes {
                indexes().iter().for_each(|name| fs::remove_file(home.partition("t-0").join(name)).unwrap());
            }
            let arguments = ["group", "reset", "g", "--topic", "t", "--to-datetime", &time, "--execute", "--json"];
            let row = home.run_with(&arguments).json().remove(0);
            assert_eq!(row["after"], after, "{time}, indexes: {has_indexes}");
            assert_eq!(committed(&home, "g"), after);
        }
    }
}

/// A long linger makes flush, close or the end of the input wait for it, or a drop loses what lingers.
#[test]
fn r057_nothing_waits_for_a_long_linger() {
    let home = Home::new();
    home.feed("a\nb\nc\n", "produce t --linger 86400000").done(); // who waited for that would be here tomorrow
    assert_eq!(home.run("consume t").lines(), ["a", "b", "c"]);

    let disk = MemoryDisk::stepped(7); // whose time passes only while somebody waits for it
    let linger = Duration::from_secs(60);
    let config = || ProducerConfig::builder().linger(linger).build().unwrap();
    let record = || ProducerRecord::to("t").value("x");
    let engine = Engine::builder().open_memory(&disk).unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config()).unwrap();
    let first = producer.send(record()).unwrap();
    producer.flush().unwrap();
    producer.send(record()).unwrap().wait().unwrap();
    producer.send(record()).unwrap();
    producer.close().unwrap();
    drop(producer); // while it is there, so is the engine
    let producer = Producer::<str, str>::with_config(&engine, config()).unwrap();
    let dropped = producer.send(record()).unwrap();
    drop((producer, engine));
    let is_there = dropped.wait().is_ok();
    let engine = Engine::builder().open_memory(&disk).unwrap();
    assert_eq!(engine.end_offset(&("t", 0).into()).unwrap(), Offset(if is_there { 4 } else { 3 }));
    let last = Producer::<str, str>::new(&engine).unwrap().send(record()).unwrap();
    let [begun, ended] = [first, last].map(|delivery| delivery.wait().unwrap().timestamp().0);
    assert!(ended - begun < 1000, "{} ms have passed", ended - begun);
}

/// Partition by key: the sign of bytes and of the hash, an empty key taken for none, a second separator that cuts.
#[test]
fn r059_keys_go_where_kafka_puts_them() {
    let home = Home::new();
    let keys = [
        ("wu", 10, 0),
        ("100:48069", 12, 9),
        ("21", 40, 20),
        ("kafka", 3, 1),
        ("thing\u{e4}\u{f6}\u{fc}\u{c4}\u{d6}\u{dc}", 10, 2),
        ("TT0124", 15, 10),
        ("fd7af248-ce5c-46a5-93d7-1c0c9005b99d", 32, 26),
        ("", 4, 1),
        ("", 7, 2),
    ];
    for (number, (key, partitions, expected)) in keys.into_iter().enumerate() {
        home.run(&format!("topic create t{number} --partitions {partitions}")).done();
        home.feed(format!("{key}|1\n{key}|2\n"), &format!("produce t{number} --key-separator |")).done();
        for record in home.run(&format!("consume t{number} --json")).json() {
            assert_eq!((&record["partition"], &record["key"]), (&json!(expected), &json!(key)), "{record}");
        }
    }
    home.feed("k::v::w\nnone\n", "produce u --key-separator ::").done();
    let records = home.run("consume u --json").json();
    assert_eq!((&records[0]["key"], &records[0]["value"]), (&json!("k"), &json!("v::w")));
    assert_eq!((&records[1]["key"], &records[1]["value"]), (&Value::Null, &json!("none")));
}

/// A pause before the first poll is forgotten, one at the end loses the position, resuming reads records again.
#[test]
fn r068_pausing_keeps_the_position_and_resuming_repeats_nothing() {
    let engine = Engine::in_memory().unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let send = |count: usize| {
        (0..count).for_each(|_| drop(producer.send(ProducerRecord::to("t").value("x")).unwrap()));
        producer.flush().unwrap();
        while engine.end_offset(&TopicPartition::new("t", 0)).is_ok_and(|end| end.0 % 5 != 0) {
            std::thread::yield_now();
        }
    };
    send(5);
    let (partition, other) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
    let mut consumer = Consumer::<str, str>::with_config(&engine, ConsumerConfig::default()).unwrap();
    consumer.assign([partition.clone()]).unwrap();
    let wait = Duration::from_millis(50);
    let read = |consumer: &mut Consumer<str, str>| -> Vec<i64> {
        consumer.poll(wait).unwrap().iter().map(|record| record.offset().0).collect()
    };
    consumer.pause([&partition]).unwrap();
    assert_eq!(read(&mut consumer), [0; 0], "before any poll");
    consumer.resume([&partition]).unwrap();
    assert_eq!(read(&mut consumer), [0, 1, 2, 3, 4]);
    consumer.pause([&partition]).unwrap();
    send(5);
    assert_eq!(read(&mut consumer), [0; 0]);
    assert_eq!(consumer.position(&partition).unwrap(), Offset(5));
    consumer.resume([&partition]).unwrap();
    consumer.resume([&partition]).unwrap();
    assert_eq!(read(&mut consumer), [5, 6, 7, 8, 9]);
    consumer.resume([&partition]).unwrap(); // it was not paused
    assert_eq!((read(&mut consumer), consumer.position(&partition).unwrap()), (Vec::new(), Offset(10)));
    let refused: Error = consumer.pause([&other]).unwrap_err();
    assert!(refused.to_string().contains("t-1"), "{refused}");
}

/// A member resumes where it remembers to have been, though another one has read on since; or it is handed records of a
/// partition that it has given away.
#[test]
fn r064_partition_that_comes_back_is_read_from_where_the_other_one_committed() {
    let engine = Engine::builder().open_memory(&MemoryDisk::stepped(64)).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for number in 0..120 {
        producer.send(ProducerRecord::to("t").value(&number.to_string())).unwrap();
        producer.send(ProducerRecord::to("u").value("other")).unwrap();
    }
    producer.close().unwrap();
    let t = TopicPartition::new("t", 0);
    let member = |limit: &str| {
        let config = ConsumerConfig::builder().group_id(Some("g".into())).enable_auto_commit(false);
        let config = config.set("max.poll.records", limit).unwrap().build().unwrap();
        Consumer::<str, str>::with_config(&engine, config).unwrap()
    };
    let offsets = |member: &mut Consumer<str, str>| {
        let records = member.poll(Duration::ZERO).unwrap();
        records
            .iter()
            .filter(|record| *record.topic_partition() == t)
            .map(|record| record.offset().0)
            .collect::<Vec<_>>()
    };
    let mut first = member("100");
    first.subscribe(["t"]).unwrap();
    assert_eq!(offsets(&mut first), (0..100).collect::<Vec<_>>());
    first.commit_sync_offsets([(t.clone(), Offset(50).into())]).unwrap();

    first.subscribe(["u"]).unwrap();
    let mut second = member("30");
    second.subscribe(["t"]).unwrap();
    assert_eq!(offsets(&mut second), [0i64; 0]); // the first one has not let go
    assert_eq!(offsets(&mut first), [0i64; 0]);
    assert_eq!(offsets(&mut second), (50..80).collect::<Vec<_>>());
    let refused = first.commit_sync_offsets([(t.clone(), Offset(100).into())]);
    assert!(matches!(refused, Err(Error::CommitFailed { .. })), "{refused:?}");
    assert_eq!(offsets(&mut first), [0i64; 0]);
    second.commit_sync_offsets([(t.clone(), Offset(80).into())]).unwrap();
    second.close().unwrap();

    first.subscribe(["t", "u"]).unwrap();
    assert_eq!(offsets(&mut first).first(), Some(&80));
}
