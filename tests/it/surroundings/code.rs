//! Panics in the application's code, and handles that it never lets go.
//!
//! Serializers, partitioners, interceptors and wakers that panic are in `producer` and `consumer`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use ottla::{
    Cause, Consumer, ConsumerConfig, Deserializer, Engine, Error, ErrorClass, MemoryDisk, OwnDeserializer,
    ProducerRecord,
};

use super::{open_with_two, part as process, producer, read, run_part, scratch, send, t};

// faults: P05
#[test]
fn callback_that_panics_keeps_no_other_from_being_called() {
    let engine = Engine::in_memory().unwrap();
    let producer = producer(&engine);
    let (tell, told) = channel();
    producer.send_with(ProducerRecord::to("t").value("a"), |_| panic!("it was asked to")).unwrap();
    producer.send_with(ProducerRecord::to("t").value("b"), move |sent| tell.send(sent.unwrap()).unwrap()).unwrap();
    producer.flush().unwrap();
    assert_eq!(told.recv().unwrap().offset(), Some(ottla::Offset(1)));
    assert_eq!(read(&engine).unwrap(), ["a", "b"]);
    engine.close().unwrap();
}

// faults: P05
#[test]
fn panic_of_a_thread_that_holds_handles_concerns_no_other_thread() {
    let engine = Engine::in_memory().unwrap();
    let (shared, mine) = (Arc::new(producer(&engine)), engine.clone());
    let other = Arc::clone(&shared);
    let ended = thread::scope(|scope| {
        let panics = scope.spawn(move || {
            let mut consumer = Consumer::<str, str>::new(&mine, "billing").unwrap();
            other.send(ProducerRecord::to("t").value("a")).unwrap().wait().unwrap();
            consumer.subscribe(["t"]).unwrap();
            panic!("it was asked to");
        });
        panics.join()
    });
    assert!(ended.is_err());
    shared.send(ProducerRecord::to("t").value("b")).unwrap().wait().unwrap();
    let mut next = Consumer::<str, str>::new(&engine, "billing").unwrap();
    next.subscribe(["t"]).unwrap(); // the member is gone with its thread
    assert_eq!(read(&engine).unwrap(), ["a", "b"]);
    engine.close().unwrap();
}

/// Panics at the value `b`.
struct Panicking;

impl Deserializer<str> for Panicking {
    fn deserialize<'a>(&self, _topic: &str, bytes: &'a [u8]) -> Result<&'a str, Cause> {
        assert_ne!(bytes, b"b", "it was asked to");
        Ok(std::str::from_utf8(bytes).unwrap())
    }
}

// faults: P05
#[test]
fn deserializer_that_panics_is_an_error_at_its_record_and_takes_no_other_along() {
    let engine = Engine::in_memory().unwrap();
    send(&engine, "a").unwrap();
    send(&engine, "b").unwrap();
    let (keys, values) = (str::deserializer(), Arc::new(Panicking));
    let mut consumer =
        Consumer::<str, str>::with_deserializers(&engine, ConsumerConfig::default(), keys, values).unwrap();
    consumer.assign([t()]).unwrap();
    assert_eq!(consumer.poll(Duration::from_secs(10)).unwrap().len(), 1);
    for _ in 0..2 {
        let error = consumer.poll(Duration::from_secs(10)).unwrap_err();
        assert!(matches!(error, Error::RecordDeserialization { offset: ottla::Offset(1), .. }), "{error}");
    }
    drop(consumer);
    assert_eq!(read(&engine).unwrap(), ["a", "b"]);
    engine.close().unwrap();
}

// faults: P05
#[test]
fn commit_callback_that_panics_leaves_the_consumer_and_the_commit_alone() {
    let engine = Engine::in_memory().unwrap();
    send(&engine, "a").unwrap();
    let mut consumer = Consumer::<str, str>::new(&engine, "billing").unwrap();
    consumer.commit_async_offsets([(t(), ottla::Offset(1).into())], |_, _| panic!("it was asked to")).unwrap();
    // Callbacks run on the thread that calls: that is where the panic goes.
    let outcome = catch_unwind(AssertUnwindSafe(|| consumer.commit_sync_offsets([(t(), ottla::Offset(1).into())])));
    drop(outcome);
    assert_eq!(consumer.committed(&t()).unwrap().map(|committed| committed.offset.0), Some(1));
    consumer.commit_sync_offsets([(t(), ottla::Offset(0).into())]).unwrap();
    engine.close().unwrap();
}

// faults: P06
#[test]
fn closing_twice_is_no_error_and_using_what_is_closed_is_one() {
    let engine = Engine::builder().open_memory(&MemoryDisk::new()).unwrap();
    send(&engine, "a").unwrap();
    let producer = producer(&engine);
    let mut consumer = Consumer::<str, str>::new(&engine, "billing").unwrap();
    consumer.subscribe(["t"]).unwrap();
    engine.close().unwrap();
    engine.close().unwrap();
    let is_closed = |error: Error| {
        assert!(matches!(error, Error::Closed { .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Fatal);
    };
    is_closed(ottla::Producer::<str, str>::new(&engine).map(drop).unwrap_err());
    is_closed(producer.send(ProducerRecord::to("t").value("b")).and_then(|delivery| delivery.wait()).unwrap_err());
    is_closed(consumer.poll(Duration::from_secs(10)).unwrap_err());
    is_closed(consumer.commit_sync_offsets([(t(), ottla::Offset(1).into())]).unwrap_err());
    is_closed(ottla::Admin::new(&engine).create_topic(ottla::NewTopic::new("u")).unwrap_err());
    is_closed(engine.end_offset(&t()).unwrap_err());
    drop(producer.close());
    drop(producer.close());
    drop(consumer.close());
    assert_eq!(engine.close().map_err(|error| error.to_string()), Ok(()));
}

// faults: P06
#[test]
fn forty_openings_and_closings_leave_no_descriptor_thread_or_map_behind() {
    let directory = scratch();
    run_part("code::part::opens_and_closes_forty_times", directory.path());
}

// faults: P06
#[test]
fn forgotten_handles_keep_nothing_from_being_closed() {
    let directory = scratch();
    let engine = open_with_two(directory.path());
    let mut consumer = Consumer::<str, str>::new(&engine, "billing").unwrap();
    consumer.subscribe(["t"]).unwrap();
    let records = consumer.poll(Duration::from_secs(10)).unwrap();
    assert_eq!(records.len(), 2);
    let producer = producer(&engine);
    std::mem::forget(producer.send(ProducerRecord::to("t").value("c")).unwrap());
    std::mem::forget(records);
    std::mem::forget(consumer);
    std::mem::forget(producer);
    std::mem::forget(engine.clone());
    engine.close().unwrap();
    let engine = Engine::open(directory.path()).unwrap();
    assert!(engine.report().is_empty());
    assert_eq!(read(&engine).unwrap(), ["a", "b", "c"]);
    engine.close().unwrap();
}

// faults: P06
#[test]
fn forgotten_engine_is_as_a_crash() {
    let directory = scratch();
    run_part("code::part::forgets_its_engine", directory.path());
    let engine = Engine::open(directory.path()).unwrap();
    assert_eq!(read(&engine).unwrap(), ["a", "b"]);
    engine.close().unwrap();
}

// faults: P06
#[test]
fn engine_that_is_dropped_is_closed() {
    let directory = scratch();
    drop(open_with_two(directory.path()));
    let engine = Engine::open(directory.path()).unwrap();
    assert!(engine.report().is_empty());
    assert_eq!(read(&engine).unwrap(), ["a", "b"]);
}

// faults: P05
#[test]
fn process_that_panics_with_an_engine_open_loses_nothing() {
    let directory = scratch();
    let ran = process("code::part::panics", directory.path()).output().unwrap();
    assert_eq!(ran.status.code(), Some(101));
    let engine = Engine::open(directory.path()).unwrap();
    assert_eq!(read(&engine).unwrap(), ["a", "b"]);
}

mod part {
    use std::fs;

    use super::super::{directory, open_with_two};
    use super::*;

    /// How many descriptors, threads and maps this process has.
    #[expect(clippy::disallowed_methods, reason = "asks the kernel")]
    fn held() -> [usize; 3] {
        let entries = |of: &str| fs::read_dir(format!("/proc/self/{of}")).unwrap().count();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let of_files = maps.lines().filter(|line| line.ends_with(".log")).count();
        [entries("fd"), entries("task"), of_files]
    }

    #[test]
    #[ignore = "a part of another test: cargo test --all-features --test it surroundings::code; alone it does nothing"]
    fn opens_and_closes_forty_times() {
        let Some(directory) = directory() else { return };
        let before = held();
        for round in 0..40usize {
            let engine = Engine::open(&directory).unwrap();
            send(&engine, "x").unwrap();
            assert_eq!(read(&engine).unwrap().len(), round + 1);
            if round % 2 == 0 {
                engine.close().unwrap();
            }
        }
        assert_eq!(held(), before);
    }

    #[test]
    #[ignore = "a part of another test: cargo test --all-features --test it surroundings::code; alone it does nothing"]
    fn forgets_its_engine() {
        let Some(directory) = directory() else { return };
        std::mem::forget(open_with_two(&directory));
        let second = Engine::open(&directory).unwrap_err();
        assert!(matches!(second, Error::DirectoryLocked { .. }), "{second}");
    }

    #[test]
    #[ignore = "a part of another test: cargo test --all-features --test it surroundings::code; alone it does nothing"]
    fn panics() {
        let Some(directory) = directory() else { return };
        let _engine = open_with_two(&directory);
        panic!("it was asked to");
    }
}
