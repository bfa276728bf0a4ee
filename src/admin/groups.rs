//! Groups: how far each has read, and how much is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admin::Admin;
use crate::coordinator::group::{CommitEntry, GroupOffsets};
use crate::error::{Error, Result};
use crate::replication::Partition;
use crate::topics::Topic;
use crate::types::{LeaderEpoch, Offset, TopicId, TopicPartition};

/// A group in a list.
///
/// ```
/// # use ottla::{Admin, Consumer, Engine, NewTopic, Offset};
/// # let engine = Engine::in_memory()?;
/// # let admin = Admin::new(&engine);
/// admin.create_topic(NewTopic::new("orders"))?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// assert!(admin.list_groups()?.is_empty()); // it has committed nothing
/// consumer.commit_sync_offsets([(("orders", 0).into(), Offset(0).into())])?;
/// assert_eq!(admin.list_groups()?[0].group, "billing");
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupListing {
    /// Its name.
    pub group: String,
}

/// A group, with how far it has read.
///
/// ```
/// # use ottla::{Admin, Consumer, Engine, NewTopic, Offset};
/// # let engine = Engine::in_memory()?;
/// # let admin = Admin::new(&engine);
/// admin.create_topic(NewTopic::new("orders"))?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.commit_sync_offsets([(("orders", 0).into(), Offset(0).into())])?;
/// let behind: u64 = admin.describe_group("billing")?.partitions.iter().map(|row| row.lag).sum();
/// assert_eq!(behind, 0);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// Its name.
    pub group: String,
    /// What it has committed something for, in order. Topics that were deleted are not among them.
    pub partitions: Vec<GroupPartition>,
}

/// How far a group has read a partition, at the moment it was asked.
///
/// ```
/// # use ottla::{Admin, Consumer, Engine, NewTopic, Offset, OffsetAndMetadata};
/// # let engine = Engine::in_memory()?;
/// # let admin = Admin::new(&engine);
/// admin.create_topic(NewTopic::new("orders"))?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// let noted = OffsetAndMetadata::new(Offset(0)).with_metadata("shift 2");
/// consumer.commit_sync_offsets([(("orders", 0).into(), noted)])?;
/// let row = admin.describe_group("billing")?.partitions.remove(0);
/// assert_eq!(row.partition.to_string(), "orders-0");
/// assert_eq!((row.committed, row.metadata.as_str(), row.lag), (Offset(0), "shift 2", 0));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupPartition {
    /// Which one it is.
    pub partition: TopicPartition,
    /// The next offset to read, as it was committed.
    pub committed: Offset,
    /// Under which leadership the record before `committed` was written.
    pub leader_epoch: LeaderEpoch,
    /// The note that was committed with it; empty if none was.
    pub metadata: String,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// One past the last offset that consumers may read.
    pub high_watermark: Offset,
    /// How many offsets a consumer of the group has before it: to the high watermark from `committed`, or from where it
    /// will really begin if that was deleted or cut off.
    pub lag: u64,
}

impl Admin {
    /// All groups that have committed something, by name. Never blocks for the disk. Kafka: `Admin.listGroups`.
    ///
    /// # Errors
    /// [`Error::Closed`] after the engine was closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Consumer, Engine, NewTopic, Offset};
    /// # let engine = Engine::in_memory()?;
    /// # let admin = Admin::new(&engine);
    /// admin.create_topic(NewTopic::new("orders"))?;
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.commit_sync_offsets([(("orders", 0).into(), Offset(0).into())])?;
    /// for listed in admin.list_groups()? {
    ///     assert_eq!(admin.describe_group(&listed.group)?.partitions.len(), 1);
    /// }
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn list_groups(&self) -> Result<Vec<GroupListing>> {
        self.engine.ensure_open()?;
        Ok(self.engine.groups().into_iter().map(|group| GroupListing { group: group.to_string() }).collect())
    }

    /// How far a group has read, and how much is left. Never blocks for the disk. Kafka: `describeConsumerGroups`,
    /// `listConsumerGroupOffsets`.
    ///
    /// # Errors
    /// [`Error::GroupIdNotFound`] if there is no such group, or it has committed nothing; [`Error::Closed`] after the
    /// engine was closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Consumer, Engine, Offset, OffsetAndMetadata, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// for value in ["made", "paid", "sent"] {
    ///     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.commit_sync_offsets([(("orders", 0).into(), OffsetAndMetadata::new(Offset(1)))])?;
    ///
    /// let billing = Admin::new(&engine).describe_group("billing")?;
    /// assert_eq!((billing.partitions[0].committed, billing.partitions[0].lag), (Offset(1), 2));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn describe_group(&self, name: &str) -> Result<GroupDescription> {
        self.engine.ensure_open()?;
        let group = self.engine.find_group(name).ok_or_else(|| Error::GroupIdNotFound { group: name.into() })?;
        let topics = self.engine.topics();
        Ok(describe(&group, &topics))
    }
}

fn describe(group: &GroupOffsets, topics: &[Arc<Topic>]) -> GroupDescription {
    let by_id: BTreeMap<TopicId, &Arc<Topic>> = topics.iter().map(|topic| (topic.id(), topic)).collect();
    let known = |entry: CommitEntry| {
        let partition = by_id.get(&entry.topic_id)?.partition(entry.partition).ok()?;
        Some(row(partition, entry))
    };
    let mut partitions: Vec<_> = group.entries().into_iter().filter_map(known).collect();
    partitions.sort_by(|one, other| one.partition.cmp(&other.partition));
    GroupDescription { group: group.name().to_owned(), partitions }
}

fn row(partition: &Partition, entry: CommitEntry) -> GroupPartition {
    let CommitEntry { offset: committed, leader_epoch, metadata, .. } = entry;
    let (log_start_offset, high_watermark) = (partition.log_start(), partition.high_watermark());
    // Where a consumer will begin: behind what was deleted, and not behind what a crash cut off.
    let next = partition.resume_at(committed, leader_epoch).max(log_start_offset);
    let lag = u64::try_from(high_watermark.0.saturating_sub(next.0)).unwrap_or(0);
    let partition = partition.name().clone();
    GroupPartition { partition, committed, leader_epoch, metadata, log_start_offset, high_watermark, lag }
}
