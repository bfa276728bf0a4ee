//! Topics, and what their partitions hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admin::Admin;
use crate::error::Result;
use crate::replication::Partition;
use crate::topics::{Topic, TopicListing};
use crate::types::{LeaderEpoch, Offset, TopicId, TopicPartition};

/// A topic to be created: its name, and what differs from the defaults.
///
/// ```
/// # use ottla::{Admin, Engine, NewTopic};
/// # let engine = Engine::in_memory()?;
/// let topic = NewTopic::new("orders").partitions(4).config("segment.bytes", "1048576");
/// let made = Admin::new(&engine).create_topic(topic)?;
/// assert_eq!(made.partitions.len(), 4);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct NewTopic {
    name: String,
    partitions: Option<u32>,
    config: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with as many partitions as `num.partitions` says, and no settings of its own.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), partitions: None, config: BTreeMap::new() }
    }

    /// Gives it that many partitions, at least one.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Sets what Kafka calls `name`, for this topic only.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(name.into(), value.into());
        self
    }
}

/// A topic, with what its partitions hold.
///
/// ```
/// # use ottla::{Admin, Engine, NewTopic};
/// # let engine = Engine::in_memory()?;
/// # let admin = Admin::new(&engine);
/// admin.create_topic(NewTopic::new("orders").partitions(2).config("segment.bytes", "1048576"))?;
/// let orders = admin.describe_topic("orders")?;
/// assert_eq!(orders.partitions.len(), 2);
/// assert_eq!(orders.config["segment.bytes"], "1048576"); // only what differs from the defaults
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// What tells it from another topic that had the name before.
    pub id: TopicId,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionDescription>,
    /// The settings that differ from the defaults, by Kafka's names.
    pub config: BTreeMap<String, String>,
}

/// What a partition holds, at the moment it was asked.
///
/// ```
/// # use ottla::{Admin, Engine, Offset, Producer, ProducerRecord};
/// # let engine = Engine::in_memory()?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// let partition = Admin::new(&engine).describe_topic("orders")?.partitions.remove(0);
/// assert_eq!((partition.log_start_offset, partition.log_end_offset), (Offset(0), Offset(1)));
/// assert!(partition.size_bytes > 61 && partition.segments == 1);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionDescription {
    /// Which one it is.
    pub partition: TopicPartition,
    /// Under which leadership it is written now.
    pub leader_epoch: LeaderEpoch,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// One past the last offset that consumers may read.
    pub high_watermark: Offset,
    /// One past the last offset that was written.
    pub log_end_offset: Offset,
    /// One past the last offset that a power cut leaves.
    pub durable_end: Offset,
    /// How many bytes of batches its segments have, without indexes.
    pub size_bytes: u64,
    /// How many segments that is.
    pub segments: usize,
}

impl Admin {
    /// Creates a topic. Blocks until it is on the disk. Kafka: `Admin.createTopics`.
    ///
    /// # Errors
    /// [`Error::TopicAlreadyExists`](crate::Error::TopicAlreadyExists);
    /// [`Error::InvalidTopic`](crate::Error::InvalidTopic) if a topic cannot have that name, or it differs from another
    /// one's only in `.` and `_`, [`Error::InvalidPartitions`](crate::Error::InvalidPartitions) or
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) if it cannot be as asked for;
    /// [`Error::Closed`](crate::Error::Closed) after the engine was closed; what writing and syncing gives. After any
    /// of these but the last there is no such topic.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, Error, NewTopic};
    /// # let engine = Engine::in_memory()?;
    /// # let admin = Admin::new(&engine);
    /// let made = admin.create_topic(NewTopic::new("orders").partitions(4).config("segment.ms", "3600000"))?;
    /// assert_eq!(made.partitions.len(), 4);
    /// let again = admin.create_topic(NewTopic::new("orders"));
    /// assert!(matches!(again, Err(Error::TopicAlreadyExists { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn create_topic(&self, topic: NewTopic) -> Result<TopicDescription> {
        let NewTopic { name, partitions, config } = topic;
        let topic = self.engine.create_topic(&name, partitions, &config)?;
        Ok(description(&topic))
    }

    /// Has a topic have `total` partitions, more than it has; blocks until the new ones are on the disk. Kafka:
    /// `Admin.createPartitions`.
    ///
    /// Groups that subscribe to it share the new ones with their next polls, producers use them from their next `send` on.
    /// Records with a key go where the key belongs among the new number, so those of one key may be in two partitions from
    /// now on.
    ///
    /// # Errors
    /// [`Error::InvalidPartitions`](crate::Error::InvalidPartitions) if that is no more than it has, or too many;
    /// otherwise as [`describe_topic`](Self::describe_topic), and what writing and syncing gives. After any of these but the
    /// last the topic is as it was.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, Error, NewTopic};
    /// # let engine = Engine::in_memory()?;
    /// # let admin = Admin::new(&engine);
    /// admin.create_topic(NewTopic::new("orders"))?;
    /// assert_eq!(admin.create_partitions("orders", 4)?.partitions.len(), 4);
    /// assert!(matches!(admin.create_partitions("orders", 4), Err(Error::InvalidPartitions { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn create_partitions(&self, name: &str, total: u32) -> Result<TopicDescription> {
        self.engine.grow_topic(name, total).map(|topic| description(&topic))
    }

    /// All topics, by name. Never blocks for the disk. Kafka: `Admin.listTopics`.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) after the engine was closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, NewTopic};
    /// # let engine = Engine::in_memory()?;
    /// # let admin = Admin::new(&engine);
    /// admin.create_topic(NewTopic::new("orders"))?;
    /// admin.create_topic(NewTopic::new("clicks"))?;
    /// let names: Vec<_> = admin.list_topics()?.into_iter().map(|topic| topic.name).collect();
    /// assert_eq!(names, ["clicks", "orders"]);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn list_topics(&self) -> Result<Vec<TopicListing>> {
        self.engine.ensure_open()?;
        Ok(self.engine.topics().iter().map(|topic| TopicListing::of(&topic.entry)).collect())
    }

    /// A topic, with what its partitions hold now. Never blocks for the disk. Kafka: `Admin.describeTopics`,
    /// `listOffsets`, `describeConfigs`.
    ///
    /// # Errors
    /// [`Error::UnknownTopicOrPartition`](crate::Error::UnknownTopicOrPartition) if there is no such topic,
    /// [`Error::InvalidTopic`](crate::Error::InvalidTopic) if there can be none of that name;
    /// [`Error::Closed`](crate::Error::Closed) after the engine was closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, Offset, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let orders = Admin::new(&engine).describe_topic("orders")?;
    /// assert_eq!(orders.partitions[0].high_watermark, Offset(1));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn describe_topic(&self, name: &str) -> Result<TopicDescription> {
        self.engine.ensure_open()?;
        self.engine.topic(name).map(|topic| description(&topic))
    }

    /// Deletes a topic, its records, and what groups have committed for it. Who still reads it gets
    /// [`Error::UnknownTopicId`](crate::Error::UnknownTopicId). Blocks until the deletion is on the disk and the files
    /// are removed. Kafka: `Admin.deleteTopics`.
    ///
    /// # Errors
    /// As [`describe_topic`](Self::describe_topic);
    /// [`Error::TopicDeletionDisabled`](crate::Error::TopicDeletionDisabled); and what writing, syncing and removing gives: then the topic may be
    /// gone all the same, and the next opening removes what is left of it.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, Error, NewTopic};
    /// # let engine = Engine::in_memory()?;
    /// # let admin = Admin::new(&engine);
    /// admin.create_topic(NewTopic::new("orders"))?;
    /// admin.delete_topic("orders")?;
    /// assert!(matches!(admin.delete_topic("orders"), Err(Error::UnknownTopicOrPartition { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        self.engine.delete_topic(name)
    }
}

fn description(topic: &Topic) -> TopicDescription {
    TopicDescription {
        name: topic.name().to_string(),
        id: topic.id(),
        partitions: topic.partitions.iter().map(partition).collect(),
        config: topic.entry.overrides.clone(),
    }
}

/// The bounds are read one after the other, from the smallest: each one only grows, so they are in order.
fn partition(partition: &Arc<Partition>) -> PartitionDescription {
    let log_start_offset = partition.log_start();
    let durable_end = partition.durable_end();
    let high_watermark = partition.high_watermark();
    PartitionDescription {
        partition: partition.name().clone(),
        leader_epoch: partition.leader_epoch(),
        log_start_offset,
        high_watermark,
        log_end_offset: partition.log_end(),
        durable_end,
        size_bytes: partition.size_bytes(),
        segments: partition.segment_count(),
    }
}
