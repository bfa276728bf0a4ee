//! What an administrator of an engine in memory sees.

use std::collections::BTreeMap;

use super::*;
use crate::admin::export::export_disk;
use crate::admin::repair::repair_disk;
use crate::coordinator::group::CommitEntry;
use crate::error::{Error, Result};
use crate::io::MemoryDisk;
use crate::record::{BatchBuilder, ProducerStamp};
use crate::types::{Acks, LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};

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
    let rows: Vec<_> = billing
        .partitions
        .iter()
        .map(|row| (row.partition.partition(), row.committed, row.lag.map(|lag| lag.records)))
        .collect();
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
    let rows: Vec<_> =
        rows.iter().map(|row| (row.partition.to_string(), row.committed, row.lag.map(|lag| lag.records))).collect();
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

const FIRST: &str = "log/t-0/00000000000000000000.log";

/// A directory that was closed, or not, with damage of all kinds in it, and what of `t-0` cannot be read.
fn damaged(is_closed: bool) -> (MemoryDisk, Vec<i64>) {
    let disk = MemoryDisk::stepped(7);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    let topic = NewTopic::new("t").config("segment.bytes", "350").config("index.interval.bytes", "0");
    let id = Admin::new(&engine).create_topic(topic).unwrap().id;
    fill(&engine, 14);
    commit(&engine, id, 0, 5);
    if is_closed {
        engine.close().unwrap();
    }
    disk.kill();
    drop(engine);
    let len = |name: &str| disk.files().into_iter().find(|(path, _)| path.ends_with(name)).map(|(_, len)| len).unwrap();
    disk.flip_bit(FIRST, 70 + 61 + 9, 3).unwrap(); // in the third batch
    disk.flip_bit("catalog", len("catalog") - 1, 0).unwrap();
    disk.flip_bit("groups/billing.offsets", 60, 1).unwrap(); // one copy of the header
    disk.flip_bit("groups/billing.offsets", 124, 1).unwrap(); // and the other one
    disk.flip_bit("positions", 3, 1).unwrap();
    disk.flip_bit("log/meta.properties", 2, 1).unwrap();
    disk.remove("log/t-0/leader-epoch-checkpoint").unwrap();
    (disk, vec![2])
}

/// Appends `count` batches of a record to `t-0`, each durable.
fn fill(engine: &Engine, count: i64) {
    let partition = engine.topic("t").unwrap().partition(0).unwrap().clone();
    for number in 0..count {
        let mut builder = BatchBuilder::new(Vec::new());
        builder.append(Timestamp(1_700_000_000_000 + number), None, Some(number.to_string().as_bytes()), &[]);
        let mut batch = builder.seal(ProducerStamp::NONE);
        let mut results = Vec::new();
        partition.append(&mut [(&mut batch, Acks::All)], engine.now(), &mut results);
        assert_eq!(results.pop().unwrap().unwrap(), Offset(number));
        let work = partition.sync_work().unwrap();
        work.targets.iter().for_each(|target| target.sync().unwrap());
        partition.finish_sync(&work).unwrap();
    }
}

/// The offsets of `t-0` that can be read, without an error at any of them.
fn read_all(engine: &Engine) -> Result<Vec<i64>> {
    let partition = engine.topic("t")?.partition(0)?.clone();
    let (mut found, mut from, mut place) = (Vec::new(), Offset::ZERO, None);
    while from < partition.high_watermark() {
        for batch in partition.read(&mut place, from, 1 << 20)? {
            from = batch.header().next_offset();
            found.extend(batch.records().unwrap().map(|record| record.unwrap().offset().0));
        }
    }
    Ok(found)
}

/// Cuts the power at each step of a repair in turn, keeping what `crash` keeps, and repairs again.
fn check_interrupted(is_closed: bool, crash: impl Fn(&MemoryDisk, u64)) {
    let options = RepairOptions::default().execute(true);
    for step in 0.. {
        let (disk, lost) = damaged(is_closed);
        disk.fail_from(disk.steps() + step);
        let outcome = repair_disk(&disk.disk(), &options);
        crash(&disk, step);
        let again = repair_disk(&disk.disk(), &options).unwrap_or_else(|error| panic!("step {step}: {error}"));
        assert_eq!(again.remaining().count(), 0, "step {step}: {:?}", again.remaining().collect::<Vec<_>>());
        let engine = Engine::builder().open_memory(&disk).unwrap();
        assert!(engine.report().is_empty(), "step {step}: {:?}", engine.report());
        let expected: Vec<i64> = (0..14).filter(|offset| !lost.contains(offset)).collect();
        assert_eq!(read_all(&engine).unwrap(), expected, "step {step}");
        let id = engine.topic("t").unwrap().id();
        assert_eq!(engine.group("billing").unwrap().committed(id, 0), None, "both copies of the header were damaged");
        engine.close().unwrap();
        let copies = disk.files().into_iter().filter(|(path, _)| path.starts_with("quarantine")).count();
        assert!(copies >= 4, "step {step}: {copies}");
        if outcome.is_ok() {
            assert!(step > 50, "{step} steps");
            break;
        }
    }
}

#[test]
fn repair_that_loses_power_at_any_step_is_finished_by_the_next_one() {
    for is_closed in [true, false] {
        check_interrupted(is_closed, |disk, _| disk.power_cut());
    }
}

#[test]
fn repair_that_is_killed_at_any_step_is_finished_by_the_next_one() {
    for is_closed in [true, false] {
        check_interrupted(is_closed, |disk, _| disk.kill());
    }
}

#[test]
fn repair_that_loses_any_part_of_what_was_not_synced_is_finished_by_the_next_one() {
    for is_closed in [true, false] {
        check_interrupted(is_closed, MemoryDisk::power_cut_keeping);
    }
}

/// The files below `out` on a disk, but for what is made of random bytes.
fn exported(disk: &MemoryDisk) -> Vec<(std::path::PathBuf, u64)> {
    let files = disk.files().into_iter().filter(|(path, _)| path.starts_with("out"));
    files.collect()
}

#[test]
fn export_that_the_power_ends_anywhere_leaves_no_target_or_all_of_it() {
    let written = || {
        let disk = MemoryDisk::stepped(7);
        let engine = Engine::builder().open_memory(&disk).unwrap();
        let made = Admin::new(&engine).create_topic(NewTopic::new("t").config("segment.bytes", "200")).unwrap();
        fill(&engine, 5);
        commit(&engine, made.id, 0, 2);
        engine.close().unwrap();
        disk
    };
    let export = |disk: &MemoryDisk| {
        let disk = disk.disk();
        export_disk(&disk, &disk.root(), "out", &ExportOptions::default())
    };
    let whole = written();
    let steps = whole.steps();
    export(&whole).unwrap();
    let expected = exported(&whole);
    assert!(expected.len() > 10);
    for step in steps.. {
        let disk = written();
        disk.fail_from(step);
        let outcome = export(&disk);
        disk.power_cut_keeping(step);
        let found = exported(&disk);
        assert!(found.is_empty() || found == expected, "{step}: {found:?}");
        assert!(outcome.is_err() || found == expected, "{step}");
        if outcome.is_ok() {
            break;
        }
        if found.is_empty() {
            export(&disk).unwrap();
            assert_eq!(exported(&disk), expected, "{step}");
        }
    }
}
