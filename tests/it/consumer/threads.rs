//! Other threads: they wake a consumer, and stop its stream.

use std::thread;
use std::time::Duration;

use ottla::{Error, Offset, Producer, ProducerRecord};

use super::{append, committed, engine, orders, poll, subscribed};

#[test]
fn c4_wakeup_fails_one_poll_and_the_next_returns_the_records() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let mut consumer = subscribed(&engine, &[("max.poll.records", "1")]);
    assert_eq!(poll(&mut consumer).unwrap(), [0]); // and the other one is buffered
    let handle = consumer.wakeup_handle();
    handle.wakeup();
    handle.wakeup();
    consumer.commit_sync().unwrap(); // is not interrupted, and does not use it up
    assert!(matches!(poll(&mut consumer), Err(Error::Wakeup)));
    assert_eq!(poll(&mut consumer).unwrap(), [1]);
}

#[test]
fn wakeup_ends_a_poll_that_waits() {
    let engine = engine(&[("orders", 1)]);
    let mut consumer = subscribed(&engine, &[]);
    let handle = consumer.wakeup_handle();
    thread::scope(|scope| {
        scope.spawn(move || handle.wakeup());
        assert!(matches!(consumer.poll(Duration::from_secs(3600)), Err(Error::Wakeup)));
    });
    assert_eq!(poll(&mut consumer).unwrap(), [0i64; 0]);
}

#[test]
fn c22_close_after_a_wakeup_commits() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a"]);
    let mut consumer = subscribed(&engine, &[]);
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    consumer.wakeup_handle().wakeup();
    assert!(matches!(poll(&mut consumer), Err(Error::Wakeup)));
    consumer.wakeup_handle().wakeup();
    consumer.close().unwrap();
    assert_eq!(committed(&subscribed(&engine, &[])), Some(1));
}

#[test]
fn stream_waits_for_records_until_another_thread_stops_it() {
    const COUNT: i64 = 500;
    let engine = engine(&[("orders", 3)]);
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let mut consumer = subscribed(&engine, &[("max.poll.records", "9")]);
    let records = consumer.stream();
    let stop = records.stop_handle();
    let mut seen = thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..COUNT {
                drop(producer.send(ProducerRecord::to("orders").value(&number.to_string())).unwrap());
            }
            producer.flush().unwrap();
        });
        let mut seen = Vec::new();
        for record in records {
            seen.push(record.unwrap().value().unwrap().unwrap().parse::<i64>().unwrap());
            if seen.len() == 500 {
                let stop = stop.clone();
                scope.spawn(move || stop.stop());
            }
        }
        seen
    });
    seen.sort_unstable(); // across partitions there is no order
    assert_eq!(seen, (0..COUNT).collect::<Vec<_>>());
    consumer.close().unwrap();
}

#[test]
fn stream_that_is_dropped_leaves_what_it_did_not_give() {
    let engine = engine(&[("orders", 2)]);
    append(&engine, "orders", 0, &[b"a", b"b", b"c"]);
    append(&engine, "orders", 1, &[b"d", b"e"]);
    let mut consumer = subscribed(&engine, &[]);
    let given: Vec<_> = consumer.stream().take(4).map(|record| record.unwrap()).collect();
    let places: Vec<_> = given.iter().map(|record| record.topic_partition().to_string()).collect();
    assert_eq!(places, ["orders-0", "orders-0", "orders-0", "orders-1"]);
    assert_eq!(consumer.position(&orders()).unwrap(), Offset(3));
    assert_eq!(consumer.position(&("orders", 1).into()).unwrap(), Offset(1));
    consumer.close().unwrap(); // commits just that
    let mut next = subscribed(&engine, &[]);
    let rest = next.poll(Duration::from_secs(1)).unwrap();
    assert_eq!(rest.iter().map(|record| record.value().unwrap().unwrap()).collect::<Vec<_>>(), ["e"]);
}

#[test]
fn stream_commits_by_itself_what_it_gave_before() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b", b"c"]);
    let mut consumer = subscribed(&engine, &[("auto.commit.interval.ms", "0"), ("max.poll.records", "2")]);
    let mut records = consumer.stream();
    for _ in 0..3 {
        records.next().unwrap().unwrap();
    }
    drop(records);
    assert_eq!(committed(&consumer), Some(2), "the poll that brought the third knew that the other two were done");
}

#[test]
fn stopped_stream_gives_nothing_though_it_has_some() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let mut consumer = subscribed(&engine, &[]);
    let mut records = consumer.stream();
    records.next().unwrap().unwrap();
    records.stop_handle().stop();
    assert!(records.next().is_none());
    drop(records);
    assert_eq!(consumer.position(&orders()).unwrap(), Offset(1));
    assert_eq!(consumer.stream().next().unwrap().unwrap().offset(), Offset(1), "another stream is not stopped");
}

#[test]
fn error_ends_a_stream_behind_the_records_before_it() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"\xff", b"c"]);
    let mut consumer = subscribed(&engine, &[]);
    let mut records = consumer.stream();
    assert_eq!(records.next().unwrap().unwrap().value().unwrap(), Some("a"));
    assert!(matches!(records.next(), Some(Err(Error::RecordDeserialization { offset: Offset(1), .. }))));
    assert!(records.next().is_none());
    drop(records);
    consumer.seek(&orders(), Offset(2)).unwrap();
    assert_eq!(consumer.stream().next().unwrap().unwrap().value().unwrap(), Some("c"));
    consumer.wakeup_handle().wakeup();
    assert!(matches!(consumer.stream().next(), Some(Err(Error::Wakeup))));
}
