//! Members come, go, and come back.

use ottla::{Admin, Consumer, Engine, EngineConfig, Error, GroupState, MemoryDisk};

use super::{TextConsumer, assigned, config, create, engine, epoch, fill, member, pass, poll};

const STATIC: (&str, &str) = ("group.instance.id", "till-1");

#[test]
fn g2_what_a_member_leaves_the_others_read_on() {
    let engine = engine(2);
    let (mut first, mut second) = (member(&engine, &[]), member(&engine, &[]));
    poll(&mut first);
    poll(&mut second);
    assert_eq!((assigned(&first), assigned(&second)), (vec![0], vec![1]));
    let before = epoch(&engine);
    second.close().unwrap();
    assert_eq!(epoch(&engine), before + 1);
    fill(&engine, "orders");
    assert_eq!(poll(&mut first), ["orders-0", "orders-1"]);
    drop(first);
    assert_eq!(Admin::new(&engine).group_members("billing").unwrap().state, GroupState::Empty);
}

#[test]
fn member_that_unwinds_leaves_and_commits_nothing() {
    let engine = engine(1);
    fill(&engine, "orders");
    let mut first = Consumer::with_config(&engine, config(&[])).unwrap();
    let mut second: TextConsumer = Consumer::with_config(&engine, config(&[])).unwrap();
    second.subscribe(["orders"]).unwrap();
    first.subscribe(["orders"]).unwrap();
    assert_eq!(poll(&mut first), ["orders-0"]);
    assert!(poll(&mut second).is_empty());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _first = first;
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(panicked.is_err());
    assert_eq!(poll(&mut second), ["orders-0"]);
}

#[test]
fn g3_static_member_that_comes_back_too_late_has_lost_its_place() {
    let engine = engine(2);
    let mut first = member(&engine, &[STATIC, ("session.timeout.ms", "45000")]);
    let mut second = member(&engine, &[]);
    poll(&mut first);
    poll(&mut second);
    drop(first);
    pass(&engine, 44);
    assert!(poll(&mut second).is_empty());
    assert_eq!(assigned(&second).len(), 1);
    pass(&engine, 1);
    poll(&mut second);
    assert_eq!(assigned(&second), [0, 1]);
    let before = epoch(&engine);
    let first = member(&engine, &[STATIC]);
    assert_eq!(epoch(&engine), before + 1);
    assert!(assigned(&first).is_empty()); // until the other one lets go
}

#[test]
fn g11_static_member_that_comes_back_in_time_has_its_partitions() {
    let engine = engine(2);
    let mut first = member(&engine, &[STATIC]);
    let mut second = member(&engine, &[]);
    poll(&mut first);
    poll(&mut second);
    let (kept, before) = (assigned(&first), epoch(&engine));
    let taken: Result<TextConsumer, Error> = Consumer::with_config(&engine, config(&[STATIC]));
    let mut taken = taken.unwrap();
    taken.subscribe(["orders"]).unwrap();
    let refused = taken.poll(std::time::Duration::ZERO).unwrap_err();
    assert!(matches!(&refused, Error::UnreleasedInstanceId { instance, .. } if &**instance == "till-1"), "{refused}");
    first.close().unwrap();
    fill(&engine, "orders");
    assert_eq!(poll(&mut second).len(), 1, "the other one's partition waits for it");
    let shown = Admin::new(&engine).group_members("billing").unwrap();
    assert_eq!(shown.members.iter().filter(|member| member.is_away).count(), 1);

    assert_eq!(poll(&mut taken), kept.iter().map(|number| format!("orders-{number}")).collect::<Vec<_>>());
    assert_eq!(epoch(&engine), before);
    let shown = Admin::new(&engine).group_members("billing").unwrap();
    assert_eq!((shown.state, shown.members.len()), (GroupState::Stable, 2));
}

#[test]
fn static_member_that_is_expelled_is_away_no_more() {
    let engine = engine(2);
    let stalled = member(&engine, &[STATIC, ("max.poll.interval.ms", "1000")]);
    pass(&engine, 1);
    let next = member(&engine, &[STATIC]);
    assert_eq!(assigned(&next), [0, 1]);
    drop(stalled); // which is a member no more, and cannot take the place along
    assert_eq!(Admin::new(&engine).group_members("billing").unwrap().members.len(), 1);
    assert_eq!(assigned(&next), [0, 1]);
}

#[test]
fn g6_subscribing_to_the_same_again_begins_no_epoch() {
    let engine = engine(2);
    create(&engine, "refunds", 1);
    let mut first = member(&engine, &[]);
    let before = epoch(&engine);
    first.subscribe(["orders"]).unwrap();
    poll(&mut first);
    first.subscribe_pattern("ord.*").unwrap(); // which is the same today
    poll(&mut first);
    assert_eq!(epoch(&engine), before);
    first.subscribe(["orders", "refunds"]).unwrap();
    poll(&mut first);
    assert_eq!(epoch(&engine), before + 1);
    first.enforce_rebalance().unwrap();
    poll(&mut first);
    assert_eq!(epoch(&engine), before + 2);
    assert_eq!(first.assignment().len(), 3);
}

#[test]
fn g12_group_takes_no_more_than_group_max_size() {
    let config = EngineConfig::builder().group_max_size(2).build().unwrap();
    let engine = Engine::builder().config(config).open_memory(&MemoryDisk::stepped(11)).unwrap();
    create(&engine, "orders", 4);
    let (first, second) = (member(&engine, &[]), member(&engine, &[]));
    let mut third: TextConsumer = Consumer::with_config(&engine, super::config(&[])).unwrap();
    third.subscribe(["orders"]).unwrap();
    for _ in 0..2 {
        let refused = third.poll(std::time::Duration::ZERO).unwrap_err();
        let is_refused = matches!(&refused, Error::GroupMaxSizeReached { group, limit: 2 } if &**group == "billing");
        assert!(is_refused, "{refused}");
    }
    drop(second);
    poll(&mut third); // there is room
    drop(first);
    poll(&mut third);
    assert_eq!(assigned(&third), [0, 1, 2, 3]);
}

#[test]
fn g21_partition_is_read_by_nobody_while_its_owner_has_not_let_go() {
    let engine = engine(2);
    let mut first = member(&engine, &[]);
    let mut second = member(&engine, &[]);
    fill(&engine, "orders");
    for _ in 0..3 {
        assert!(poll(&mut second).is_empty());
    }
    assert_eq!(Admin::new(&engine).group_members("billing").unwrap().state, GroupState::Reconciling);
    assert_eq!(poll(&mut first), ["orders-0"]); // lets go of the other one, and reads on
    assert_eq!(poll(&mut second), ["orders-1"]);
    assert_eq!(Admin::new(&engine).group_members("billing").unwrap().state, GroupState::Stable);
}

#[test]
fn groups_do_not_know_each_other() {
    let engine = engine(2);
    fill(&engine, "orders");
    let mut other: TextConsumer = Consumer::new(&engine, "shipping").unwrap();
    other.subscribe(["orders"]).unwrap();
    assert_eq!(poll(&mut other).len(), 2);
    let before = Admin::new(&engine).group_members("shipping").unwrap();
    let mut billing: TextConsumer = Consumer::with_config(&engine, config(&[])).unwrap();
    billing.subscribe(["orders"]).unwrap();
    assert_eq!(poll(&mut billing).len(), 2);
    billing.commit_sync().unwrap();
    assert_eq!(Admin::new(&engine).group_members("shipping").unwrap(), before);
    assert_eq!(other.committed(&("orders", 0).into()).unwrap(), None);
}

#[test]
fn engines_do_not_know_each_other() {
    let (one, two) = (engine(2), engine(2));
    let (first, second) = (member(&one, &[STATIC]), member(&two, &[STATIC]));
    assert_eq!((assigned(&first), assigned(&second)), (vec![0, 1], vec![0, 1]));
    fill(&one, "orders");
    drop(first);
    assert_eq!(Admin::new(&two).group_members("billing").unwrap().members.len(), 1);
    assert!(!Admin::new(&two).group_members("billing").unwrap().members[0].is_away);
}

#[test]
fn member_of_an_engine_that_was_closed_can_be_dropped() {
    let engine = engine(2);
    let first = member(&engine, &[]);
    engine.close().unwrap();
    drop(first);
}
