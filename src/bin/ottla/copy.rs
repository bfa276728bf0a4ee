//! `ottla replay --into`: what is played back is stored in a directory of topics.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use ottla::replay::{Archive, ReplayedRecord};
use ottla::{
    Admin, Delivery, Engine, Error, NewTopic, Offset, Producer, ProducerConfig, ProducerRecord, TopicPartition,
};

use crate::arguments::Replay as Command;
use crate::output::{Failure, say};

/// How many deliveries may wait to be looked at.
const WINDOW: usize = 10_000;
/// Topics that a broker keeps for itself: what they say is of its own offsets and members.
const INTERNAL: [&str; 4] = ["__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"];

/// A directory that is written to.
pub(crate) struct Copy {
    engine: Engine,
    producer: Producer<[u8], [u8]>,
    chosen: Vec<String>,
    sent: VecDeque<Sent>,
    stored: u64,
}

struct Sent {
    partition: TopicPartition,
    offset: Offset,
    delivery: Delivery,
}

impl Copy {
    /// Opens the directory, and makes the topics that it lacks.
    pub(crate) fn begin(into: &Path, archive: &Archive, command: &Command) -> Result<Self, Failure> {
        refuse_itself(into, archive.path())?;
        crate::check(into, true)?;
        let mut topics: BTreeMap<&str, u32> = BTreeMap::new();
        for partition in archive.logs().iter().map(|log| log.partition()) {
            let count = topics.entry(partition.topic()).or_default();
            *count = partition.partition().saturating_add(1).max(*count);
        }
        let is_named = |topic: &str| command.topics.iter().any(|named| named == topic);
        if command.topics.is_empty() {
            for topic in INTERNAL.iter().filter(|topic| topics.remove(**topic).is_some()) {
                say(format_args!("not stored: {topic} is a broker's own; --topic asks for it"));
            }
        } else {
            topics.retain(|topic, _| is_named(topic));
        }
        if topics.is_empty() {
            return Err(Failure::Usage(format!("{} holds no topic to store", archive.path().display())));
        }
        let engine = Engine::open(into)?;
        engine.report().iter().for_each(say);
        for (topic, count) in &topics {
            find_or_create(topic, *count, &engine)?;
        }
        let config = ProducerConfig::builder().max_request_size(LARGEST_BYTES).build()?;
        let producer = Producer::with_config(&engine, config)?;
        let chosen = topics.into_keys().map(str::to_owned).collect();
        Ok(Self { engine, producer, chosen, sent: VecDeque::new(), stored: 0 })
    }

    /// The topics that are stored.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = &str> {
        self.chosen.iter().map(String::as_str)
    }

    /// Sends a record to where it was.
    pub(crate) fn take(&mut self, found: &ReplayedRecord<'_>) -> Result<(), Failure> {
        let (partition, record) = (found.partition, &found.record);
        let mut copied: ProducerRecord<'_, [u8], [u8]> = ProducerRecord::to(partition.topic());
        copied.partition = Some(partition.partition());
        copied.timestamp = Some(record.timestamp());
        (copied.key, copied.value) = (record.key(), record.value());
        copied.headers = record.headers().iter().collect();
        let refused = |error| not_stored(partition, record.offset(), &error);
        let delivery = self.producer.send(copied).map_err(refused)?;
        self.sent.push_back(Sent { partition: partition.clone(), offset: record.offset(), delivery });
        if self.sent.len() >= WINDOW { self.wait_for(WINDOW / 2) } else { Ok(()) }
    }

    /// Waits until no more than `left` deliveries are open.
    fn wait_for(&mut self, left: usize) -> Result<(), Failure> {
        while self.sent.len() > left {
            let Some(Sent { partition, offset, delivery }) = self.sent.pop_front() else { break };
            delivery.wait().map_err(|error| not_stored(&partition, offset, &error))?;
            self.stored += 1;
        }
        Ok(())
    }

    /// Waits for all that was sent, and closes the directory. How many records were stored stays to be asked for.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        let waited = self.wait_for(0);
        let closed = self.producer.close().and_then(|()| self.engine.close());
        waited.and(closed.map_err(Failure::from))
    }

    /// How many records were stored.
    pub(crate) fn stored(&self) -> u64 {
        self.stored
    }
}

fn not_stored(partition: &TopicPartition, offset: Offset, error: &Error) -> Failure {
    Failure::Usage(format!("{partition}: offset {offset} was not stored: {error}"))
}

/// What is read must not be what is written.
fn refuse_itself(into: &Path, path: &Path) -> Result<(), Failure> {
    let Ok(path) = path.canonicalize() else { return Ok(()) };
    let known = into.ancestors().find_map(|ancestor| {
        let ancestor = if ancestor == Path::new("") { Path::new(".") } else { ancestor };
        ancestor.canonicalize().ok()
    });
    let is_around = into.canonicalize().is_ok_and(|into| path.starts_with(into));
    if is_around || known.is_some_and(|known| known.starts_with(&path)) {
        return Err(Failure::Usage(format!("--into {}: that is where the records are read from", into.display())));
    }
    Ok(())
}

fn find_or_create(topic: &str, count: u32, engine: &Engine) -> Result<(), Failure> {
    let admin = Admin::new(engine);
    let there = match admin.describe_topic(topic) {
        Err(Error::UnknownTopicOrPartition { .. }) => {
            // What was stored once is stored again, whatever its size and its time are.
            let new = NewTopic::new(topic).partitions(count).config("message.timestamp.after.max.ms", FOR_EVER);
            admin.create_topic(new.config("max.message.bytes", i32::MAX.to_string()))?
        }
        found => found?,
    };
    let has = u32::try_from(there.partitions.len()).unwrap_or(u32::MAX);
    if has < count {
        return Err(Failure::Usage(format!("{topic} is there, with fewer partitions: {has} in place of {count}")));
    }
    Ok(())
}

/// The longest time that a setting takes, in milliseconds.
const FOR_EVER: &str = "9223372036854775807";
/// No record is larger than a batch may be.
const LARGEST_BYTES: usize = 0x7fff_ffff;
