//! What happened between two times: a day of orders is stored, and the part of it in question is read again, by
//! partition, as far as the records that were there when the question was asked.
//!
//! ```text
//! cargo run --example replay_by_time
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{
    Admin, Consumer, ConsumerConfig, Engine, NewTopic, Offset, Producer, ProducerRecord, Result, Timestamp,
    TopicPartition,
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// 2026-03-02T00:00:00Z, in milliseconds since 1970.
const MIDNIGHT: i64 = 1_772_409_600_000;

fn main() -> Result<()> {
    let engine = Engine::in_memory()?;
    store_a_day(&engine)?;

    // Something went wrong at the till from 14:00 to 15:30. What was sold then?
    let (from, to) = (Timestamp(MIDNIGHT + 14 * HOUR), Timestamp(MIDNIGHT + 15 * HOUR + 30 * MINUTE));
    let replayed = replay(&engine, from, to)?;
    println!("replayed {} orders", replayed.len());
    assert_eq!(replayed.first().map(String::as_str), Some("order 14:00"));
    assert_eq!(replayed.last().map(String::as_str), Some("order 15:20"));
    assert_eq!(replayed.len(), 9);

    // Or from a time that is counted back from now; all of that day is older.
    let config = ConsumerConfig::builder().set("auto.offset.reset", "by_duration:PT12H")?.build()?;
    let mut recent = Consumer::<str, str>::with_config(&engine, config)?;
    recent.assign([("orders", 0).into()])?;
    assert_eq!(recent.position(&("orders", 0).into())?, engine.end_offset(&("orders", 0).into())?);
    recent.close()?;
    engine.close()
}

/// An order every ten minutes, in turn to one of two partitions.
fn store_a_day(engine: &Engine) -> Result<()> {
    Admin::new(engine).create_topic(NewTopic::new("orders").partitions(2))?;
    let producer = Producer::<str, str>::new(engine)?;
    for number in 0..24 * 6 {
        let minutes = i64::from(number) * 10;
        let value = format!("order {:02}:{:02}", minutes / 60, minutes % 60);
        let time = Timestamp(MIDNIGHT + minutes * MINUTE);
        producer.send(ProducerRecord::to("orders").partition(number % 2).value(value.as_str()).timestamp(time))?;
    }
    producer.flush()?;
    println!("stored 144 orders");
    producer.close()
}

/// The orders from `from` on and before `to`, in the order of their times.
fn replay(engine: &Engine, from: Timestamp, to: Timestamp) -> Result<Vec<String>> {
    let partitions = [TopicPartition::new("orders", 0), TopicPartition::new("orders", 1)];
    // Without a group: nothing is committed, and whoever reads in a group is not disturbed.
    let mut consumer = Consumer::<str, str>::with_config(engine, ConsumerConfig::default())?;
    consumer.assign(partitions.iter().cloned())?;
    consumer.seek_to_time([], from)?;

    // Where to stop: at the first order that is too late, or at the end as it is now.
    let ends = consumer.end_offsets(&partitions)?;
    let late = consumer.offsets_for_times(partitions.iter().map(|partition| (partition.clone(), to)))?;
    let stop_at = |partition: &TopicPartition| late[partition].map_or(ends[partition], |late| late.offset);
    let stops: BTreeMap<TopicPartition, Offset> =
        partitions.iter().map(|partition| (partition.clone(), stop_at(partition))).collect();

    let mut found = Vec::new();
    for partition in &partitions {
        let begin = consumer.position(partition)?;
        println!("{partition}: offsets {begin} to {}", stops[partition]);
    }
    while partitions.iter().any(|partition| consumer.position(partition).is_ok_and(|at| at < stops[partition])) {
        for record in &consumer.poll(Duration::from_secs(5))? {
            // Times may go back a little within a partition, where many threads send: so each is looked at.
            let is_asked_for = record.timestamp() >= from && record.timestamp() < to;
            if is_asked_for && record.offset() < stops[record.topic_partition()] {
                found.push((record.timestamp(), record.value()?.unwrap_or_default().to_owned()));
            }
        }
    }
    found.sort();
    consumer.close()?;
    Ok(found.into_iter().map(|(_, order)| order).collect())
}
