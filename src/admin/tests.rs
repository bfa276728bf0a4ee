//! What an administrator of an engine in memory sees.

use std::collections::BTreeMap;

use super::*;
use crate::coordinator::group::CommitEntry;
use crate::error::Error;
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};

fn commit(engine: &Engine, topic_id: TopicId, partition: u32, offset: i64) {
    let entry = CommitEntry {
        topic_id,
        partition,
        offset: Offset(offset),
        leader_epoch: LeaderEpoch::NONE,
        metadata: "note".to_owned(),
        commit_timestamp: Timestamp(1),
    };
    engine.commit(&engine.group("billing").unwrap(), &[entry]).unwrap();
}

#[test]
fn topic_is_created_listed_described_and_deleted() {
    let engine = Engine::in_memory().unwrap();
    let admin = Admin::new(&engine);
    let made = admin.create_topic(NewTopic::new("orders").partitions(2).config("segment.bytes", "1048576")).unwrap();
    assert!(matches!(admin.create_topic(NewTopic::new("orders")), Err(Error::TopicAlreadyExists { .. })));
    let listed = admin.list_topics().unwrap();
    assert_eq!((listed[0].name.as_str(), listed[0].id, listed[0].partitions), ("orders", made.id, 2));
    let described = admin.describe_topic("orders").unwrap();
    assert_eq!(described.config, BTreeMap::from([("segment.bytes".to_owned(), "1048576".to_owned())]));
    let second = &described.partitions[1];
    assert_eq!(second.partition, TopicPartition::new("orders", 1));
    assert_eq!((second.log_start_offset, second.high_watermark), (Offset(0), Offset(0)));
    admin.delete_topic("orders").unwrap();
    assert!(matches!(admin.describe_topic("orders"), Err(Error::UnknownTopicOrPartition { .. })));
    assert!(matches!(admin.delete_topic("orders"), Err(Error::UnknownTopicOrPartition { .. })));
    assert_eq!(admin.list_topics().unwrap(), []);
}

#[test]
fn group_shows_lag_and_nothing_of_deleted_topics() {
    let engine = Engine::in_memory().unwrap();
    let admin = Admin::new(&engine);
    assert!(matches!(admin.describe_group("billing"), Err(Error::GroupIdNotFound { .. })));
    let orders = admin.create_topic(NewTopic::new("orders").partitions(2)).unwrap();
    let gone = admin.create_topic(NewTopic::new("gone")).unwrap();
    commit(&engine, orders.id, 1, 3);
    commit(&engine, orders.id, 0, 0);
    commit(&engine, gone.id, 0, 0);
    admin.delete_topic("gone").unwrap();
    assert_eq!(admin.list_groups().unwrap()[0].group, "billing");
    let billing = admin.describe_group("billing").unwrap();
    let rows: Vec<_> =
        billing.partitions.iter().map(|row| (row.partition.partition(), row.committed, row.lag)).collect();
    assert_eq!(rows, [(0, Some(Offset(0)), Some(0)), (1, Some(Offset(3)), Some(0))]);
    assert_eq!(billing.partitions[0].metadata, "note");
}

#[test]
fn group_shows_partitions_that_it_has_committed_nothing_for() {
    let engine = Engine::in_memory().unwrap();
    let admin = Admin::new(&engine);
    let orders = admin.create_topic(NewTopic::new("orders").partitions(3)).unwrap();
    admin.create_topic(NewTopic::new("clicks")).unwrap(); // the group has nothing to do with it
    commit(&engine, orders.id, 1, 0);
    let rows = admin.describe_group("billing").unwrap().partitions;
    let rows: Vec<_> = rows.iter().map(|row| (row.partition.to_string(), row.committed, row.lag)).collect();
    let none = |name: &str| (name.to_owned(), None, None);
    assert_eq!(rows, [none("orders-0"), ("orders-1".to_owned(), Some(Offset(0)), Some(0)), none("orders-2")]);
}

#[test]
fn name_that_no_group_has_is_refused_as_a_name() {
    let admin = Admin::new(&Engine::in_memory().unwrap());
    for name in ["", " ", &"X".repeat(200)] {
        let refused = admin.describe_group(name).unwrap_err();
        assert!(matches!(refused, Error::InvalidGroupId { .. }), "{refused}");
    }
}
