//! Subscribing, polling, and what stands in the way of it.

use std::time::Duration;

use ottla::{
    Admin, Consumer, ConsumerRecords, Error, LeaderEpoch, Offset, OffsetAndMetadata, Timestamp, TopicPartition,
};

use super::{TextConsumer, append, committed, consumer, create, engine, orders, poll, subscribed};

#[test]
fn c1_subscribing_and_assigning_exclude_each_other() {
    let engine = engine(&[("orders", 2)]);
    let mut consumer = consumer(&engine, &[("group.id", "billing")]);
    consumer.subscribe(["orders"]).unwrap();
    assert!(matches!(consumer.assign([orders()]), Err(Error::IllegalState { .. })));
    assert_eq!(consumer.subscription(), ["orders"]);
    consumer.unsubscribe().unwrap();
    consumer.assign([orders()]).unwrap();
    assert!(matches!(consumer.subscribe(["orders"]), Err(Error::IllegalState { .. })));
    assert_eq!(consumer.assignment(), [orders()]);
    consumer.assign([]).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    poll(&mut consumer).unwrap();
    assert_eq!(consumer.assignment().len(), 2);
}

#[test]
fn c2_poll_without_subscription_is_illegal() {
    let engine = engine(&[("orders", 1)]);
    let mut consumer = consumer(&engine, &[("group.id", "billing")]);
    assert!(matches!(poll(&mut consumer), Err(Error::IllegalState { .. })));
    consumer.subscribe(["orders"]).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [0i64; 0]);
    consumer.subscribe([""; 0]).unwrap();
    assert!(matches!(poll(&mut consumer), Err(Error::IllegalState { .. })));
}

#[test]
fn c5_without_a_committed_offset_the_policy_says_where_to_begin() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let begin = |policy| {
        let mut consumer = consumer(&engine, &[("auto.offset.reset", policy)]);
        consumer.assign([orders()]).unwrap();
        (consumer.position(&orders()), poll(&mut consumer))
    };
    assert_eq!(begin("earliest").0.unwrap(), Offset(0));
    assert_eq!(begin("earliest").1.unwrap(), [0, 1]);
    assert_eq!(begin("latest").0.unwrap(), Offset(2));
    assert_eq!(begin("latest").1.unwrap(), [0i64; 0]);
    assert!(matches!(begin("none").0, Err(Error::NoOffsetForPartition { .. })));
    assert!(matches!(begin("none").1, Err(Error::NoOffsetForPartition { .. })));
}

#[test]
fn c6_position_out_of_range_is_reset_or_an_error() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let read_at_9 = |policy| {
        let mut consumer = consumer(&engine, &[("auto.offset.reset", policy)]);
        consumer.assign([orders()]).unwrap();
        consumer.seek(&orders(), Offset(9)).unwrap();
        (poll(&mut consumer), poll(&mut consumer), consumer.position(&orders()).unwrap())
    };
    assert_eq!(read_at_9("earliest").0.unwrap(), [0, 1]);
    assert_eq!(read_at_9("latest").2, Offset(2));
    let (first, second, position) = read_at_9("none");
    assert!(matches!(first, Err(Error::OffsetOutOfRange { requested: Offset(9), .. })));
    assert!(matches!(second, Err(Error::OffsetOutOfRange { requested: Offset(9), .. })));
    assert_eq!(position, Offset(9));
}

#[test]
fn c7_poll_returns_at_most_max_poll_records_and_positions_follow() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b", b"c"]);
    let mut consumer = subscribed(&engine, &[("max.poll.records", "2")]);
    assert_eq!(poll(&mut consumer).unwrap(), [0, 1]);
    assert_eq!(consumer.position(&orders()).unwrap(), Offset(2));
    assert_eq!(poll(&mut consumer).unwrap(), [2]);
    assert_eq!(consumer.position(&orders()).unwrap(), Offset(3));
}

#[test]
fn c8_seek_drops_what_is_buffered() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b", b"c", b"d"]);
    let mut consumer = subscribed(&engine, &[("max.poll.records", "1")]);
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    consumer.seek(&orders(), Offset(3)).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [3]);
    consumer.seek(&orders(), Offset(1)).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [1]);
}

#[test]
fn c9_seek_to_a_negative_offset_or_of_an_unassigned_partition_is_refused() {
    let engine = engine(&[("orders", 1)]);
    let mut consumer = consumer(&engine, &[]);
    assert!(matches!(consumer.seek(&orders(), Offset(-1)), Err(Error::IllegalArgument { .. })));
    assert!(matches!(consumer.seek(&orders(), Offset(0)), Err(Error::IllegalState { .. })));
    assert!(matches!(consumer.position(&orders()), Err(Error::IllegalState { .. })));
}

#[test]
fn c10_paused_partition_returns_nothing_until_resumed() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let mut consumer = subscribed(&engine, &[("max.poll.records", "1")]);
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    consumer.pause([&orders()]).unwrap();
    assert_eq!(consumer.paused(), [orders()]);
    assert_eq!(poll(&mut consumer).unwrap(), [0i64; 0]);
    consumer.resume([&orders()]).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [1]);
    let other = TopicPartition::new("orders", 7);
    assert!(matches!(consumer.pause([&orders(), &other]), Err(Error::IllegalState { .. })));
    assert_eq!(consumer.paused(), []);
}

#[test]
fn c12_record_that_cannot_be_deserialized_is_an_error_until_seek() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"\xff", b"c"]);
    let mut consumer = subscribed(&engine, &[]);
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    for _ in 0..2 {
        let error = poll(&mut consumer).unwrap_err();
        assert!(matches!(error, Error::RecordDeserialization { offset: Offset(1), .. }), "{error}");
        assert_eq!(consumer.position(&orders()).unwrap(), Offset(1));
    }
    consumer.seek(&orders(), Offset(2)).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [2]);
}

#[test]
fn c19_auto_commit_covers_what_earlier_polls_returned() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a"]);
    let mut consumer = subscribed(&engine, &[("auto.commit.interval.ms", "0"), ("max.poll.records", "1")]);
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    assert_eq!(committed(&consumer), None);
    append(&engine, "orders", 0, &[b"b"]);
    assert_eq!(poll(&mut consumer).unwrap(), [1]);
    assert_eq!(committed(&consumer), Some(1));
}

#[test]
fn auto_commit_becomes_due_while_poll_waits() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a"]);
    let mut consumer = subscribed(&engine, &[("auto.commit.interval.ms", "20")]);
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    assert!(consumer.poll(Duration::from_millis(60)).unwrap().is_empty());
    assert_eq!(committed(&consumer), Some(1));
}

#[test]
fn c21_close_commits_what_the_last_poll_returned() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let mut consumer = subscribed(&engine, &[]);
    assert_eq!(poll(&mut consumer).unwrap(), [0, 1]);
    consumer.close().unwrap();
    consumer.close().unwrap();
    assert!(matches!(poll(&mut consumer), Err(Error::Closed { what: "consumer" })));
    append(&engine, "orders", 0, &[b"c"]);
    assert_eq!(poll(&mut subscribed(&engine, &[])).unwrap(), [2]); // and its drop commits
    assert_eq!(committed(&subscribed(&engine, &[])), Some(3));
}

#[test]
fn close_without_auto_commit_commits_nothing() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a"]);
    let mut consumer = subscribed(&engine, &[("enable.auto.commit", "false")]);
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    consumer.close().unwrap();
    assert_eq!(poll(&mut subscribed(&engine, &[])).unwrap(), [0]);
}

#[test]
fn c26_metadata_comes_back_and_has_a_limit() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let mut consumer = subscribed(&engine, &[]);
    let noted = |metadata: &str| [(orders(), OffsetAndMetadata::new(Offset(1)).with_metadata(metadata))];
    consumer.commit_sync_offsets(noted("shift 2")).unwrap();
    let committed = consumer.committed(&orders()).unwrap().unwrap();
    assert_eq!((committed.offset, committed.metadata.as_str()), (Offset(1), "shift 2"));
    assert_eq!(committed.leader_epoch, LeaderEpoch(0));
    consumer.commit_sync_offsets([(orders(), Offset(2).into())]).unwrap();
    assert_eq!(consumer.committed(&orders()).unwrap().unwrap().metadata, "");
    consumer.commit_sync_offsets(noted(&"m".repeat(4096))).unwrap();
    let refused = consumer.commit_sync_offsets(noted(&"m".repeat(4097))).unwrap_err();
    assert!(matches!(refused, Error::OffsetMetadataTooLarge { size: 4097, limit: 4096, .. }), "{refused}");
    let negative = consumer.commit_sync_offsets([(orders(), Offset(-1).into())]);
    assert!(matches!(negative, Err(Error::IllegalArgument { .. })));
}

#[test]
fn c27_without_a_group_assigning_works_and_committing_does_not() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a"]);
    let mut consumer = consumer(&engine, &[]);
    consumer.assign([orders()]).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    assert!(matches!(consumer.commit_sync(), Err(Error::InvalidGroupId { .. })));
    assert!(matches!(consumer.commit_sync_offsets([]), Err(Error::InvalidGroupId { .. })));
    assert!(matches!(consumer.committed(&orders()), Err(Error::InvalidGroupId { .. })));
    consumer.unsubscribe().unwrap();
    assert!(matches!(consumer.subscribe(["orders"]), Err(Error::InvalidGroupId { .. })));
}

#[test]
fn c36_topic_no_longer_subscribed_is_let_go_with_its_buffer() {
    let engine = engine(&[("orders", 1), ("refunds", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    append(&engine, "refunds", 0, &[b"x", b"y"]);
    let mut consumer = consumer(&engine, &[("group.id", "billing"), ("max.poll.records", "1")]);
    consumer.subscribe(["orders", "refunds"]).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    consumer.subscribe(["refunds"]).unwrap();
    let records = consumer.poll(Duration::ZERO).unwrap();
    assert_eq!(records.partitions().collect::<Vec<_>>(), [&TopicPartition::new("refunds", 0)]);
    assert_eq!(committed(&consumer), Some(1)); // before it was let go
    consumer.subscribe(["orders"]).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [1]);
}

#[test]
fn topic_that_does_not_exist_is_refused_and_nothing_changes() {
    let engine = engine(&[("orders", 1)]);
    let mut consumer = subscribed(&engine, &[]);
    let refused = consumer.subscribe(["orders", "nothing"]).unwrap_err();
    assert!(matches!(refused, Error::UnknownTopicOrPartition { .. }), "{refused}");
    assert_eq!(consumer.subscription(), ["orders"]);
    assert!(matches!(consumer.subscribe([" "]), Err(Error::IllegalArgument { .. })));
    consumer.unsubscribe().unwrap();
    let refused = consumer.assign([TopicPartition::new("orders", 1)]).unwrap_err();
    assert!(matches!(refused, Error::UnknownTopicOrPartition { .. }), "{refused}");
}

#[test] // R018
fn topic_created_anew_under_an_assigned_partition_is_an_error_until_it_is_assigned_again() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let mut consumer = consumer(&engine, &[("group.id", "billing")]);
    consumer.assign([orders()]).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [0, 1]);
    consumer.commit_sync().unwrap();
    Admin::new(&engine).delete_topic("orders").unwrap();
    assert!(matches!(poll(&mut consumer), Err(Error::UnknownTopicId { .. })));
    create(&engine, "orders", 1);
    append(&engine, "orders", 0, &[b"c"]);
    assert!(matches!(poll(&mut consumer), Err(Error::UnknownTopicId { .. })));
    let stale = consumer.commit_sync_offsets([(orders(), Offset(2).into())]);
    assert!(matches!(stale, Err(Error::UnknownTopicId { .. })));
    consumer.commit_sync().unwrap(); // of nothing
    assert_eq!(committed(&consumer), None);
    consumer.assign([orders()]).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    consumer.close().unwrap();
    assert_eq!(committed(&subscribed(&engine, &[])), Some(1));
}

#[test] // R018
fn topic_created_anew_under_a_subscription_is_read_from_its_beginning() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let mut consumer = subscribed(&engine, &[]);
    assert_eq!(poll(&mut consumer).unwrap(), [0, 1]);
    consumer.commit_sync().unwrap();
    Admin::new(&engine).delete_topic("orders").unwrap();
    let stale = consumer.commit_sync_offsets([(orders(), Offset(2).into())]);
    assert!(stale.is_err());
    assert!(poll(&mut consumer).unwrap().is_empty());
    assert_eq!(consumer.assignment(), []);
    create(&engine, "orders", 1);
    append(&engine, "orders", 0, &[b"c"]);
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    consumer.close().unwrap();
    assert_eq!(committed(&subscribed(&engine, &[])), Some(1));
}

#[test]
fn records_outlive_consumer_and_engine() {
    let engine = engine(&[("orders", 2)]);
    append(&engine, "orders", 1, &[b"a", b"b"]);
    append(&engine, "orders", 0, &[b"c"]);
    let mut consumer = subscribed(&engine, &[]);
    let records = consumer.poll(Duration::ZERO).unwrap();
    drop(consumer);
    engine.close().unwrap();
    drop(engine);
    assert_eq!(records.len(), 3);
    assert_eq!(records.iter().len(), 3);
    let values: Vec<_> = records.iter().map(|record| record.value().unwrap().unwrap()).collect();
    assert_eq!(values, ["c", "a", "b"]);
    let last = TopicPartition::new("orders", 1);
    assert_eq!(records.partitions().count(), 2);
    let offsets: Vec<_> = records.partition(&last).map(|record| record.offset()).collect();
    assert_eq!(offsets, [Offset(0), Offset(1)]);
    assert_eq!(records.partition(&TopicPartition::new("orders", 2)).count(), 0);
    let record = records.iter().next().unwrap();
    assert_eq!((record.topic(), record.partition(), record.timestamp()), ("orders", 0, Timestamp(7)));
    assert_eq!((record.key().unwrap(), record.key_bytes()), (Some("k"), Some(&b"k"[..])));
    assert_eq!(record.headers().iter().collect::<Vec<_>>(), [("h", Some(&b"1"[..]))]);
}

#[test]
fn poll_of_a_closed_engine_says_so() {
    let engine = engine(&[("orders", 1)]);
    let mut consumer = subscribed(&engine, &[]);
    assert_eq!(poll(&mut consumer).unwrap(), [0i64; 0]);
    engine.close().unwrap();
    assert!(matches!(poll(&mut consumer), Err(Error::Closed { what: "engine" })));
    assert!(matches!(TextConsumer::new(&engine, "billing"), Err(Error::Closed { what: "engine" })));
}

#[test]
fn consumer_can_be_sent_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Consumer<str, [u8]>>();
    is_send::<ConsumerRecords<str, [u8]>>();
}
