use std::sync::Arc;

use super::*;
use crate::record::{BatchBuilder, ProducerStamp, SealedBatch};
use crate::sync::Moment;
use crate::types::Acks;

/// A source that gives its batches once, and panics when it has none and is told to.
#[derive(Debug, Default)]
struct Script {
    batches: Mutex<Vec<ReadyBatch>>,
    panics: AtomicBool,
}

impl BatchSource for Script {
    fn take(&self, _now: Moment, _limit: usize, into: &mut Vec<ReadyBatch>) -> Option<Moment> {
        assert!(!self.panics.swap(false, Ordering::AcqRel), "for the test");
        into.append(&mut lock(&self.batches));
        None
    }

    fn close(&self) {}

    fn is_finished(&self) -> bool {
        false
    }
}

/// Panics when it is told.
struct Panics;

impl Completion for Panics {
    fn resolve(&self, _outcome: Result<Appended>) {
        panic!("for the test")
    }

    fn recycle(&self, _buffer: Vec<u8>) {}
}

fn engines() -> [Engine; 2] {
    [MemoryDisk::new(), MemoryDisk::stepped(7)].map(|disk| Engine::builder().open_memory(&disk).unwrap())
}

fn sealed() -> SealedBatch {
    let mut builder = BatchBuilder::new(Vec::new());
    builder.append(Timestamp(1), None, Some(b"paid"), &[]);
    builder.seal(ProducerStamp::NONE)
}

/// Gives the engine something to do, and says whether that went well.
fn changes_topics(engine: &Engine) -> bool {
    engine.create_topic("audit", None, &BTreeMap::new()).is_ok() && engine.delete_topic("audit").is_ok()
}

fn assert_told_at_closing(engine: &Engine) {
    let told = engine.close().unwrap_err();
    assert!(matches!(told, Error::IllegalState { .. }), "{told}");
}

#[test]
fn a_writer_that_panicked_is_told_at_closing() {
    for engine in engines() {
        engine.add_source(Arc::new(Script { panics: true.into(), ..Script::default() })).unwrap();
        engine.writer_waker().wake();
        while changes_topics(&engine) {}
        assert!(matches!(engine.create_topic("orders", None, &BTreeMap::new()), Err(Error::Closed { .. })));
        assert_told_at_closing(&engine);
    }
}

#[test]
fn a_syncer_that_panicked_takes_the_directory_offline() {
    for engine in engines() {
        let topic = engine.create_topic("orders", None, &BTreeMap::new()).unwrap();
        let batch = ReadyBatch {
            partition: Arc::clone(&topic.partitions[0]),
            acks: Acks::All,
            batch: sealed(),
            completion: Arc::new(Panics),
            refused: None,
        };
        let script = Script { batches: Mutex::new(vec![batch]), ..Script::default() };
        engine.add_source(Arc::new(script)).unwrap();
        engine.writer_waker().wake();
        while changes_topics(&engine) {}
        let refused = engine.create_topic("returns", None, &BTreeMap::new()).unwrap_err();
        assert!(matches!(refused, Error::Storage { .. }), "{refused}");
        assert_told_at_closing(&engine);
    }
}

#[test]
fn a_topic_that_could_not_be_created_takes_nothing_along() {
    let disk = MemoryDisk::stepped(7);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    // What somebody else has left where the second partition would be.
    let left = disk.disk().root().dir("log").unwrap().create_dir("orders-1").unwrap();
    left.create("00000000000000000000.log").unwrap().write_all_at(b"records", 0).unwrap();
    let used: u64 = disk.files().iter().map(|(_, len)| len).sum();
    disk.set_capacity(Some(used));
    assert!(matches!(engine.create_topic("orders", Some(2), &BTreeMap::new()), Err(Error::DiskFull { .. })));
    let names: Vec<_> = disk.files().into_iter().filter(|(path, _)| path.starts_with("log/orders-1")).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    disk.set_capacity(None);
    engine.create_topic("orders", Some(2), &BTreeMap::new()).unwrap();
    assert!(disk.files().iter().any(|(path, len)| *len == 7 && path.to_string_lossy().contains("-stray")));
    engine.close().unwrap();
}

#[test]
fn nothing_is_changed_in_a_directory_that_was_closed() {
    for round in 0..30 {
        let disk = MemoryDisk::new();
        let engine = Engine::builder().open_memory(&disk).unwrap();
        let begun = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (engine, begun) = (&engine, &begun);
            let busy = scope.spawn(move || {
                for number in 0.. {
                    let name = format!("topic-{number}");
                    begun.store(number > round % 3, Ordering::Release);
                    let made = engine.create_topic(&name, Some(3), &BTreeMap::new());
                    if made.and_then(|_| engine.delete_topic(&name)).is_err() {
                        return;
                    }
                }
            });
            while !begun.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            engine.close().unwrap();
            let steps = disk.steps();
            busy.join().unwrap();
            assert_eq!(disk.steps(), steps);
        });
    }
}

#[test]
fn a_sync_that_returns_well_after_the_directory_went_offline_acknowledges_nothing() {
    let engine = Engine::builder().open_memory(&MemoryDisk::stepped(7)).unwrap();
    let topic = engine.create_topic("orders", None, &BTreeMap::new()).unwrap();
    let partition = &topic.partitions[0];
    let mut results = Vec::new();
    partition.append(&mut [(&mut sealed(), Acks::All)], Timestamp(1), &mut results);
    let work = partition.sync_work().unwrap();
    engine.shared().lane.offline.set(Error::illegal_state("for the test"));
    assert!(matches!(partition.finish_sync(&work), Err(Error::Storage { .. })));
    assert_eq!((partition.high_watermark(), partition.durable_end()), (Offset(0), Offset(0)));
    assert!(engine.close().is_err());
}
