//! A group as it is shown: how far it has read, and how much is left.

use std::sync::Arc;

use crate::coordinator::group::{Committed, Group};
use crate::error::Result;
use crate::storage::Lag;
use crate::topics::TopicEntry;
use crate::types::{LeaderEpoch, Offset, TopicPartition};

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
/// let behind: u64 = admin.describe_group("billing")?.partitions.iter().filter_map(|row| Some(row.lag?.records)).sum();
/// assert_eq!(behind, 0);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// Its name.
    pub group: String,
    /// All partitions of the topics that it has committed something for, in order. Topics that were deleted are not
    /// among them.
    pub partitions: Vec<GroupPartition>,
}

/// How far a group has read a partition, at the moment it was asked.
///
/// ```
/// # use ottla::{Admin, Consumer, Engine, NewTopic, Offset, OffsetAndMetadata};
/// # let engine = Engine::in_memory()?;
/// # let admin = Admin::new(&engine);
/// admin.create_topic(NewTopic::new("orders").partitions(2))?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// let noted = OffsetAndMetadata::new(Offset(0)).with_metadata("shift 2");
/// consumer.commit_sync_offsets([(("orders", 0).into(), noted)])?;
/// let rows = admin.describe_group("billing")?.partitions;
/// assert_eq!(rows[0].partition.to_string(), "orders-0");
/// assert_eq!((rows[0].committed, rows[0].metadata.as_str()), (Some(Offset(0)), "shift 2"));
/// assert_eq!(rows[0].lag.map(|lag| (lag.records, lag.bytes)), Some((0, 0)));
/// assert_eq!((rows[1].committed, rows[1].lag), (None, None)); // it has not begun there
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupPartition {
    /// Which one it is.
    pub partition: TopicPartition,
    /// The next offset to read, as it was committed; `None` if nothing was.
    pub committed: Option<Offset>,
    /// Under which leadership the record before `committed` was written; [`LeaderEpoch::NONE`] if nothing was.
    pub leader_epoch: LeaderEpoch,
    /// The note that was committed with it; empty if none was.
    pub metadata: String,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// One past the last offset that consumers may read.
    pub high_watermark: Offset,
    /// How much a consumer of the group has before it: to the high watermark from `committed`, or from where it will
    /// really begin if that was deleted or cut off. `None` if nothing was committed: where it begins is then the
    /// consumer's own choice.
    pub lag: Option<Lag>,
}

/// Where a partition stands, and how far a group that has committed something is behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) log_start: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) lag: Option<Lag>,
}

impl GroupDescription {
    /// Shows `offsets` among `topics`, all that there are; `standing` is asked for each partition of those of them that
    /// the group has committed something for.
    pub(crate) fn of<'a>(
        offsets: &Group,
        topics: impl IntoIterator<Item = &'a TopicEntry>,
        mut standing: impl FnMut(&TopicEntry, &TopicPartition, Option<&Committed>) -> Result<Standing>,
    ) -> Result<Self> {
        let entries = offsets.entries();
        let mut partitions = Vec::new();
        for topic in topics.into_iter().filter(|topic| entries.iter().any(|entry| entry.topic_id == topic.id)) {
            for number in 0..topic.partitions {
                let partition = TopicPartition::new(Arc::clone(&topic.name), number);
                let committed = offsets.committed(topic.id, number);
                let standing = standing(topic, &partition, committed.as_ref())?;
                partitions.push(row(partition, committed, standing));
            }
        }
        partitions.sort_by(|one, other| one.partition.cmp(&other.partition));
        Ok(Self { group: offsets.name().to_owned(), partitions })
    }
}

fn row(partition: TopicPartition, committed: Option<Committed>, standing: Standing) -> GroupPartition {
    let Standing { log_start: log_start_offset, high_watermark, lag } = standing;
    GroupPartition {
        partition,
        committed: committed.as_ref().map(|committed| committed.offset),
        leader_epoch: committed.as_ref().map_or(LeaderEpoch::NONE, |committed| committed.leader_epoch),
        metadata: committed.map_or_else(String::new, |committed| committed.metadata),
        log_start_offset,
        high_watermark,
        lag,
    }
}
