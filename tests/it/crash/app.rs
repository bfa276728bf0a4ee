//! An application that uses an engine, and a model that watches it.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{
    Acks, Admin, Compression, Consumer, ConsumerConfig, Delivery, Engine, EngineConfig, Error, Finding, MemoryDisk,
    NewTopic, Offset, Producer, ProducerConfig, ProducerRecord, Result, Timestamp, TopicPartition,
};

use super::model::{Contents, Model, Place};

/// The groups that read.
pub(super) const GROUPS: [&str; 2] = ["billing", "stock"];

/// The time of the first record; each next one is a second later.
const BEGIN: i64 = 1_600_000_000_000;

/// An open engine, with a producer for each kind of acks.
pub(super) struct App<'m> {
    pub(super) engine: Engine,
    admin: Admin,
    producers: [(Acks, Producer<str, str>); 3],
    /// Sent, and not heard of since.
    pending: Vec<(String, Delivery)>,
    pub(super) model: &'m mut Model,
}

impl<'m> App<'m> {
    pub(super) fn open(disk: &MemoryDisk, model: &'m mut Model) -> Result<Self> {
        Self::open_with(disk, model, Compression::None)
    }

    /// What is sent with `acks = all` or 0 is compressed like that.
    pub(super) fn open_with(disk: &MemoryDisk, model: &'m mut Model, compression: Compression) -> Result<Self> {
        let config = EngineConfig::builder().auto_create_topics(false).build()?;
        let engine = Engine::builder().config(config).open_memory(disk)?;
        let producer = |acks| {
            // Batches of one record with acks = 1: a flush writes several of them together.
            let batch_size = if acks == Acks::One { 1 } else { 16_384 };
            let compression = if acks == Acks::One { Compression::None } else { compression };
            let config = ProducerConfig::builder().acks(acks).batch_size(batch_size).retries(2);
            let config = config.compression(compression).build()?;
            Ok::<_, Error>((acks, Producer::with_config(&engine, config)?))
        };
        let producers = [producer(Acks::All)?, producer(Acks::One)?, producer(Acks::Zero)?];
        Ok(Self { admin: Admin::new(&engine), engine, producers, pending: Vec::new(), model })
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        self.engine.report().iter().cloned().collect()
    }

    // --- topics ----------------------------------------------------------------------------------------------------

    /// Creates a topic whose segments take about three records.
    pub(super) fn create(&mut self, name: &'static str, partitions: u32) -> Result<()> {
        self.create_with(name, partitions, 280)
    }

    /// Creates a topic whose segments take so many bytes.
    pub(super) fn create_with(&mut self, name: &'static str, partitions: u32, segment_bytes: u32) -> Result<()> {
        self.model.creates(name, partitions);
        let topic = NewTopic::new(name).partitions(partitions);
        let small = topic.config("segment.bytes", segment_bytes.to_string()).config("segment.index.bytes", "48");
        // The clock may go back by any time.
        let any_time = small.config("message.timestamp.after.max.ms", i64::MAX.to_string());
        let made = self.admin.create_topic(any_time.config("index.interval.bytes", "1"))?;
        self.model.created(name, made.id);
        Ok(())
    }

    /// Creates a topic of one partition that is never rolled.
    pub(super) fn create_large(&mut self, name: &'static str) -> Result<()> {
        self.model.creates(name, 1);
        let made = self.admin.create_topic(NewTopic::new(name))?;
        self.model.created(name, made.id);
        Ok(())
    }

    pub(super) fn delete(&mut self, name: &'static str) -> Result<()> {
        self.model.deletes(name);
        self.admin.delete_topic(name)?;
        self.model.deleted(name);
        Ok(())
    }

    /// Has the model look at the topics.
    pub(super) fn check_topics(&mut self) -> Result<()> {
        let listed = self.admin.list_topics()?.into_iter().map(|topic| (topic.name, (topic.id, topic.partitions)));
        self.model.check_topics(listed.collect());
        Ok(())
    }

    /// All partitions: name, and place in the model.
    pub(super) fn partitions(&self) -> Vec<(TopicPartition, Place)> {
        let topics = self.model.topics().into_iter();
        topics
            .flat_map(|(name, id, count)| (0..count).map(move |number| ((name, number).into(), (id, number))))
            .collect()
    }

    // --- records ---------------------------------------------------------------------------------------------------

    /// Queues a record; what becomes of it, `settle` tells.
    pub(super) fn send(&mut self, acks: Acks, topic: &'static str, partition: u32) -> Result<()> {
        self.send_padded(acks, topic, partition, "")
    }

    /// Queues a record whose value ends in `pad`.
    pub(super) fn send_padded(&mut self, acks: Acks, topic: &'static str, partition: u32, pad: &str) -> Result<()> {
        let time = Timestamp(BEGIN + 1000 * self.model.count().cast_signed());
        let value = self.model.sends((self.model.id(topic), partition), acks, pad);
        let record = ProducerRecord::to(topic).partition(partition).timestamp(time).value(value.as_str());
        match self.producer(acks).send(record) {
            Ok(delivery) => self.pending.push((value, delivery)),
            Err(error) => {
                self.model.failed(&value, &error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sends a record, and waits until it is where its acks want it.
    pub(super) fn send_and_wait(&mut self, acks: Acks, topic: &'static str, partition: u32) -> Result<()> {
        self.send(acks, topic, partition)?;
        self.wait()
    }

    /// Waits until what was sent last is where its acks want it.
    pub(super) fn wait(&mut self) -> Result<()> {
        let waited = self.pending.last().expect("it was just sent").1.wait();
        self.settle();
        waited.map(drop)
    }

    /// Has everything written that was sent with `acks`.
    pub(super) fn flush(&mut self, acks: Acks) -> Result<()> {
        let flushed = self.producer(acks).flush();
        self.settle();
        flushed
    }

    fn producer(&self, acks: Acks) -> &Producer<str, str> {
        &self.producers.iter().find(|(of, _)| *of == acks).expect("there is one of each").1
    }

    /// Tells the model what has been answered.
    pub(super) fn settle(&mut self) {
        let model = &mut *self.model;
        self.pending.retain(|(value, delivery)| match delivery.try_get() {
            None => true,
            Some(Ok(metadata)) => {
                model.acknowledged(value, metadata.offset().map(|offset| offset.0));
                false
            }
            Some(Err(error)) => {
                model.failed(value, &error);
                false
            }
        });
    }

    // --- reading ---------------------------------------------------------------------------------------------------

    /// Waits so long that all upkeep is done that is due.
    pub(super) fn let_time_pass(&self) -> Result<()> {
        let mut idle = Consumer::<str, str>::with_config(&self.engine, ConsumerConfig::default())?;
        idle.assign(self.partitions().into_iter().map(|(name, _)| name))?;
        while !idle.poll(Duration::from_secs(10))?.is_empty() {}
        Ok(())
    }

    /// Reads a partition from the front to the high watermark.
    pub(super) fn read(&mut self, name: &TopicPartition, place: Place) -> Result<Contents> {
        let end = self.engine.end_offset(name)?;
        let mut consumer = Consumer::<str, str>::with_config(&self.engine, ConsumerConfig::default())?;
        consumer.assign([name.clone()])?;
        let mut contents = Contents::new();
        while consumer.position(name)? < end {
            for record in &consumer.poll(Duration::ZERO)? {
                let value = record.value()?.expect("all have one").to_owned();
                self.model.saw(place, record.offset().0, &value);
                let twice = contents.insert(record.offset().0, value);
                assert_eq!(twice, None, "{}: {name} at {}", self.model.context, record.offset());
            }
        }
        self.check_times(&consumer, name, &contents)?;
        Ok(contents)
    }

    /// Times lead to the records that have them.
    fn check_times(&self, consumer: &Consumer<str, str>, name: &TopicPartition, contents: &Contents) -> Result<()> {
        let time = |value: &String| value.split('-').next().and_then(|number| number.parse::<i64>().ok());
        let times: BTreeMap<i64, i64> =
            contents.iter().filter_map(|(&offset, value)| Some((offset, BEGIN + 1000 * time(value)?))).collect();
        for at in times.values().flat_map(|time| [*time, time - 500]) {
            let expected = times.iter().find(|(_, time)| **time >= at).map(|(offset, _)| Offset(*offset));
            let found = consumer.offset_for_time(name, Timestamp(at))?.map(|(offset, _)| offset);
            assert_eq!(found, expected, "{}: {name} at time {at} of {times:?}", self.model.context);
        }
        Ok(())
    }

    /// Polls everything there is for a group, and commits it; checks that it goes on where it should if that is known.
    pub(super) fn consume(&mut self, group: &'static str, checked: &BTreeMap<Place, Contents>) -> Result<()> {
        let partitions = self.partitions();
        let config = ConsumerConfig::builder().group_id(Some(group.to_owned())).enable_auto_commit(false).build()?;
        let mut consumer = Consumer::<str, str>::with_config(&self.engine, config)?;
        consumer.assign(partitions.iter().map(|(name, _)| name.clone()))?;
        let places: BTreeMap<TopicPartition, Place> = partitions.into_iter().collect();
        for (name, place) in &places {
            if let Some(contents) = checked.get(place) {
                self.model.check_start(group, *place, consumer.position(name)?.0, contents);
            }
        }
        loop {
            let records = consumer.poll(Duration::ZERO)?;
            for record in &records {
                let value = record.value()?.expect("all have one");
                self.model.polled(group, places[record.topic_partition()], record.offset().0, value);
            }
            if records.is_empty() {
                break;
            }
        }
        for (name, place) in &places {
            self.model.commits(group, *place, consumer.position(name)?.0);
        }
        consumer.commit_sync()?;
        self.model.committed(group);
        Ok(())
    }

    /// Reads all, and holds it against the model. Whatever is there now, stays.
    pub(super) fn check_all(&mut self) -> Result<BTreeMap<Place, Contents>> {
        self.check_topics()?;
        let mut all = BTreeMap::new();
        for (name, place) in self.partitions() {
            let contents = self.read(&name, place)?;
            self.model.check_contents(place, &contents);
            all.insert(place, contents);
        }
        self.model.check_nothing_is_missing();
        Ok(all)
    }

    /// Closes the engine: everything is on the disk.
    pub(super) fn close(mut self) -> Result<()> {
        let closed = self.engine.close();
        self.settle();
        closed?;
        self.model.closed();
        Ok(())
    }
}

/// What was answered before the end is known to the model.
impl Drop for App<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.settle();
        }
    }
}
