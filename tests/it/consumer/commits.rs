//! Commits: waited for or not, by whom, and what is known of them when something fails.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ottla::{
    Acks, Consumer, ConsumerConfig, Engine, Error, ErrorClass, MemoryDisk, Offset, OffsetAndMetadata, Producer,
    ProducerConfig, ProducerRecord, Result, Timestamp,
};

use super::{TextConsumer, append, committed, engine, engine_on, orders, poll, subscribed};

const BY_HAND: (&str, &str) = ("enable.auto.commit", "false");

/// Commits `offset` without waiting; what the callback is told comes out at the end.
fn begin(consumer: &mut TextConsumer, offset: i64) -> Receiver<(i64, Result<()>)> {
    let (tell, told) = channel();
    let done = move |offsets: &ottla::Offsets, outcome| {
        tell.send((offsets[&orders()].offset.0, outcome)).unwrap();
    };
    consumer.commit_async_offsets([(orders(), Offset(offset).into())], done).unwrap();
    told
}

#[test]
fn c23_callbacks_have_run_in_order_before_commit_sync_returns() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b", b"c"]);
    let mut consumer = subscribed(&engine, &[BY_HAND]);
    let (tell, told) = channel();
    for offset in 0..20 {
        let tell = tell.clone();
        let done = move |_: &ottla::Offsets, outcome: Result<()>| tell.send((offset, outcome.is_ok())).unwrap();
        consumer.commit_async_offsets([(orders(), Offset(offset).into())], done).unwrap();
    }
    consumer.commit_sync_offsets([]).unwrap(); // of nothing, and yet
    assert_eq!(told.try_iter().collect::<Vec<_>>(), (0..20).map(|offset| (offset, true)).collect::<Vec<_>>());
    assert_eq!(committed(&consumer), Some(19));
}

#[test]
fn callbacks_run_inside_poll_and_close() {
    let engine = engine(&[("orders", 1)]);
    let mut consumer = subscribed(&engine, &[BY_HAND]);
    let told = begin(&mut consumer, 0);
    assert!(told.try_recv().is_err(), "not in another thread, and not before");
    while consumer.poll(Duration::from_millis(1)).unwrap().is_empty() {
        if let Ok((offset, outcome)) = told.try_recv() {
            outcome.unwrap();
            assert_eq!(offset, 0);
            break;
        }
    }
    while consumer.assignment().is_empty() {
        poll(&mut consumer).unwrap(); // the group waited for the commit before it gave the partition away
    }
    let told = begin(&mut consumer, 0);
    consumer.close().unwrap();
    told.try_recv().unwrap().1.unwrap();
}

#[test]
fn commit_async_commits_what_was_returned() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let mut consumer = subscribed(&engine, &[BY_HAND, ("max.poll.records", "1")]);
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    consumer.commit_async().unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [1]);
    consumer.close().unwrap();
    assert_eq!(committed(&subscribed(&engine, &[])), Some(1));
}

#[test]
fn c24_commit_that_fails_for_want_of_room_is_told_and_not_tried_again() {
    let disk = MemoryDisk::stepped(3);
    let engine = engine_on(&disk, &[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b", b"c"]);
    let mut consumer = subscribed(&engine, &[BY_HAND]);
    consumer.commit_sync_offsets([(orders(), Offset(1).into())]).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [1, 2]);
    disk.set_capacity(Some(0));
    let told = begin(&mut consumer, 2);
    poll(&mut consumer).unwrap();
    let (offset, outcome) = told.try_recv().unwrap();
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert_eq!((offset, error.class()), (2, ErrorClass::Retry));
    disk.set_capacity(None);
    poll(&mut consumer).unwrap();
    assert_eq!(committed(&consumer), Some(1));
    consumer.commit_sync_offsets([(orders(), Offset(2).into())]).unwrap();
    assert_eq!(committed(&consumer), Some(2));
}

#[test]
fn c25_commit_of_another_than_the_member_is_refused() {
    let engine = engine(&[("orders", 1)]);
    let mut member = subscribed(&engine, &[]);
    poll(&mut member).unwrap(); // joins
    let mut other = subscribed_elsewhere(&engine);
    let refused = other.commit_sync_offsets([(orders(), Offset(0).into())]);
    assert!(matches!(refused, Err(Error::CommitFailed { .. })));
    let refused = other.commit_async_offsets([(orders(), Offset(0).into())], |_, _| unreachable!("it was not begun"));
    assert!(matches!(refused, Err(Error::CommitFailed { .. })));
    drop(member);
    other.commit_async_offsets([(orders(), Offset(0).into())], |_, outcome| outcome.unwrap()).unwrap();
    other.close().unwrap();
}

/// A consumer of the group that is not its member.
fn subscribed_elsewhere(engine: &Engine) -> TextConsumer {
    let mut other = TextConsumer::new(engine, "billing").unwrap();
    other.assign([orders()]).unwrap();
    other
}

#[test]
fn bad_offsets_are_refused_at_once_and_nothing_is_begun() {
    let engine = engine(&[("orders", 1)]);
    let mut consumer = subscribed(&engine, &[]);
    let mut begin = |offset: OffsetAndMetadata, partition: u32| {
        let partition = ("orders", partition).into();
        consumer.commit_async_offsets([(partition, offset)], |_, _| unreachable!("it was not begun"))
    };
    assert!(matches!(begin(Offset(-1).into(), 0), Err(Error::IllegalArgument { .. })));
    assert!(matches!(begin(Offset(0).into(), 7), Err(Error::UnknownTopicOrPartition { .. })));
    let long = OffsetAndMetadata::new(Offset(0)).with_metadata("m".repeat(4097));
    assert!(matches!(begin(long, 0), Err(Error::OffsetMetadataTooLarge { .. })));
    consumer.close().unwrap();
    let mut alone = Consumer::<str, str>::with_config(&engine, ConsumerConfig::default()).unwrap();
    alone.assign([orders()]).unwrap();
    assert!(matches!(alone.commit_async(), Err(Error::InvalidGroupId { .. })));
    consumer = TextConsumer::new(&engine, "billing").unwrap();
    consumer.close().unwrap();
    assert!(matches!(consumer.commit_async(), Err(Error::Closed { .. })));
}

/// A group that has committed 1, whose commit of 2 was written and met a failed sync.
fn in_doubt(disk: &MemoryDisk) -> (Engine, TextConsumer) {
    let engine = engine_on(disk, &[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let mut consumer = subscribed(&engine, &[BY_HAND]);
    consumer.commit_sync_offsets([(orders(), Offset(1).into())]).unwrap();
    disk.fail_next_syncs(1);
    let failed = consumer.commit_sync_offsets([(orders(), Offset(2).into())]).unwrap_err();
    assert!(matches!(&failed, Error::CommitOutcomeUnknown { group, .. } if &**group == "billing"), "{failed}");
    assert_eq!(failed.class(), ErrorClass::Fatal);
    assert!(
        failed.to_string().starts_with("group billing: whether the offsets were committed is unknown: "),
        "{failed}"
    );
    (engine, consumer)
}

#[test]
fn commit_whose_sync_failed_is_in_doubt_and_later_ones_are_not() {
    let disk = MemoryDisk::stepped(3);
    let (engine, mut consumer) = in_doubt(&disk);
    assert_eq!(committed(&consumer), Some(1), "until the directory is opened again");
    let refused = consumer.commit_sync_offsets([(orders(), Offset(2).into())]).unwrap_err();
    assert!(matches!(refused, Error::Storage { .. }), "nothing was written: {refused}");
    let told = begin(&mut consumer, 2);
    consumer.close().unwrap();
    let refused = told.try_recv().unwrap().1.unwrap_err();
    assert!(matches!(refused, Error::Storage { .. }), "{refused}");
    assert!(engine.close().is_err());
}

#[test]
fn commit_in_doubt_may_be_there_or_not_after_the_next_opening() {
    let reopened = |crash: fn(&MemoryDisk)| {
        let disk = MemoryDisk::stepped(3);
        let running = in_doubt(&disk);
        crash(&disk);
        drop(running);
        let engine = Engine::builder().open_memory(&disk).unwrap();
        committed(&subscribed(&engine, &[]))
    };
    assert_eq!(reopened(MemoryDisk::kill), Some(2));
    assert_eq!(reopened(MemoryDisk::power_cut), Some(1));
}

#[test]
fn callback_is_told_of_a_commit_in_doubt() {
    let disk = MemoryDisk::stepped(3);
    let engine = engine_on(&disk, &[("orders", 1)]);
    let mut consumer = subscribed(&engine, &[BY_HAND]);
    consumer.commit_sync_offsets([(orders(), Offset(0).into())]).unwrap();
    disk.fail_next_syncs(1);
    let told = begin(&mut consumer, 1);
    poll(&mut consumer).unwrap();
    consumer.close().unwrap();
    let failed = told.try_recv().unwrap().1.unwrap_err();
    assert!(matches!(failed, Error::CommitOutcomeUnknown { .. }), "{failed}");
}

#[test]
fn c35_committed_offset_that_a_power_cut_took_is_cut_back() {
    let disk = MemoryDisk::stepped(3);
    let engine = engine_on(&disk, &[("orders", 1)]);
    append(&engine, "orders", 0, &[b"durable"]);
    let quick = ProducerConfig::builder().acks(Acks::One).build().unwrap();
    let quick = Producer::<str, str>::with_config(&engine, quick).unwrap();
    quick.send(ProducerRecord::to("orders").value("not").timestamp(Timestamp(7))).unwrap().wait().unwrap();
    let mut consumer = subscribed(&engine, &[BY_HAND]);
    assert_eq!(poll(&mut consumer).unwrap(), [0, 1]);
    consumer.commit_sync().unwrap();
    disk.power_cut();
    drop((consumer, quick, engine));

    let engine = Engine::builder().open_memory(&disk).unwrap();
    append(&engine, "orders", 0, &[b"another"]);
    let mut consumer = subscribed(&engine, &[]);
    assert_eq!(poll(&mut consumer).unwrap(), [1], "it is another record, and nobody has read it");
}

#[test]
fn automatic_commits_are_told_to_nobody_when_nothing_changed() {
    let disk = MemoryDisk::stepped(3);
    let engine = engine_on(&disk, &[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a"]);
    let mut consumer = subscribed(&engine, &[("auto.commit.interval.ms", "10")]);
    assert_eq!(poll(&mut consumer).unwrap(), [0]);
    assert!(consumer.poll(Duration::from_millis(20)).unwrap().is_empty());
    assert_eq!(committed(&consumer), Some(1));
    let steps = disk.steps();
    assert!(consumer.poll(Duration::from_millis(200)).unwrap().is_empty());
    assert_eq!(disk.steps(), steps, "an idle consumer leaves the disk alone");
}
