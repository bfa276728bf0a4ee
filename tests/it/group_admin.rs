//! What becomes of groups that nobody uses, and what an operator does with groups: lag, resets, deletion, expiry.

mod crashes;

use std::time::Duration;

use ottla::replay::Directory;
use ottla::{
    Admin, Consumer, ConsumerConfig, Engine, EngineConfig, Error, ErrorClass, GroupReset, MemoryDisk, NewTopic, Offset,
    OffsetAndMetadata, Producer, ProducerRecord, Timestamp, TopicPartition,
};

const MINUTE: Duration = Duration::from_secs(60);

/// An engine whose groups keep offsets for ten minutes, on a disk where time passes while somebody waits for it.
fn open(disk: &MemoryDisk) -> Engine {
    let config = EngineConfig::builder().offsets_retention_minutes(10);
    let config = config.offsets_retention_check_interval(Duration::from_secs(5)).build().unwrap();
    Engine::builder().config(config).open_memory(disk).unwrap()
}

/// The same with topics of two partitions.
fn opened(topics: &[&str]) -> (MemoryDisk, Engine) {
    let disk = MemoryDisk::stepped(7);
    let engine = open(&disk);
    for topic in topics {
        Admin::new(&engine).create_topic(NewTopic::new(*topic).partitions(2)).unwrap();
    }
    (disk, engine)
}

/// Lets time pass.
fn pass(engine: &Engine, time: Duration) {
    let admin = Admin::new(engine);
    if admin.describe_topic("clock").is_err() {
        admin.create_topic(NewTopic::new("clock")).unwrap();
    }
    let mut idle = Consumer::<str, str>::with_config(engine, ConsumerConfig::default()).unwrap();
    idle.assign([("clock", 0).into()]).unwrap();
    assert!(idle.poll(time).unwrap().is_empty());
}

fn send(engine: &Engine, partition: u32, count: i64) {
    let producer = Producer::<str, str>::new(engine).unwrap();
    for number in 0..count {
        let record =
            ProducerRecord::to("orders").partition(partition).value("paid").timestamp(Timestamp(1000 + number));
        producer.send(record).unwrap().wait().unwrap();
    }
}

fn consumer(engine: &Engine, group: &str) -> Consumer<str, str> {
    let config = ConsumerConfig::builder().group_id(Some(group.to_owned())).enable_auto_commit(false);
    let config = config.max_poll_interval(24 * 60 * MINUTE); // time passes here in which nobody polls
    Consumer::with_config(engine, config.build().unwrap()).unwrap()
}

/// Has a consumer become a member of its group, and read `orders`.
fn join(consumer: &mut Consumer<str, str>) {
    consumer.subscribe(["orders"]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
}

fn commit(engine: &Engine, group: &str, topic: &str, offset: i64) {
    let offset = ((topic, 0).into(), Offset(offset).into());
    Admin::new(engine).alter_group_offsets(group, [offset]).unwrap();
}

/// What a group has committed for partition 0 of a topic.
fn committed(engine: &Engine, group: &str, topic: &str) -> Option<i64> {
    let partition: TopicPartition = (topic, 0).into();
    let rows = Admin::new(engine).describe_group(group).ok()?.partitions;
    rows.into_iter().find(|row| row.partition == partition)?.committed.map(|offset| offset.0)
}

fn groups(engine: &Engine) -> Vec<String> {
    Admin::new(engine).list_groups().unwrap().into_iter().map(|listed| listed.group).collect()
}

/// The files of groups.
fn files(disk: &MemoryDisk) -> Vec<String> {
    let files = disk.files().into_iter().map(|(path, _)| path.to_string_lossy().into_owned());
    files.filter(|path| path.contains("groups/")).collect()
}

#[test]
fn g13_standalone_commit_is_taken_by_a_group_without_members() {
    let (_, engine) = opened(&["orders"]);
    let admin = Admin::new(&engine);
    let mut reading = consumer(&engine, "billing");
    assert_eq!(reading.committed(&("orders", 0).into()).unwrap(), None);
    commit(&engine, "billing", "orders", 3);
    assert_eq!(reading.committed(&("orders", 0).into()).unwrap().map(|at| at.offset), Some(Offset(3)));

    join(&mut reading);
    let offset = || [(("orders", 0).into(), OffsetAndMetadata::new(Offset(1)))];
    let refused = admin.alter_group_offsets("billing", offset()).unwrap_err();
    assert!(matches!(refused, Error::CommitFailed { .. }), "{refused}");
    assert!(matches!(consumer(&engine, "billing").commit_sync_offsets(offset()), Err(Error::CommitFailed { .. })));
    reading.close().unwrap();
    admin.alter_group_offsets("billing", offset()).unwrap();
    assert_eq!(committed(&engine, "billing", "orders"), Some(1));

    let long = OffsetAndMetadata::new(Offset(1)).with_metadata("x".repeat(5000));
    for (partition, offset) in
        [(("orders", 0), long), (("orders", 2), Offset(1).into()), (("orders", 0), Offset(-1).into())]
    {
        assert!(admin.alter_group_offsets("other", [(partition.into(), offset)]).is_err());
    }
    assert_eq!(groups(&engine), ["billing"], "nothing was committed for the other");
}

#[test]
fn g16_offsets_of_a_group_expire_when_it_has_been_empty_for_so_long_and_the_group_with_them() {
    let (disk, engine) = opened(&["orders"]);
    let mut member = consumer(&engine, "billing");
    join(&mut member);
    member.commit_sync_offsets([(("orders", 0).into(), Offset(3).into())]).unwrap();
    pass(&engine, 30 * MINUTE);
    assert_eq!(committed(&engine, "billing", "orders"), Some(3), "a member subscribes to it");
    member.close().unwrap();
    pass(&engine, 9 * MINUTE);
    assert_eq!(committed(&engine, "billing", "orders"), Some(3));
    assert!(!files(&disk).is_empty());
    pass(&engine, 2 * MINUTE);
    assert!(matches!(Admin::new(&engine).describe_group("billing"), Err(Error::GroupIdNotFound { .. })));
    assert_eq!(groups(&engine), [""; 0]);
    assert_eq!(files(&disk), [""; 0]);

    // A consumer that comes back is a new group.
    let mut late = consumer(&engine, "billing");
    join(&mut late);
    assert_eq!(late.committed(&("orders", 0).into()).unwrap(), None);
    late.commit_sync_offsets([(("orders", 0).into(), Offset(1).into())]).unwrap();
    late.close().unwrap();
    engine.close().unwrap();
    let engine = open(&disk);
    assert_eq!(committed(&engine, "billing", "orders"), Some(1));
}

#[test]
fn g16_offsets_of_topics_that_a_member_subscribes_to_never_expire() {
    let (_, engine) = opened(&["orders", "refunds"]);
    commit(&engine, "billing", "orders", 3);
    commit(&engine, "billing", "refunds", 4);
    let mut member = consumer(&engine, "billing");
    join(&mut member);
    for _ in 0..20 {
        assert!(member.poll(MINUTE).unwrap().is_empty());
    }
    assert_eq!(committed(&engine, "billing", "orders"), Some(3));
    assert_eq!(committed(&engine, "billing", "refunds"), None);
    assert_eq!(groups(&engine), ["billing"]);
}

#[test]
fn g16_offsets_of_a_group_that_never_had_members_expire_by_when_they_were_committed() {
    let (_, engine) = opened(&["orders", "refunds"]);
    commit(&engine, "billing", "orders", 3);
    pass(&engine, 6 * MINUTE);
    commit(&engine, "billing", "refunds", 4);
    pass(&engine, 5 * MINUTE);
    assert_eq!((committed(&engine, "billing", "orders"), committed(&engine, "billing", "refunds")), (None, Some(4)));
    for _ in 0..3 {
        pass(&engine, 6 * MINUTE);
        commit(&engine, "billing", "refunds", 5);
    }
    assert_eq!(committed(&engine, "billing", "refunds"), Some(5), "it is in use");
    pass(&engine, 11 * MINUTE);
    assert_eq!(groups(&engine), [""; 0]);
}

#[test]
fn offsets_stay_for_ever_unless_somebody_says_how_long() {
    let disk = MemoryDisk::stepped(7);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    Admin::new(&engine).create_topic(NewTopic::new("orders")).unwrap();
    commit(&engine, "billing", "orders", 3);
    pass(&engine, 60 * 24 * 60 * MINUTE);
    assert_eq!(committed(&engine, "billing", "orders"), Some(3));
}

#[test]
fn time_without_members_is_counted_over_a_clean_shutdown() {
    let (disk, engine) = opened(&["orders"]);
    let mut member = consumer(&engine, "billing");
    join(&mut member);
    member.commit_sync_offsets([(("orders", 0).into(), Offset(3).into())]).unwrap();
    pass(&engine, 20 * MINUTE);
    member.close().unwrap();
    pass(&engine, 6 * MINUTE);
    engine.close().unwrap();
    let engine = open(&disk);
    pass(&engine, 3 * MINUTE);
    assert_eq!(committed(&engine, "billing", "orders"), Some(3));
    pass(&engine, 2 * MINUTE);
    assert_eq!(groups(&engine), [""; 0]);
}

#[test]
fn members_that_an_engine_closes_under_leave_with_it() {
    let (disk, engine) = opened(&["orders"]);
    let mut member = consumer(&engine, "billing");
    join(&mut member);
    member.commit_sync_offsets([(("orders", 0).into(), Offset(3).into())]).unwrap();
    pass(&engine, 20 * MINUTE);
    engine.close().unwrap();
    drop(member);
    let engine = open(&disk);
    pass(&engine, 9 * MINUTE);
    assert_eq!(committed(&engine, "billing", "orders"), Some(3));
    engine.close().unwrap();
    let engine = open(&disk); // when that was is in the journal, so the time does not begin anew
    pass(&engine, 2 * MINUTE);
    assert_eq!(groups(&engine), [""; 0]);
}

#[test]
fn after_a_crash_no_offset_expires_earlier_than_the_retention_after_the_opening() {
    for (with_member, crash) in [(false, MemoryDisk::power_cut as fn(&MemoryDisk)), (true, MemoryDisk::kill)] {
        let (disk, engine) = opened(&["orders"]);
        commit(&engine, "billing", "orders", 3);
        pass(&engine, 9 * MINUTE);
        let mut member = consumer(&engine, "billing");
        if with_member {
            join(&mut member); // whether that is on the disk when it crashes is another matter
        }
        crash(&disk);
        drop((member, engine));
        let engine = open(&disk);
        pass(&engine, 9 * MINUTE);
        assert_eq!(committed(&engine, "billing", "orders"), Some(3));
        pass(&engine, 2 * MINUTE);
        assert_eq!(groups(&engine), [""; 0]);
    }
}

#[test]
fn g17_offsets_of_a_topic_that_a_member_subscribes_to_cannot_be_deleted() {
    let (disk, engine) = opened(&["orders", "refunds"]);
    let admin = Admin::new(&engine);
    commit(&engine, "billing", "orders", 3);
    commit(&engine, "billing", "refunds", 4);
    let mut member = consumer(&engine, "billing");
    join(&mut member);
    let both = || [("refunds", 0).into(), ("orders", 0).into()];
    let refused = admin.delete_group_offsets("billing", both()).unwrap_err();
    assert!(matches!(&refused, Error::GroupSubscribedToTopic { topic, .. } if **topic == *"orders"), "{refused}");
    assert_eq!(refused.class(), ErrorClass::Refused);
    assert_eq!(committed(&engine, "billing", "refunds"), Some(4), "all or nothing");
    admin.delete_group_offsets("billing", [("refunds", 0).into(), ("refunds", 1).into()]).unwrap();
    assert_eq!((committed(&engine, "billing", "orders"), committed(&engine, "billing", "refunds")), (Some(3), None));
    member.close().unwrap();
    admin.delete_group_offsets("billing", both()).unwrap();
    assert!(matches!(admin.delete_group_offsets("nobody", both()), Err(Error::GroupIdNotFound { .. })));
    let unknown = admin.delete_group_offsets("billing", [("orders", 2).into()]);
    assert!(matches!(unknown, Err(Error::UnknownTopicOrPartition { .. })));
    disk.power_cut();
    drop((member, engine));
    let engine = open(&disk);
    assert!(Admin::new(&engine).describe_group("billing").unwrap().partitions.is_empty());
}

#[test]
fn g18_group_with_members_cannot_be_deleted() {
    let (disk, engine) = opened(&["orders"]);
    let admin = Admin::new(&engine);
    assert!(matches!(admin.delete_group("billing"), Err(Error::GroupIdNotFound { .. })));
    assert!(matches!(admin.delete_group(" "), Err(Error::InvalidGroupId { .. })));
    let mut member = consumer(&engine, "billing");
    join(&mut member);
    let refused = admin.delete_group("billing").unwrap_err();
    assert!(matches!(refused, Error::NonEmptyGroup { .. }), "{refused}");
    assert_eq!(refused.class(), ErrorClass::Refused);
    member.commit_sync_offsets([(("orders", 0).into(), Offset(3).into())]).unwrap();
    assert!(matches!(admin.delete_group("billing"), Err(Error::NonEmptyGroup { .. })));
    member.unsubscribe().unwrap();
    admin.delete_group("billing").unwrap();
    assert!(matches!(admin.delete_group("billing"), Err(Error::GroupIdNotFound { .. })));
    assert_eq!(files(&disk), [""; 0]);

    // The consumer goes on, with a group that has committed nothing.
    assert_eq!(member.committed(&("orders", 0).into()).unwrap(), None);
    member.assign([("orders", 1).into()]).unwrap();
    member.commit_sync_offsets([(("orders", 1).into(), Offset(5).into())]).unwrap();
    disk.power_cut();
    drop((member, admin, engine));
    let rows = Admin::new(&open(&disk)).describe_group("billing").unwrap().partitions;
    assert_eq!(rows.iter().map(|row| row.committed).collect::<Vec<_>>(), [None, Some(Offset(5))]);
}

#[test]
fn g19_offsets_go_with_their_topic() {
    let (disk, engine) = opened(&["orders", "refunds"]);
    commit(&engine, "billing", "orders", 3);
    commit(&engine, "billing", "refunds", 4);
    Admin::new(&engine).delete_topic("orders").unwrap();
    Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(2)).unwrap();
    assert_eq!((committed(&engine, "billing", "orders"), committed(&engine, "billing", "refunds")), (None, Some(4)));
    disk.power_cut();
    drop(engine);
    let engine = open(&disk);
    assert_eq!((committed(&engine, "billing", "orders"), committed(&engine, "billing", "refunds")), (None, Some(4)));
}

#[test]
fn what_is_committed_behind_a_deletion_stays() {
    let disk = MemoryDisk::new();
    let engine = Engine::builder().open_memory(&disk).unwrap();
    Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(4)).unwrap();
    std::thread::scope(|scope| {
        for partition in 0..3 {
            let engine = &engine;
            scope.spawn(move || {
                let mut consumer = consumer(engine, "billing");
                for offset in 1..=200 {
                    consumer.commit_sync_offsets([(("orders", partition).into(), Offset(offset).into())]).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..50 {
                match Admin::new(&engine).delete_group("billing") {
                    Ok(()) | Err(Error::GroupIdNotFound { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
    });
    // Nobody is at it any more: what each committed last comes behind whatever was deleted, or is gone with it.
    let last = |engine: &Engine| {
        let rows = Admin::new(engine).describe_group("billing").map(|described| described.partitions);
        rows.unwrap_or_default().into_iter().map(|row| row.committed.map(|offset| offset.0)).collect::<Vec<_>>()
    };
    commit(&engine, "billing", "orders", 1000);
    let before = last(&engine);
    assert_eq!(before[0], Some(1000));
    assert!(before[1..3].iter().all(|offset| matches!(offset, None | Some(200))), "{before:?}");
    disk.power_cut();
    drop(engine);
    assert_eq!(last(&Engine::builder().open_memory(&disk).unwrap()), before);
}

/// The lag of partition 0 of `orders`: what the engine says, and a reader beside it.
fn lags(disk: &MemoryDisk, engine: &Engine) -> [Option<(u64, u64)>; 2] {
    let ours = Admin::new(engine).describe_group("billing").unwrap();
    let theirs = Directory::open_memory(disk).unwrap().group("billing").unwrap();
    [ours, theirs].map(|described| described.partitions[0].lag.map(|lag| (lag.records, lag.bytes)))
}

#[test]
fn lag_counts_records_and_bytes_and_is_never_negative() {
    let (disk, engine) = opened(&["orders"]);
    let admin = Admin::new(&engine);
    send(&engine, 0, 4);
    let batch = admin.describe_topic("orders").unwrap().partitions[0].size_bytes / 4;
    for (offset, records) in [(0, 4), (1, 3), (4, 0), (5, 0), (i64::MAX, 0)] {
        commit(&engine, "billing", "orders", offset);
        let expected = Some((records, records * batch));
        assert_eq!(lags(&disk, &engine), [expected; 2], "{offset}");
    }
    commit(&engine, "billing", "orders", 1);
    let row = admin.describe_group("billing").unwrap().partitions.remove(0);
    let age = Duration::from_millis(1_700_000_000_000 - 1001);
    let time = row.lag.unwrap().time;
    assert!(time >= age && time < age + MINUTE, "{time:?}");
    assert_eq!(admin.describe_group("billing").unwrap().partitions[1].lag, None);

    // Damage costs nothing but what nobody can know.
    disk.flip_bit("log/orders-0/00000000000000000000.log", batch + 65, 0).unwrap();
    assert_eq!(lags(&disk, &engine), [Some((3, 3 * batch)); 2]);
    assert_eq!(admin.describe_group("billing").unwrap().partitions[0].lag.unwrap().time, Duration::ZERO);
    admin.delete_topic("orders").unwrap();
    assert!(admin.describe_group("billing").unwrap().partitions.is_empty());
}

#[test]
fn group_is_reset_within_its_log_as_it_was_planned() {
    let (disk, engine) = opened(&["orders"]);
    let admin = Admin::new(&engine);
    send(&engine, 0, 5);
    send(&engine, 1, 2);
    let partitions = || (0..2).map(|number| TopicPartition::new("orders", number));
    for (to, after) in [
        (GroupReset::Latest, [5, 2]),
        (GroupReset::ShiftBy(-1), [4, 1]),
        (GroupReset::Current, [4, 1]),
        (GroupReset::ShiftBy(-3), [1, 0]),
        (GroupReset::Earliest, [0, 0]),
        (GroupReset::Offset(Offset(4)), [4, 2]),
        (GroupReset::Timestamp(Timestamp(1001)), [1, 1]),
        (GroupReset::Timestamp(Timestamp(1002)), [2, 2]),
        (GroupReset::Timestamp(Timestamp(4_102_444_800_000)), [5, 2]),
        (GroupReset::ByDuration(MINUTE), [5, 2]),
        (GroupReset::ByDuration(Duration::MAX), [0, 0]),
    ] {
        let before = admin.describe_group("billing").map(|rows| rows.partitions).unwrap_or_default();
        let before: Vec<_> = before.into_iter().map(|row| row.committed).collect();
        let plan = admin.plan_group_reset("billing", partitions(), to).unwrap();
        let beside = Directory::open_memory(&disk).unwrap().plan_group_reset("billing", partitions(), to).unwrap();
        let done = admin.reset_group_offsets("billing", partitions(), to).unwrap();
        assert_eq!((&plan, &beside), (&done, &done), "{to:?}");
        assert_eq!(done.iter().map(|change| change.after.0).collect::<Vec<_>>(), after, "{to:?}");
        if !before.is_empty() {
            assert_eq!(done.iter().map(|change| change.before).collect::<Vec<_>>(), before, "{to:?}");
        }
        let rows = admin.describe_group("billing").unwrap().partitions;
        assert_eq!(rows.iter().map(|row| row.committed.unwrap().0).collect::<Vec<_>>(), after, "{to:?}");
    }
    let refused = admin.reset_group_offsets("other", partitions(), GroupReset::ShiftBy(1)).unwrap_err();
    assert!(matches!(refused, Error::IllegalArgument { .. }), "{refused}");
    let refused = admin.reset_group_offsets("other", [("orders", 2).into()], GroupReset::Latest).unwrap_err();
    assert!(matches!(refused, Error::UnknownTopicOrPartition { .. }), "{refused}");
    assert_eq!(groups(&engine), ["billing"]);

    let mut member = consumer(&engine, "billing");
    join(&mut member);
    admin.plan_group_reset("billing", partitions(), GroupReset::Latest).unwrap();
    let refused = admin.reset_group_offsets("billing", partitions(), GroupReset::Latest).unwrap_err();
    assert!(matches!(refused, Error::NonEmptyGroup { .. }), "{refused}");
    member.close().unwrap();
    assert_eq!(member.committed(&("orders", 0).into()).unwrap_err().to_string(), "the consumer is closed");
}
