//! Seeking, looking up, lag.

use std::time::Duration;

use ottla::{
    Admin, Compression, Engine, Error, MemoryDisk, Offset, OffsetSpec, Producer, ProducerConfig, ProducerRecord,
    RebalanceListener, Timestamp, TopicPartition,
};

use super::{append, consumer, engine, engine_on, orders, poll, subscribed};

fn send_at(engine: &Engine, partition: u32, times: &[i64]) {
    let producer = Producer::<str, str>::new(engine).unwrap();
    for time in times {
        let record = ProducerRecord::to("orders").partition(partition).value("x").timestamp(Timestamp(*time));
        producer.send(record).unwrap().wait().unwrap();
    }
}

#[test]
fn seeking_to_an_end_is_found_out_by_the_next_poll() {
    let engine = engine(&[("orders", 2)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let mut consumer = consumer(&engine, &[]);
    let other = TopicPartition::new("orders", 1);
    consumer.assign([orders(), other.clone()]).unwrap();
    consumer.seek_to_end([]).unwrap();
    append(&engine, "orders", 0, &[b"c"]); // before anybody looked where the end is
    assert_eq!(consumer.position(&orders()).unwrap(), Offset(3));
    consumer.seek_to_beginning([&orders()]).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [0, 1, 2]);
    assert_eq!(consumer.position(&other).unwrap(), Offset(0));

    let unassigned = TopicPartition::new("orders", 7);
    assert!(matches!(consumer.seek_to_end([&orders(), &unassigned]), Err(Error::IllegalState { .. })));
    consumer.seek(&orders(), Offset(1)).unwrap(); // takes the place of a seek that nobody followed
    consumer.seek_to_end([&orders()]).unwrap();
    consumer.seek(&orders(), Offset(1)).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [1, 2]);
}

#[test]
fn seeking_to_a_time_goes_to_the_first_record_young_enough_or_the_end() {
    let engine = engine(&[("orders", 2)]);
    send_at(&engine, 0, &[1000, 3000, 2000, 4000]);
    send_at(&engine, 1, &[500]);
    let mut consumer = consumer(&engine, &[]);
    let other = TopicPartition::new("orders", 1);
    consumer.assign([orders(), other.clone()]).unwrap();
    consumer.seek_to_time([], Timestamp(2000)).unwrap();
    assert_eq!(consumer.position(&orders()).unwrap(), Offset(1), "the first by offset");
    assert_eq!(consumer.position(&other).unwrap(), Offset(1), "none is young enough");
    assert_eq!(poll(&mut consumer).unwrap(), [1, 2, 3]);
    assert!(matches!(consumer.seek_to_time([], Timestamp(-1)), Err(Error::IllegalArgument { .. })));
    consumer.seek_to_time([&other], Timestamp(0)).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
}

#[test]
fn c16_negative_time_is_refused_and_a_late_one_finds_nothing() {
    let engine = engine(&[("orders", 2)]);
    send_at(&engine, 0, &[1000, 2000]);
    let consumer = consumer(&engine, &[]);
    let other = TopicPartition::new("orders", 1);
    let times = [(orders(), Timestamp(1001)), (other.clone(), Timestamp(0))];
    let found = consumer.offsets_for_times(times).unwrap();
    let first = found[&orders()].unwrap();
    assert_eq!((first.offset, first.timestamp), (Offset(1), Timestamp(2000)));
    assert_eq!(found[&other], None);
    assert_eq!(consumer.offsets_for_times([(orders(), Timestamp(2001))]).unwrap()[&orders()], None);
    let negative = consumer.offsets_for_times([(orders(), Timestamp(-1))]);
    assert!(matches!(negative, Err(Error::IllegalArgument { .. })));
    let unknown = consumer.offsets_for_times([(("nothing", 0).into(), Timestamp(0))]);
    assert!(matches!(unknown, Err(Error::UnknownTopicOrPartition { .. })));
}

#[test]
fn ends_of_partitions_are_known_without_an_assignment() {
    let engine = engine(&[("orders", 2)]);
    append(&engine, "orders", 1, &[b"a", b"b"]);
    let consumer = consumer(&engine, &[]);
    let partitions = [orders(), TopicPartition::new("orders", 1)];
    let ends = consumer.end_offsets(&partitions).unwrap();
    assert_eq!(ends.into_values().collect::<Vec<_>>(), [Offset(0), Offset(2)]);
    let begins = consumer.beginning_offsets(&partitions).unwrap();
    assert_eq!(begins.into_values().collect::<Vec<_>>(), [Offset(0), Offset(0)]);
    let unknown = TopicPartition::new("orders", 2);
    assert!(matches!(consumer.end_offsets([&unknown]), Err(Error::UnknownTopicOrPartition { .. })));
}

#[test]
fn administrator_lists_the_offsets_that_a_consumer_sees() {
    let engine = engine(&[("orders", 1)]);
    send_at(&engine, 0, &[1000, 2000]);
    let admin = Admin::new(&engine);
    let at = |spec| admin.list_offsets([(orders(), spec)]).map(|mut listed| listed.remove(&orders()).unwrap());
    let shown = |spec| at(spec).unwrap().map(|at| (at.offset.0, at.timestamp.0, at.leader_epoch.0));
    assert_eq!(shown(OffsetSpec::Earliest), Some((0, -1, 0)));
    assert_eq!(shown(OffsetSpec::Latest), Some((2, -1, 0)));
    assert_eq!(shown(OffsetSpec::Timestamp(Timestamp(1500))), Some((1, 2000, 0)));
    assert_eq!(shown(OffsetSpec::Timestamp(Timestamp(2500))), None);
    assert!(matches!(at(OffsetSpec::Timestamp(Timestamp(-1))), Err(Error::IllegalArgument { .. })));
    let unknown = admin.list_offsets([(("orders", 7).into(), OffsetSpec::Latest)]);
    assert!(matches!(unknown, Err(Error::UnknownTopicOrPartition { .. })));
}

#[test]
fn c5_by_duration_begins_at_the_first_record_young_enough() {
    let disk = MemoryDisk::stepped(5);
    let engine = engine_on(&disk, &[("orders", 2)]);
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let sent = producer.send(ProducerRecord::to("orders").partition(1).value("now")).unwrap().wait().unwrap();
    let now = sent.timestamp().0;
    let hour = 3_600_000;
    send_at(&engine, 0, &[now - 3 * hour, now - hour, now]);
    send_at(&engine, 1, &[now]);
    let begins_at = |policy: &str| {
        let mut consumer = consumer(&engine, &[("auto.offset.reset", policy)]);
        consumer.assign([orders()]).unwrap();
        consumer.position(&orders()).unwrap().0
    };
    assert_eq!(begins_at("by_duration:PT2H"), 1);
    assert_eq!(begins_at("by_duration:P1D"), 0);
    assert_eq!(begins_at("by_duration:PT30M"), 2);
    let mut consumer = consumer(&engine, &[("auto.offset.reset", "by_duration:PT2H")]);
    consumer.assign([orders()]).unwrap();
    consumer.seek(&orders(), Offset(99)).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [1, 2], "out of range, it is the policy too");
    assert_eq!(consumer.metrics().get("position-reset-total"), Some(1.0));
}

#[test]
fn by_duration_without_a_record_young_enough_is_the_end() {
    let engine = engine(&[("orders", 1)]);
    send_at(&engine, 0, &[1000, 2000]);
    let mut consumer = consumer(&engine, &[("auto.offset.reset", "by_duration:PT1S")]);
    consumer.assign([orders()]).unwrap();
    assert_eq!(consumer.position(&orders()).unwrap(), Offset(2));
}

#[test]
fn c11_pause_lasts_as_long_as_the_partition_is_kept() {
    let engine = engine(&[("orders", 2)]);
    append(&engine, "orders", 0, &[b"a"]);
    let mut consumer = consumer(&engine, &[]);
    let other = TopicPartition::new("orders", 1);
    consumer.assign([orders()]).unwrap();
    consumer.pause([&orders()]).unwrap();
    consumer.assign([orders(), other.clone()]).unwrap();
    assert_eq!(consumer.paused(), [orders()]);
    consumer.seek(&orders(), Offset(0)).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [0i64; 0]);
    consumer.assign([other]).unwrap();
    consumer.assign([orders()]).unwrap();
    assert_eq!(consumer.paused(), []);
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
}

#[test]
fn c18_lag_is_unknown_before_a_position_is() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b", b"c"]);
    let mut consumer = subscribed(&engine, &[("max.poll.records", "1")]);
    assert!(matches!(consumer.current_lag(&orders()), Err(Error::IllegalState { .. })), "not assigned yet");
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    assert_eq!(consumer.current_lag(&orders()).unwrap(), Some(2));
    append(&engine, "orders", 0, &[b"d"]);
    assert_eq!(consumer.current_lag(&orders()).unwrap(), Some(3), "known without a fetch");
    consumer.seek_to_end([]).unwrap();
    assert_eq!(consumer.current_lag(&orders()).unwrap(), None);
    consumer.seek(&orders(), Offset(9)).unwrap();
    assert_eq!(consumer.current_lag(&orders()).unwrap(), Some(0));
}

#[test]
fn lag_in_bytes_is_what_is_left_of_the_files() {
    let disk = MemoryDisk::stepped(5);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    let small = ottla::NewTopic::new("orders").config("segment.bytes", "600").config("index.interval.bytes", "1");
    Admin::new(&engine).create_topic(small).unwrap();
    for compression in [Compression::None, Compression::Lz4] {
        let config = ProducerConfig::builder().compression(compression).build();
        let Ok(config) = config else { continue };
        let Ok(producer) = Producer::<str, str>::with_config(&engine, config) else { continue };
        for time in 0..20 {
            let value: &str = &"x".repeat(100);
            let record = ProducerRecord::to("orders").value(value).timestamp(Timestamp(1000 + time));
            producer.send(record).unwrap().wait().unwrap();
        }
    }
    let mut consumer = consumer(&engine, &[]);
    consumer.assign([orders()]).unwrap();
    let described = Admin::new(&engine).describe_topic("orders").unwrap().partitions.remove(0);
    assert!(described.segments > 3, "{described:?}");
    let end = engine.end_offset(&orders()).unwrap().0;
    let mut left = described.size_bytes;
    let mut before = None;
    for offset in 0..=end {
        consumer.seek(&orders(), Offset(offset)).unwrap();
        let lag = consumer.lag(&orders()).unwrap().unwrap();
        assert_eq!(lag.records, u64::try_from(end - offset).unwrap());
        assert!(before.is_none_or(|before| lag.bytes < before), "{offset}: {lag:?}");
        if offset == 0 || offset == end {
            assert_eq!(lag.bytes, left, "{offset}");
            left = 0;
        }
        before = Some(lag.bytes);
    }
    consumer.seek(&orders(), Offset(1)).unwrap();
    let older = consumer.lag(&orders()).unwrap().unwrap().time;
    consumer.seek(&orders(), Offset(3)).unwrap();
    let younger = consumer.lag(&orders()).unwrap().unwrap().time;
    assert_eq!(older, younger + Duration::from_millis(2));
}

#[test]
fn c38_lag_is_a_metric_until_the_partition_is_unassigned() {
    let engine = engine(&[("orders", 1), ("refunds", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b", b"c"]);
    let mut consumer = consumer(&engine, &[("max.poll.records", "1"), ("client.id", "till")]);
    consumer.assign([orders()]).unwrap();
    assert_eq!(consumer.metrics().of_partition("records-lag", &orders()), None, "there is no position");
    assert_eq!(consumer.metrics().get("last-poll-seconds-ago"), Some(-1.0));
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    let metrics = consumer.metrics();
    assert_eq!(metrics.of_partition("records-lag", &orders()), Some(2.0));
    assert_eq!(metrics.of_partition("records-lead", &orders()), Some(1.0));
    assert_eq!(metrics.get("records-lag-max"), Some(2.0));
    assert_eq!(metrics.get("records-consumed-total"), Some(1.0));
    assert_eq!(metrics.of_topic("records-consumed-total", "orders"), Some(1.0));
    assert_eq!(metrics.get("fetch-total"), Some(1.0));
    assert!(metrics.get("fetch-size-avg").unwrap() > metrics.get("bytes-consumed-total").unwrap());
    assert_eq!(metrics.get("assigned-partitions"), Some(1.0));
    assert!(metrics.iter().all(|metric| metric.tag("client-id") == Some("till")));
    assert_eq!(poll(&mut consumer).unwrap(), [1]);
    let metrics = consumer.metrics();
    assert_eq!(metrics.get("fetch-total"), Some(1.0), "what was buffered was not fetched again");
    assert_eq!(metrics.of_partition("records-lag-avg", &orders()), Some(1.5));
    assert_eq!(metrics.of_partition("records-lead-min", &orders()), Some(1.0));

    consumer.assign([("refunds", 0).into()]).unwrap();
    let metrics = consumer.metrics();
    assert_eq!(metrics.of_partition("records-lag", &orders()), None);
    assert_eq!(metrics.of_topic("records-consumed-total", "orders"), Some(2.0), "totals stay");
}

#[test]
fn commits_are_metrics() {
    let engine = engine(&[("orders", 1)]);
    let mut consumer = subscribed(&engine, &[]);
    consumer.commit_sync_offsets([(orders(), Offset(0).into())]).unwrap();
    consumer.commit_async_offsets([(orders(), Offset(0).into())], |_, outcome| outcome.unwrap()).unwrap();
    consumer.commit_sync_offsets([]).unwrap();
    let metrics = consumer.metrics();
    assert_eq!(metrics.get("commit-total"), Some(2.0));
    assert!(metrics.get("commit-latency-max").unwrap() >= 0.0);
    assert!(metrics.get("commit-sync-time-ns-total").unwrap() > 0.0);
}

#[test]
fn rebalances_are_counted_and_their_listener_timed() {
    struct Nothing;
    impl RebalanceListener<str, str> for Nothing {}

    let engine = engine(&[("orders", 2)]);
    let mut first = consumer(&engine, &[("group.id", "billing")]);
    first.subscribe_with(["orders"], Nothing).unwrap();
    let metrics = first.metrics();
    assert_eq!((metrics.get("rebalance-total"), metrics.get("last-rebalance-seconds-ago")), (Some(0.0), Some(-1.0)));
    poll(&mut first).unwrap();
    poll(&mut first).unwrap();
    assert_eq!(first.metrics().get("rebalance-total"), Some(1.0));
    let mut second = subscribed(&engine, &[]);
    poll(&mut second).unwrap();
    poll(&mut first).unwrap();
    let metrics = first.metrics();
    assert_eq!((metrics.get("rebalance-total"), metrics.get("failed-rebalance-total")), (Some(2.0), Some(0.0)));
    assert_eq!(metrics.get("assigned-partitions"), Some(1.0));
    assert!(metrics.get("partition-revoked-latency-max").unwrap() >= 0.0);
    assert!(metrics.get("rebalance-latency-total") >= metrics.get("partition-assigned-latency-max"));
    assert!(metrics.get("partition-lost-latency-avg").unwrap().is_nan());
    let mut refused = subscribed(&engine, &[("partition.assignment.strategy", "sticky")]);
    assert!(matches!(poll(&mut refused), Err(Error::InconsistentGroupProtocol { .. })));
    assert_eq!(refused.metrics().get("failed-rebalance-total"), Some(1.0));
}
