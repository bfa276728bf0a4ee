//! Crashes of an engine that runs on threads, at whatever moment they come.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ottla::{
    Acks, Admin, Consumer, ConsumerConfig, Engine, MemoryDisk, NewTopic, Producer, ProducerConfig, ProducerRecord,
    Result, TopicPartition,
};

use super::model::Crash;

const PARTITIONS: u32 = 2;
const THREADS: usize = 4;

/// Records by partition and offset.
type Records = BTreeMap<(u32, i64), String>;

#[test]
fn crash_under_many_threads_loses_nothing_acknowledged() {
    let disk = MemoryDisk::new();
    let mut promised = Records::new();
    for round in 0..15 {
        let crash = [Crash::Kill, Crash::Cut, Crash::CutKeeping(round)][usize::try_from(round).unwrap() % 3];
        let engine = Engine::builder().open_memory(&disk).unwrap();
        if round == 0 {
            let topic = NewTopic::new("orders").partitions(PARTITIONS).config("segment.bytes", "4096");
            Admin::new(&engine).create_topic(topic).unwrap();
        }
        let found = read(&engine).unwrap();
        for (place, value) in &promised {
            assert_eq!(found.get(place), Some(value), "round {round}, at {place:?}");
        }
        promised = found; // seen after a restart, it stays
        promised.extend(run_until_it_crashes(&engine, &disk, crash, round));
    }
}

/// Produces and reads on all threads; answers what was acknowledged with `acks = all`, or seen of that.
fn run_until_it_crashes(engine: &Engine, disk: &MemoryDisk, crash: Crash, round: u64) -> Records {
    let (promised, acknowledged) = (Mutex::new(Records::new()), AtomicUsize::new(0));
    let has_crashed = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (promised, acknowledged) = (&promised, &acknowledged);
            scope.spawn(move || {
                let acks = if number == 0 { Acks::One } else { Acks::All };
                let _ = produce(engine, acks, &format!("{round}-{number}"), promised, acknowledged);
            });
        }
        scope.spawn(|| {
            let _ = watch(engine, &promised, &has_crashed);
        });
        while acknowledged.load(Ordering::Relaxed) < 40 {
            thread::yield_now();
        }
        crash.happens(disk);
        has_crashed.store(true, Ordering::Relaxed);
    });
    promised.into_inner().unwrap()
}

/// Sends until an error comes.
fn produce(
    engine: &Engine,
    acks: Acks,
    name: &str,
    promised: &Mutex<Records>,
    acknowledged: &AtomicUsize,
) -> Result<()> {
    let producer =
        Producer::<str, str>::with_config(engine, ProducerConfig::builder().acks(acks).build().expect("it is valid"))?;
    for number in 0.. {
        let value = format!("{name}-{number}-{acks}");
        let partition = number % PARTITIONS;
        let sent = producer.send(ProducerRecord::to("orders").partition(partition).value(value.as_str()))?.wait()?;
        acknowledged.fetch_add(1, Ordering::Relaxed);
        if acks == Acks::All {
            let offset = sent.offset().expect("acks = all gives one").0;
            promised.lock().unwrap().insert((partition, offset), value);
        }
    }
    Ok(())
}

/// Reads until the crash; with nothing to read, it would not notice.
fn watch(engine: &Engine, promised: &Mutex<Records>, has_crashed: &AtomicBool) -> Result<()> {
    let mut consumer = Consumer::<str, str>::with_config(engine, ConsumerConfig::default())?;
    consumer.assign(partitions())?;
    while !has_crashed.load(Ordering::Relaxed) {
        for record in &consumer.poll(Duration::from_millis(50))? {
            let value = record.value()?.expect("all have one");
            if value.ends_with("all") {
                promised.lock().unwrap().insert((record.partition(), record.offset().0), value.to_owned());
            }
        }
    }
    Ok(())
}

fn read(engine: &Engine) -> Result<Records> {
    let mut consumer = Consumer::<str, str>::with_config(engine, ConsumerConfig::default())?;
    let mut found = Records::new();
    consumer.assign(partitions())?;
    loop {
        let records = consumer.poll(Duration::ZERO)?;
        if records.is_empty() {
            return Ok(found);
        }
        for record in &records {
            let place = (record.partition(), record.offset().0);
            let twice = found.insert(place, record.value()?.expect("all have one").to_owned());
            assert_eq!(twice, None, "{place:?}");
        }
    }
}

fn partitions() -> impl Iterator<Item = TopicPartition> {
    (0..PARTITIONS).map(|number| ("orders", number).into())
}
