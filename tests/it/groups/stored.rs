//! What a group leaves on the disk, and who may take it away.

use ottla::{Admin, Consumer, Engine, EngineConfig, Error, MemoryDisk, Offset};

use super::{TextConsumer, assigned, config, create, engine, engine_on, fill, member, pass, poll};

#[test]
fn g13_unknown_group_has_committed_nothing() {
    let engine = engine(1);
    let consumer: TextConsumer = Consumer::with_config(&engine, config(&[])).unwrap();
    assert_eq!(consumer.committed(&("orders", 0).into()).unwrap(), None);
    assert!(matches!(Admin::new(&engine).describe_group("billing"), Err(Error::GroupIdNotFound { .. })));
}

#[test]
fn g16_offsets_of_a_group_that_stands_empty_expire() {
    let minutes = |minutes: u64| minutes * 60;
    let config = EngineConfig::builder().set("offsets.retention.minutes", "60").unwrap().build().unwrap();
    let engine = Engine::builder().config(config).open_memory(&MemoryDisk::stepped(11)).unwrap();
    create(&engine, "orders", 1);
    create(&engine, "still", 1);
    fill(&engine, "orders");
    let mut first = member(&engine, &[("max.poll.interval.ms", "36000000")]);
    first.commit_sync().unwrap();
    pass(&engine, minutes(180));
    assert_eq!(Admin::new(&engine).list_groups().unwrap().len(), 1, "it has a member that subscribes");
    first.close().unwrap();
    pass(&engine, minutes(50));
    assert_eq!(Admin::new(&engine).list_groups().unwrap().len(), 1);
    pass(&engine, minutes(70));
    assert_eq!(Admin::new(&engine).list_groups().unwrap(), []);
}

#[test]
fn g17_offsets_of_a_subscribed_topic_are_not_deleted() {
    let engine = engine(2);
    create(&engine, "refunds", 1);
    let admin = Admin::new(&engine);
    let mut first = member(&engine, &[]);
    first
        .commit_sync_offsets([(("orders", 0).into(), Offset(0).into()), (("refunds", 0).into(), Offset(0).into())])
        .unwrap();
    let refused = admin.delete_group_offsets("billing", [("orders", 0).into()]);
    assert!(matches!(refused, Err(Error::GroupSubscribedToTopic { .. })), "{refused:?}");
    admin.delete_group_offsets("billing", [("refunds", 0).into()]).unwrap();
    assert_eq!(first.committed(&("refunds", 0).into()).unwrap(), None);
    first.close().unwrap();
    admin.delete_group_offsets("billing", [("orders", 0).into()]).unwrap();
}

#[test]
fn g18_group_with_members_is_not_deleted() {
    let engine = engine(2);
    fill(&engine, "orders");
    let admin = Admin::new(&engine);
    let mut first = member(&engine, &[]);
    first.commit_sync().unwrap();
    let refused = admin.delete_group("billing");
    assert!(matches!(refused, Err(Error::NonEmptyGroup { .. })), "{refused:?}");
    first.close().unwrap();
    admin.delete_group("billing").unwrap();
    assert!(matches!(admin.describe_group("billing"), Err(Error::GroupIdNotFound { .. })));
}

#[test]
fn g19_deleted_topic_takes_its_offsets_along() {
    let engine = engine(2);
    create(&engine, "refunds", 1);
    let admin = Admin::new(&engine);
    let mut first = member(&engine, &[]);
    first.subscribe(["orders", "refunds"]).unwrap();
    fill(&engine, "orders");
    fill(&engine, "refunds");
    poll(&mut first);
    first.commit_sync().unwrap();
    admin.delete_topic("refunds").unwrap();
    create(&engine, "refunds", 1);
    assert_eq!(first.committed(&("refunds", 0).into()).unwrap(), None);
    let rows = admin.describe_group("billing").unwrap().partitions;
    assert!(rows.iter().all(|row| row.partition.topic() == "orders"), "{rows:?}");
    fill(&engine, "refunds");
    assert_eq!(poll(&mut first), ["refunds-0"], "from its beginning");
}

#[test]
fn g20_reopening_keeps_offsets_and_no_members() {
    let disk = MemoryDisk::stepped(11);
    let engine = engine_on(&disk, 2);
    fill(&engine, "orders");
    let mut first = member(&engine, &[("group.instance.id", "till-1")]);
    first.commit_sync().unwrap();
    disk.power_cut();
    drop((first, engine));
    let engine = Engine::builder().open_memory(&disk).unwrap();
    let group = Admin::new(&engine).group_members("billing").unwrap();
    assert_eq!((group.epoch, group.members.len()), (0, 0));
    let mut next = member(&engine, &[]);
    assert_eq!(assigned(&next), [0, 1]);
    assert!(poll(&mut next).is_empty(), "all of it was committed");
}
