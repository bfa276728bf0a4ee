//! What a group leaves on the disk; the rest of that is in `group_admin.rs`.

use ottla::{Admin, Consumer, Engine, Error, MemoryDisk};

use super::{TextConsumer, assigned, config, create, engine, engine_on, fill, member, poll};

#[test]
fn g13_unknown_group_has_committed_nothing() {
    let engine = engine(1);
    let consumer: TextConsumer = Consumer::with_config(&engine, config(&[])).unwrap();
    assert_eq!(consumer.committed(&("orders", 0).into()).unwrap(), None);
    assert!(matches!(Admin::new(&engine).describe_group("billing"), Err(Error::GroupIdNotFound { .. })));
}

#[test]
fn member_reads_a_topic_that_was_created_anew_from_its_beginning() {
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
