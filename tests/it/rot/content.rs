//! What a directory is known to hold, and what can be read of it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ottla::{
    Acks, Admin, Consumer, ConsumerConfig, Engine, Error, NewTopic, Offset, Producer, ProducerConfig, ProducerRecord,
    Result, Timestamp, TopicPartition,
};

/// The time of the record at offset 0; each next one is a second later.
pub(super) const BEGIN: i64 = 1_600_000_000_000;

/// The value of each record says which it is, so that none can be taken for another.
pub(super) fn value_of(partition: &TopicPartition, offset: i64) -> String {
    let filler = "x".repeat(usize::try_from(offset * 7 % 23).expect("it is small"));
    format!("{partition}@{offset}{filler}")
}

/// How a topic's log is cut.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub(super) segment_bytes: u32,
    pub(super) index_interval_bytes: u32,
}

pub(super) fn create(engine: &Engine, topic: &str, partitions: u32, cut: Cut) -> Result<()> {
    let new = NewTopic::new(topic)
        .partitions(partitions)
        .config("segment.bytes", cut.segment_bytes.to_string())
        .config("index.interval.bytes", cut.index_interval_bytes.to_string());
    Admin::new(engine).create_topic(new).map(drop)
}

/// Appends `count` records that are one batch, and waits for them.
pub(super) fn append_batch(engine: &Engine, partition: &TopicPartition, count: i64, acks: Acks) -> Result<Vec<i64>> {
    let config = ProducerConfig::builder().acks(acks).linger(Duration::from_secs(60)).build()?;
    let producer = Producer::<str, str>::with_config(engine, config)?;
    let end = description_end(engine, partition)?;
    let values: Vec<String> = (end..end + count).map(|offset| value_of(partition, offset)).collect();
    let mut deliveries = Vec::new();
    for (offset, value) in (end..).zip(&values) {
        let record = ProducerRecord::to(partition.topic()).partition(partition.partition());
        let time = Timestamp(BEGIN + 1000 * offset);
        deliveries.push(producer.send(record.key("k").value(value.as_str()).timestamp(time))?);
    }
    producer.flush()?;
    let offsets = deliveries.into_iter().map(|delivery| Ok(delivery.wait()?.offset().expect("it has acks").0));
    let offsets: Vec<i64> = offsets.collect::<Result<_>>()?;
    assert!(offsets.iter().copied().eq(end..end + count), "{offsets:?} from {end} on");
    Ok(offsets)
}

fn description_end(engine: &Engine, partition: &TopicPartition) -> Result<i64> {
    let topic = Admin::new(engine).describe_topic(partition.topic())?;
    let found = topic.partitions.iter().find(|each| each.partition == *partition).expect("it is there");
    Ok(found.log_end_offset.0)
}

/// One place that could not be read.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) offsets: RangeInclusive<i64>,
    pub(super) path: PathBuf,
    pub(super) file_position: u64,
}

/// What reading a partition from the front to the end came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) records: BTreeMap<i64, String>,
    pub(super) lost: Vec<Lost>,
    pub(super) end: i64,
}

impl Found {
    pub(super) fn lost_offsets(&self) -> Vec<i64> {
        self.lost.iter().flat_map(|lost| lost.offsets.clone()).collect()
    }
}

/// Reads a partition to its end, seeking past what is damaged; every record is held against what it has to be, and
/// every offset has to be either read or in an error.
pub(super) fn read(engine: &Engine, partition: &TopicPartition) -> Result<Found> {
    let config = ConsumerConfig::builder().max_partition_fetch_bytes(300).build()?;
    let mut consumer = Consumer::<str, str>::with_config(engine, config)?;
    consumer.assign([partition.clone()])?;
    let begin = consumer.beginning_offset(partition)?.0;
    let end = engine.end_offset(partition)?.0;
    let mut found = Found { end, ..Found::default() };
    let mut next = begin;
    while consumer.position(partition)?.0 < end {
        match consumer.poll(Duration::ZERO) {
            Ok(records) => {
                assert!(!records.is_empty(), "{partition}: nothing at {next}, and the end is {end}");
                for record in &records {
                    let offset = record.offset().0;
                    assert_eq!(offset, next, "{partition}: offsets are passed over in silence");
                    let value = record.value()?.expect("all have one");
                    assert_eq!(value, value_of(partition, offset), "{partition} at {offset}");
                    assert_eq!(record.timestamp(), Timestamp(BEGIN + 1000 * offset), "{partition} at {offset}");
                    found.records.insert(offset, value.to_owned());
                    next = offset + 1;
                }
            }
            Err(Error::CorruptBatch { partition: named, first, last, path, file_position, .. }) => {
                assert_eq!(named, *partition);
                assert!(first.0 <= next && next <= last.0, "{partition}: {first} to {last} at {next}");
                found.lost.push(Lost { offsets: next..=last.0, path, file_position });
                next = last.0 + 1;
                consumer.seek(partition, Offset(next))?;
            }
            Err(error) => return Err(error),
        }
    }
    assert!(next >= end, "{partition}: read to {next} of {end}");
    assert!(found.lost.iter().all(|lost| *lost.offsets.end() < end), "{partition}: {:?} of {end}", found.lost);
    Ok(found)
}

/// Reads each record alone, as one who seeks: it is there, or it is said to be damaged.
pub(super) fn check_seeks(engine: &Engine, partition: &TopicPartition, found: &Found) -> Result<()> {
    let mut consumer = Consumer::<str, str>::with_config(engine, ConsumerConfig::default())?;
    consumer.assign([partition.clone()])?;
    for (&offset, value) in &found.records {
        consumer.seek(partition, Offset(offset))?;
        let records = consumer.poll(Duration::ZERO)?;
        let first = records.iter().next().expect("the log does not end there");
        assert_eq!((first.offset().0, first.value()?), (offset, Some(value.as_str())), "{partition}");
    }
    for offset in found.lost_offsets() {
        consumer.seek(partition, Offset(offset))?;
        match consumer.poll(Duration::ZERO) {
            Err(Error::CorruptBatch { first, last, .. }) if first.0 <= offset && offset <= last.0 => {}
            other => panic!("{partition} at {offset}: {other:?}"),
        }
    }
    Ok(())
}
