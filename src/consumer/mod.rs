//! What an application reads with: a position in each partition, and a group that remembers it.
//!
//! Everything happens in the caller's thread, inside [`Consumer::poll`]; there is no thread behind a consumer, and
//! nothing is read ahead of a poll but what the last read brought along. Its parts:
//!
//! | module | is about |
//! |---|---|
//! | `subscription` | what is read: topics or partitions |
//! | `fetcher` | positions, buffers, and whose turn it is |
//! | `record` | what poll returns, borrowed from the batches as they were read |
//! | `deserializer` | what keys and values look like |
//! | `commit` | how positions get into the group |

mod commit;
mod config;
mod deserializer;
mod fetcher;
mod record;
mod subscription;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::sync::{Moment, wait_for};
use crate::types::{Offset, Timestamp, TopicPartition};

use commit::Commits;
use fetcher::{Fetcher, Rules};
use record::{Chunk, Deserializers};
use subscription::Subscription;

pub use commit::OffsetAndMetadata;
pub use config::{AutoOffsetReset, ConsumerConfig, ConsumerConfigBuilder};
pub use deserializer::{Deserialize, Deserializer, OwnDeserializer};
pub use record::{ConsumerRecord, ConsumerRecords, Iter};

/// Reads records, and remembers under a group's name how far it came. Kafka: `KafkaConsumer`.
///
/// A consumer belongs to one thread at a time: its methods take `&mut self`, and it can be sent to another thread.
/// A group takes one subscribed consumer at a time.
///
/// Dropping a consumer closes it and logs what fails; during a panic nothing is committed, since the last records
/// were hardly processed then.
///
/// ```
/// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord};
/// # use std::time::Duration;
/// let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
///
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.subscribe(["orders"])?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     assert_eq!(record.value()?, Some("paid"));
/// }
/// consumer.commit_sync()?;
/// assert_eq!(consumer.committed(&("orders", 0).into())?.map(|committed| committed.offset), Some(Offset(1)));
/// consumer.close()?;
/// # Ok::<(), ottla::Error>(())
/// ```
pub struct Consumer<K: ?Sized + Deserialize, V: ?Sized + Deserialize> {
    engine: Engine,
    deserializers: Deserializers<K, V>,
    reset: AutoOffsetReset,
    subscription: Subscription,
    fetcher: Fetcher,
    commits: Commits,
    is_closed: bool,
}

impl<K: ?Sized + OwnDeserializer, V: ?Sized + OwnDeserializer> Consumer<K, V> {
    /// Makes a consumer of the group `group`, with the defaults of [`ConsumerConfig`].
    ///
    /// # Errors
    /// [`Error::InvalidGroupId`] if a group cannot have that name, [`Error::Closed`] if the engine was closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Error};
    /// # let engine = Engine::in_memory()?;
    /// let consumer = Consumer::<str, [u8]>::new(&engine, "billing")?; // keys are text, values bytes
    /// assert!(consumer.assignment().is_empty()); // until it subscribes or assigns
    /// assert!(matches!(Consumer::<str, str>::new(&engine, " "), Err(Error::InvalidGroupId { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn new(engine: &Engine, group: &str) -> Result<Self> {
        Self::with_config(engine, ConsumerConfig::builder().group_id(Some(group.to_owned())).build()?)
    }

    /// Makes a consumer with settings. Without a `group.id` it can assign partitions, and neither subscribe nor commit.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, ConsumerConfig, Engine, Error, Offset};
    /// # let engine = Engine::in_memory()?;
    /// let mut replay = Consumer::<[u8], [u8]>::with_config(&engine, ConsumerConfig::default())?;
    /// assert!(matches!(replay.commit_sync(), Err(Error::InvalidGroupId { .. }))); // it has no group
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_config(engine: &Engine, config: ConsumerConfig) -> Result<Self> {
        Self::with_deserializers(engine, config, K::deserializer(), V::deserializer())
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Consumer<K, V> {
    /// Makes a consumer that reads keys and values with `key` and `value`. Kafka: `key.deserializer`,
    /// `value.deserializer`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, ConsumerConfig, Engine, Error, OwnDeserializer};
    /// # let engine = Engine::in_memory()?;
    /// let config = ConsumerConfig::builder().group_id(Some("billing".into())).build()?;
    /// let text = str::deserializer();
    /// let mut consumer = Consumer::<str, str>::with_deserializers(&engine, config, text.clone(), text)?;
    /// let unknown = consumer.subscribe(["orders"]); // a consumer makes no topic
    /// assert!(matches!(unknown, Err(Error::UnknownTopicOrPartition { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_deserializers(
        engine: &Engine,
        config: ConsumerConfig,
        key: Arc<dyn Deserializer<K>>,
        value: Arc<dyn Deserializer<V>>,
    ) -> Result<Self> {
        engine.ensure_open()?;
        Ok(Self {
            engine: engine.clone(),
            deserializers: Deserializers { key, value },
            reset: config.auto_offset_reset,
            subscription: Subscription::None,
            fetcher: Fetcher::new(Rules::of(&config)),
            commits: Commits::new(engine, &config)?,
            is_closed: false,
        })
    }

    /// Reads all partitions of `topics` from now on, in place of the topics subscribed to before. Without any topic
    /// it is [`unsubscribe`](Self::unsubscribe).
    ///
    /// The consumer becomes the member of its group at once; the next [`poll`](Self::poll) takes up the partitions.
    /// Those that it had already keep their position.
    ///
    /// # Errors
    /// [`Error::IllegalState`] after [`assign`](Self::assign); [`Error::InvalidGroupId`] without a group;
    /// [`Error::GroupMaxSizeReached`] if the group has another member; [`Error::UnknownTopicOrPartition`] if there is
    /// no such topic, [`Error::InvalidTopic`] or [`Error::IllegalArgument`] if there can be none of that name;
    /// [`Error::Closed`]. Then nothing has changed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Error, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// assert_eq!(consumer.subscription(), ["orders"]);
    /// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 3);
    ///
    /// let mut second = Consumer::<str, str>::new(&engine, "billing")?;
    /// assert!(matches!(second.subscribe(["orders"]), Err(Error::GroupMaxSizeReached { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn subscribe(&mut self, topics: impl IntoIterator<Item = impl AsRef<str>>) -> Result<()> {
        self.ensure_open()?;
        let names: Vec<Arc<str>> = topics.into_iter().map(|name| name.as_ref().into()).collect();
        if names.is_empty() {
            return self.unsubscribe();
        }
        self.subscription.allow_topics()?;
        let names = subscription::known_topics(&self.engine, names)?;
        self.commits.join()?;
        self.subscription = Subscription::Topics { names, is_taken_up: false };
        Ok(())
    }

    /// Reads `partitions` from now on, in place of those assigned before. Without any it is
    /// [`unsubscribe`](Self::unsubscribe).
    ///
    /// The consumer does not become a member of its group, if it has one, but begins where the group has committed.
    /// Partitions that it had already keep their position.
    ///
    /// # Errors
    /// [`Error::IllegalState`] after [`subscribe`](Self::subscribe); [`Error::UnknownTopicOrPartition`] if there is no
    /// such partition; [`Error::Closed`]. Then nothing has changed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Consumer, Engine, NewTopic, Offset, TopicPartition};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(2))?;
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// let last = TopicPartition::new("orders", 1);
    /// consumer.assign([last.clone()])?;
    /// assert_eq!(consumer.position(&last)?, Offset(0));
    /// assert!(consumer.poll(Duration::ZERO)?.is_empty());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn assign(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) -> Result<()> {
        self.ensure_open()?;
        let partitions: Vec<_> = partitions.into_iter().collect();
        if partitions.is_empty() {
            return self.unsubscribe();
        }
        self.subscription.allow_partitions()?;
        let sources = subscription::sources(&self.engine, partitions)?;
        self.commits.commit_if_due(&self.fetcher);
        self.fetcher.assign(sources);
        self.subscription = Subscription::Partitions;
        Ok(())
    }

    /// Reads nothing from now on, and leaves the group. Nothing is committed.
    ///
    /// # Errors
    /// [`Error::Closed`] after [`close`](Self::close).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Error, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// consumer.unsubscribe()?;
    /// assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::IllegalState { .. })));
    /// consumer.assign([("orders", 0).into()])?; // which `subscribe` forbade
    /// # Ok::<(), Error>(())
    /// ```
    pub fn unsubscribe(&mut self) -> Result<()> {
        self.ensure_open()?;
        self.let_go();
        Ok(())
    }

    /// The topics subscribed to, by name.
    #[must_use]
    pub fn subscription(&self) -> Vec<String> {
        self.subscription.topics()
    }

    /// The partitions that are read, in order. Those of topics subscribed to are taken up by the next poll.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.fetcher.lanes().iter().map(|lane| lane.name().clone()).collect()
    }

    /// Waits up to `timeout` for records, and returns up to `max.poll.records` of them; none when the time was up.
    /// Blocks no longer, but for what it reads from the disk, and commits when `auto.commit.interval.ms` has passed.
    ///
    /// What is there already is returned at once, even with a timeout of zero. Records that were returned count as
    /// read: the next poll goes on behind them, and may commit them. Only records below the high watermark are seen;
    /// no crash ever takes back one of `acks = all` that was.
    ///
    /// # Errors
    /// Records that come before an error are returned, and the next poll gives the error; it gives it again until its
    /// cause is gone.
    ///
    /// - [`Error::IllegalState`]: neither subscribed nor assigned.
    /// - [`Error::UnknownTopicOrPartition`]: a topic subscribed to was deleted before its partitions were taken up.
    /// - [`Error::UnknownTopicId`]: a topic was deleted, and perhaps created anew. Subscribe or assign again.
    /// - [`Error::NoOffsetForPartition`], [`Error::OffsetOutOfRange`]: there is no position, or it is outside the log,
    ///   and `auto.offset.reset` is `none`. Seek.
    /// - [`Error::LogTruncated`]: the position was cut back; given once, the next poll reads from there.
    /// - [`Error::RecordDeserialization`]: seek past the offset. [`Error::CorruptBatch`]: seek past `last`.
    /// - [`Error::CodecNotCompiled`]: at the [`position`](Self::position) is a batch that this build cannot unpack.
    /// - [`Error::Io`] and [`Error::Storage`] from the disk, [`Error::Closed`] after the engine or the consumer was
    ///   closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// let mut seen = Vec::new();
    /// loop {
    ///     let records = consumer.poll(Duration::from_millis(100))?;
    ///     if records.is_empty() {
    ///         break; // nothing came for as long
    ///     }
    ///     for record in &records {
    ///         seen.extend(record.value()?.map(str::to_owned));
    ///     }
    /// }
    /// assert_eq!(seen, ["made", "paid", "sent"]);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn poll(&mut self, timeout: Duration) -> Result<ConsumerRecords<K, V>> {
        self.ensure_open()?;
        if self.subscription.is_none() {
            return Err(Error::illegal_state("nothing to poll: subscribe to topics, or assign partitions"));
        }
        self.engine.ensure_open()?;
        let deadline = self.engine.scheduler().now() + timeout;
        self.take_up()?;
        loop {
            self.commits.commit_if_due(&self.fetcher);
            // Also while a poll waits, commits become due.
            let until = self.commits.due().map_or(deadline, |due| due.min(deadline));
            let chunks = self.wait_until(until)?;
            if !chunks.is_empty() || self.engine.scheduler().now() >= deadline {
                return Ok(ConsumerRecords::new(chunks, self.deserializers.clone()));
            }
        }
    }

    /// What is there, or comes before `until`.
    fn wait_until(&mut self, until: Moment) -> Result<Vec<Chunk>> {
        let scheduler = Arc::clone(self.engine.scheduler());
        let signal = Arc::clone(self.fetcher.signal());
        let (engine, fetcher, group) = (&self.engine, &mut self.fetcher, self.commits.group());
        let inspect = &self.deserializers;
        let mut round = || {
            engine.ensure_open()?;
            loop {
                let collected = fetcher.collect(group, inspect)?;
                // A round that only passed by what is not returned is no reason to wait.
                if collected.count > 0 || !collected.has_moved || scheduler.now() >= until {
                    return Ok(collected.chunks);
                }
            }
        };
        let ready = || Some(round()).filter(|outcome| !matches!(outcome, Ok(chunks) if chunks.is_empty()));
        wait_for(scheduler.as_ref(), &signal, Some(until), ready).unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Takes up the partitions of the topics subscribed to, if they have changed.
    fn take_up(&mut self) -> Result<()> {
        let Some(sources) = self.subscription.changed(&self.engine)? else { return Ok(()) };
        // The last chance for what is about to be let go.
        if let Err(error) = self.commits.commit_changes(&self.fetcher) {
            log::warn!("auto-commit failed: {error}");
        }
        self.fetcher.assign(sources);
        self.subscription.set_taken_up();
        Ok(())
    }

    /// Goes on at `offset` with the next poll; what was read ahead of it is dropped.
    ///
    /// Whether there is such an offset turns out when it is read: outside the log, `auto.offset.reset` says what
    /// happens.
    ///
    /// # Errors
    /// [`Error::IllegalArgument`] if `offset` is negative, [`Error::IllegalState`] if the partition is not assigned,
    /// [`Error::Closed`] after [`close`](Self::close).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord, TopicPartition};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// let partition = TopicPartition::new("orders", 0);
    /// consumer.assign([partition.clone()])?;
    /// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 3);
    /// consumer.seek(&partition, Offset(1))?; // again from the second record on
    /// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 2);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        self.ensure_open()?;
        if offset < Offset::ZERO {
            return Err(Error::illegal_argument(format!("{partition}: there is no offset {offset} to seek")));
        }
        self.fetcher.lane(partition)?.seek(offset);
        Ok(())
    }

    /// The offset of the next record that poll returns. Looks up where to begin if nothing was returned yet.
    ///
    /// # Errors
    /// [`Error::IllegalState`] if the partition is not assigned (those of topics subscribed to are with the next
    /// [`poll`](Self::poll)); [`Error::NoOffsetForPartition`] if there is nothing to begin with, and
    /// `auto.offset.reset` is `none`; [`Error::Closed`] after [`close`](Self::close).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.assign([("orders", 0).into()])?;
    /// assert_eq!(consumer.position(&("orders", 0).into())?, Offset(0));
    /// consumer.poll(Duration::from_secs(1))?;
    /// assert_eq!(consumer.position(&("orders", 0).into())?, Offset(3));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn position(&mut self, partition: &TopicPartition) -> Result<Offset> {
        self.ensure_open()?;
        let lane = self.fetcher.lane(partition)?;
        lane.settle(self.commits.group(), self.reset)?;
        lane.position().ok_or_else(|| Error::NoOffsetForPartition { partition: partition.clone() })
    }

    /// The first offset of a partition, assigned or not. Kafka: `beginningOffsets`. For the other end see
    /// [`Engine::end_offset`].
    ///
    /// # Errors
    /// [`Error::UnknownTopicOrPartition`] if there is no such partition, [`Error::Closed`] after the engine was closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord, TopicPartition};
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// let partition = TopicPartition::new("orders", 0);
    /// consumer.assign([partition.clone()])?;
    /// consumer.seek(&partition, consumer.beginning_offset(&partition)?)?; // all over again
    /// assert_eq!(consumer.position(&partition)?, Offset(0));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn beginning_offset(&self, partition: &TopicPartition) -> Result<Offset> {
        let topic = self.engine.topic(partition.topic())?;
        Ok(topic.partition(partition.partition())?.log_start())
    }

    /// The first record of a partition, assigned or not, whose timestamp is at or after `at`: its offset and timestamp.
    /// `None` if there is none. Blocks for reading files. Kafka: `offsetsForTimes`.
    ///
    /// The first by offset: later records may be older. Damaged batches are passed over.
    ///
    /// # Errors
    /// [`Error::IllegalArgument`] for a negative time, [`Error::UnknownTopicOrPartition`] if there is no such partition;
    /// [`Error::Io`], [`Error::Closed`] after the engine was closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord, Timestamp};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// for time in [1000, 2000, 3000] {
    ///     producer.send(ProducerRecord::to("orders").value("paid").timestamp(Timestamp(time)))?.wait()?;
    /// }
    /// let consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// let found = consumer.offset_for_time(&("orders", 0).into(), Timestamp(1500))?;
    /// assert_eq!(found, Some((Offset(1), Timestamp(2000))));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn offset_for_time(&self, partition: &TopicPartition, at: Timestamp) -> Result<Option<(Offset, Timestamp)>> {
        if at.0 < 0 {
            return Err(Error::illegal_argument(format!("{at} is no time to look for")));
        }
        let topic = self.engine.topic(partition.topic())?;
        topic.partition(partition.partition())?.offset_for_time(at)
    }

    /// Stops returning records of `partitions`, until [`resume`](Self::resume). What was read of them is kept.
    ///
    /// # Errors
    /// [`Error::IllegalState`] if one of them is not assigned, [`Error::Closed`] after [`close`](Self::close); then
    /// none is paused.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Producer, ProducerRecord, TopicPartition};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// let partition = TopicPartition::new("orders", 0);
    /// consumer.assign([partition.clone()])?;
    /// consumer.pause([&partition])?;
    /// assert!(consumer.poll(Duration::ZERO)?.is_empty());
    /// assert_eq!(consumer.paused(), [partition]);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn pause<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) -> Result<()> {
        self.set_paused(partitions.into_iter().collect(), true)
    }

    /// Returns records of `partitions` again.
    ///
    /// # Errors
    /// [`Error::IllegalState`] if one of them is not assigned, [`Error::Closed`] after [`close`](Self::close); then
    /// none is resumed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Producer, ProducerRecord, TopicPartition};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// let partition = TopicPartition::new("orders", 0);
    /// consumer.assign([partition.clone()])?;
    /// consumer.pause([&partition])?;
    /// consumer.resume([&partition])?;
    /// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 3);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn resume<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) -> Result<()> {
        self.set_paused(partitions.into_iter().collect(), false)
    }

    fn set_paused(&mut self, partitions: Vec<&TopicPartition>, is_paused: bool) -> Result<()> {
        self.ensure_open()?;
        for partition in &partitions {
            self.fetcher.lane(partition)?;
        }
        for partition in partitions {
            self.fetcher.lane(partition)?.set_paused(is_paused);
        }
        Ok(())
    }

    /// The partitions that are paused, in order.
    #[must_use]
    pub fn paused(&self) -> Vec<TopicPartition> {
        let paused = self.fetcher.lanes().iter().filter(|lane| lane.is_paused());
        paused.map(|lane| lane.name().clone()).collect()
    }

    /// What the group has committed for a partition, assigned or not; `None` if nothing.
    ///
    /// # Errors
    /// [`Error::InvalidGroupId`] without a group, [`Error::UnknownTopicOrPartition`] if there is no such partition,
    /// [`Error::Closed`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord, TopicPartition};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// let partition = TopicPartition::new("orders", 0);
    /// assert_eq!(consumer.committed(&partition)?, None);
    /// consumer.assign([partition.clone()])?;
    /// consumer.poll(Duration::from_secs(1))?;
    /// consumer.commit_sync()?;
    /// assert_eq!(consumer.committed(&partition)?.map(|committed| committed.offset), Some(Offset(3)));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn committed(&self, partition: &TopicPartition) -> Result<Option<OffsetAndMetadata>> {
        self.ensure_open()?;
        self.commits.committed(partition)
    }

    /// Commits the positions of all assigned partitions: everything that poll returned, processed or not.
    ///
    /// Blocks until that is on the disk. Partitions of topics that were deleted are left out; poll tells about them.
    ///
    /// # Errors
    /// [`Error::InvalidGroupId`] without a group; [`Error::CommitFailed`] if the group has another member;
    /// [`Error::Closed`]; what writing and syncing gives. Then nothing is committed; but after [`Error::Storage`] or
    /// [`Error::Io`] only the next opening tells.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// for record in &consumer.poll(Duration::from_secs(1))? {
    ///     assert!(record.value()?.is_some()); // the application's work
    /// }
    /// consumer.commit_sync()?; // a crash from here on repeats none of it
    /// consumer.close()?;
    ///
    /// let mut next = Consumer::<str, str>::new(&engine, "billing")?;
    /// next.assign([("orders", 0).into()])?;
    /// assert_eq!(next.position(&("orders", 0).into())?, Offset(3));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn commit_sync(&mut self) -> Result<()> {
        self.ensure_open()?;
        self.commits.commit_positions(&self.fetcher)
    }

    /// Commits `offsets`: for each partition, assigned or not, the next offset to read.
    ///
    /// Blocks until they are on the disk. An offset may lie before one that was committed earlier.
    ///
    /// # Errors
    /// As [`commit_sync`](Self::commit_sync); and [`Error::IllegalArgument`] for a negative offset,
    /// [`Error::OffsetMetadataTooLarge`] for a note of more than 4096 bytes, [`Error::UnknownTopicOrPartition`] if there
    /// is no such partition, [`Error::UnknownTopicId`] if its topic was replaced by another one since it was assigned:
    /// then nothing is committed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Consumer, Engine, NewTopic, Offset, OffsetAndMetadata, TopicPartition};
    /// # let engine = Engine::in_memory()?;
    /// # Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// let first = TopicPartition::new("orders", 0);
    /// consumer.commit_sync_offsets([(first.clone(), OffsetAndMetadata::new(Offset(0)).with_metadata("new"))])?;
    /// assert_eq!(consumer.committed(&first)?.unwrap().metadata, "new");
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn commit_sync_offsets(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>,
    ) -> Result<()> {
        self.ensure_open()?;
        self.commits.commit_offsets(&self.fetcher, offsets)
    }

    /// Commits what was returned, if `enable.auto.commit` says so, and leaves the group. Blocks until that is on the
    /// disk. A second call does nothing.
    ///
    /// # Errors
    /// As [`commit_sync`](Self::commit_sync). The consumer is closed all the same.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Error, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 3);
    /// consumer.close()?; // commits them, and makes room for another one
    /// assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::Closed { .. })));
    ///
    /// let mut next = Consumer::<str, str>::new(&engine, "billing")?;
    /// next.subscribe(["orders"])?;
    /// assert!(next.poll(Duration::ZERO)?.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn close(&mut self) -> Result<()> {
        if self.is_closed {
            return Ok(());
        }
        let committed = self.commits.commit_changes(&self.fetcher);
        self.is_closed = true;
        self.let_go();
        committed
    }

    fn let_go(&mut self) {
        self.subscription = Subscription::None;
        self.fetcher.assign(Vec::new());
        self.commits.leave();
    }

    fn ensure_open(&self) -> Result<()> {
        if self.is_closed { Err(Error::Closed { what: "consumer" }) } else { Ok(()) }
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Drop for Consumer<K, V> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Err(error) = self.close() {
            log::warn!("a consumer was dropped, and its last commit failed: {error}");
        }
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> fmt::Debug for Consumer<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("subscription", &self.subscription)
            .field("fetcher", &self.fetcher)
            .field("commits", &self.commits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
