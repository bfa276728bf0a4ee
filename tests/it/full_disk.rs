//! A full disk: nothing of a refused record is ever there, offsets are committed all the same, the engine closes and
//! opens, and records are taken again as soon as there is room.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ottla::{
    Acks, Admin, Consumer, Engine, Error, MemoryDisk, Offset, Producer, ProducerConfig, ProducerRecord, TopicPartition,
};

/// What the engine keeps back for a full disk.
const RESERVE: u64 = 1 << 20;

fn orders() -> TopicPartition {
    ("orders", 0).into()
}

fn used(disk: &MemoryDisk) -> u64 {
    disk.files().iter().map(|(_, len)| len).sum()
}

fn holds_reserve(disk: &MemoryDisk) -> bool {
    disk.files().iter().any(|(path, len)| path.ends_with("reserve") && *len == RESERVE)
}

fn send(engine: &Engine, acks: Acks, bytes: usize) -> Result<Option<Offset>, Error> {
    let config = ProducerConfig::builder().acks(acks).retries(0).build()?; // what comes of trying again is `producer`'s
    let producer = Producer::<str, str>::with_config(engine, config)?;
    let sent = producer.send(ProducerRecord::to("orders").value(&"x".repeat(bytes)))?.wait();
    sent.map(|metadata| metadata.offset())
}

/// Sends until the disk takes no more; answers how many records it took.
fn fill(engine: &Engine) -> i64 {
    let mut count = 0;
    loop {
        match send(engine, Acks::All, 500) {
            Ok(_) => count += 1,
            Err(Error::DiskFull { .. }) => return count,
            Err(error) => panic!("{error}"),
        }
    }
}

fn commit(engine: &Engine, group: &str, offset: i64) -> Result<(), Error> {
    let mut consumer = Consumer::<str, str>::new(engine, group)?;
    consumer.commit_sync_offsets([(orders(), Offset(offset).into())])
}

/// An engine on a disk that has just become full, and how many records it has.
fn full(disk: &MemoryDisk) -> (Engine, i64) {
    let engine = Engine::builder().open_memory(disk).unwrap();
    send(&engine, Acks::All, 10).unwrap();
    commit(&engine, "billing", 1).unwrap();
    disk.set_capacity(Some(used(disk) + 5000));
    let count = 1 + fill(&engine);
    assert!(count > 5, "{count}");
    (engine, count)
}

// faults: D11
#[test]
fn offsets_are_committed_and_records_do_not_take_their_room() {
    let disk = MemoryDisk::stepped(7);
    let (engine, count) = full(&disk);
    assert!(holds_reserve(&disk), "records alone do not have it given back");
    disk.set_capacity(Some(used(&disk)));
    for offset in 0..count {
        commit(&engine, "billing", offset).unwrap();
        assert!(matches!(send(&engine, Acks::One, 500), Err(Error::DiskFull { .. })));
    }
    commit(&engine, "shipping", 1).unwrap(); // a group that had no file
    assert!(!holds_reserve(&disk));
    assert_eq!(engine.end_offset(&orders()).unwrap(), Offset(count));

    disk.set_capacity(None);
    assert_eq!(send(&engine, Acks::All, 500).unwrap(), Some(Offset(count)));
    assert!(holds_reserve(&disk), "there is room for it again");
    engine.close().unwrap();
}

// faults: D01
#[test]
fn engine_closes_and_opens_again() {
    let disk = MemoryDisk::stepped(7);
    let (engine, count) = full(&disk);
    disk.set_capacity(Some(used(&disk)));
    engine.close().unwrap();
    drop(engine);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    assert!(engine.report().is_empty(), "{:?}", engine.report());
    assert_eq!(engine.end_offset(&orders()).unwrap(), Offset(count));
    commit(&engine, "billing", count).unwrap();
    Admin::new(&engine).delete_topic("orders").unwrap();
    engine.close().unwrap();
}

// faults: D03 D06
#[test]
fn engine_recovers_from_a_crash() {
    for is_power_cut in [false, true] {
        let disk = MemoryDisk::stepped(7);
        let (engine, count) = full(&disk);
        disk.set_capacity(Some(used(&disk)));
        if is_power_cut {
            disk.power_cut()
        } else {
            disk.kill()
        }
        drop(engine);
        let engine = Engine::builder().open_memory(&disk).unwrap();
        assert_eq!(engine.end_offset(&orders()).unwrap(), Offset(count));
        commit(&engine, "billing", count).unwrap();
        disk.set_capacity(None);
        assert_eq!(send(&engine, Acks::All, 10).unwrap(), Some(Offset(count)));
        engine.close().unwrap();
    }
}

#[test]
fn reserve_that_does_not_fit_takes_no_room() {
    let disk = MemoryDisk::stepped(7);
    disk.set_capacity(Some(RESERVE / 2));
    let engine = Engine::builder().open_memory(&disk).unwrap();
    assert!(used(&disk) < 10_000);
    commit_needs_a_topic(&engine);
    assert!(matches!(send(&engine, Acks::All, 10), Err(Error::DiskFull { .. })));
    disk.set_capacity(None);
    assert_eq!(send(&engine, Acks::All, 10).unwrap(), Some(Offset(0)));
    engine.close().unwrap();
}

fn commit_needs_a_topic(engine: &Engine) {
    Admin::new(engine).create_topic(ottla::NewTopic::new("orders")).unwrap();
    commit(engine, "billing", 0).unwrap();
}

// faults: F11
#[test]
fn record_that_could_not_be_cut_off_has_an_unknown_outcome() {
    let disk = MemoryDisk::stepped(7);
    let (engine, count) = full(&disk);
    disk.fail_next_syncs(1);
    let failed = send(&engine, Acks::All, 500).unwrap_err();
    assert!(matches!(failed, Error::OutcomeUnknown { .. }), "{failed}");
    assert!(matches!(send(&engine, Acks::All, 10), Err(Error::Storage { .. })));
    assert_eq!(engine.end_offset(&orders()).unwrap(), Offset(count));
    assert!(engine.close().is_err());
}

// faults: D04
#[test]
fn topic_is_created_whole_or_leaves_nothing_behind() {
    for room in (0..400).step_by(7) {
        let disk = MemoryDisk::stepped(7);
        let engine = Engine::builder().open_memory(&disk).unwrap();
        let before = disk.files();
        disk.set_capacity(Some(used(&disk) + room));
        let made = Admin::new(&engine).create_topic(ottla::NewTopic::new("orders").partitions(3));
        if made.is_err() {
            assert!(matches!(made, Err(Error::DiskFull { .. })), "{made:?}");
            assert_eq!(disk.files(), before);
        }
        disk.set_capacity(None);
        let _ = Admin::new(&engine).create_topic(ottla::NewTopic::new("orders").partitions(3));
        assert_eq!(send(&engine, Acks::All, 10).unwrap(), Some(Offset(0)), "{room} bytes");
        engine.close().unwrap();
        assert!(disk.files().iter().all(|(path, _)| !path.to_string_lossy().contains("-stray")));
    }
}

// faults: D01 D11
#[test]
fn threads_that_send_and_commit_go_on_when_there_is_room() {
    let disk = MemoryDisk::new();
    let ((engine, _), refused) = (full(&disk), AtomicUsize::new(0));
    let (enough, has_room) = (50, AtomicBool::new(false));
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (engine, refused, has_room) = (&engine, &refused, &has_room);
            scope.spawn(move || {
                let mut sent = 0;
                while sent < 20 {
                    // The reserve is for some thousand commits, and whoever gives room may be a long time coming.
                    while refused.load(Ordering::Relaxed) >= enough && !has_room.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                    match send(engine, Acks::All, 500) {
                        Ok(_) => sent += 1,
                        Err(Error::DiskFull { .. }) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => panic!("{error}"),
                    }
                    commit(engine, &format!("group-{number}"), sent).unwrap();
                }
            });
        }
        while refused.load(Ordering::Relaxed) < enough {
            std::thread::yield_now();
        }
        disk.set_capacity(None);
        has_room.store(true, Ordering::Relaxed);
    });
    engine.close().unwrap();
}
