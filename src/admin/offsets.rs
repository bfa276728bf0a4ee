//! Offsets of partitions: where they begin and end, and where a time is.

use std::collections::BTreeMap;

use crate::admin::Admin;
use crate::error::{Error, Result};
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicPartition};

/// Which offset of a partition [`Admin::list_offsets`] looks up. Kafka: `OffsetSpec`.
///
/// ```
/// # use ottla::{Admin, Engine, NewTopic, Offset, OffsetSpec, TopicPartition};
/// # let engine = Engine::in_memory()?;
/// # let admin = Admin::new(&engine);
/// admin.create_topic(NewTopic::new("orders"))?;
/// let partition = TopicPartition::new("orders", 0);
/// let listed = admin.list_offsets([(partition.clone(), OffsetSpec::Latest)])?;
/// assert_eq!(listed[&partition].map(|found| found.offset), Some(Offset(0)));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The first one that can be read.
    Earliest,
    /// One past the last that can be read: the high watermark.
    Latest,
    /// That of the first record whose timestamp is this, or later. Kafka: `forTimestamp`.
    Timestamp(Timestamp),
}

/// An offset that was looked up. Kafka: `ListOffsetsResultInfo`.
///
/// ```
/// # use ottla::{Admin, Engine, ListedOffset, Offset, OffsetSpec, Producer, ProducerRecord, Timestamp, TopicPartition};
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// producer.send(ProducerRecord::to("orders").value("paid").timestamp(Timestamp(2000)))?.wait()?;
/// let partition = TopicPartition::new("orders", 0);
/// let listed = Admin::new(&engine).list_offsets([(partition.clone(), OffsetSpec::Timestamp(Timestamp(1500)))])?;
/// let ListedOffset { offset, timestamp, .. } = listed[&partition].expect("there is one");
/// assert_eq!((offset, timestamp), (Offset(0), Timestamp(2000)));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedOffset {
    /// The offset.
    pub offset: Offset,
    /// The timestamp of the record there, if a time was asked for; else [`Timestamp::NONE`].
    pub timestamp: Timestamp,
    /// Under which leadership the record there was written; of an end, the one before it.
    pub leader_epoch: LeaderEpoch,
}

impl Admin {
    /// Looks up an offset of each of `partitions`; `None` where no record is young enough. Blocks for reading files if a
    /// time is asked for. Kafka: `Admin.listOffsets`.
    ///
    /// # Errors
    /// For the first that fails: [`Error::IllegalArgument`] for a negative time, [`Error::UnknownTopicOrPartition`] if
    /// there is no such partition, [`Error::InvalidTopic`] if there can be none of that name; [`Error::Io`],
    /// [`Error::Closed`] after the engine was closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, OffsetSpec, Producer, ProducerRecord, TopicPartition};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// for value in ["made", "paid", "sent"] {
    ///     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// }
    /// let (admin, partition) = (Admin::new(&engine), TopicPartition::new("orders", 0));
    /// let at = |spec| Ok::<_, ottla::Error>(admin.list_offsets([(partition.clone(), spec)])?[&partition]);
    /// let [first, end] = [at(OffsetSpec::Earliest)?, at(OffsetSpec::Latest)?].map(|found| found.map(|at| at.offset.0));
    /// assert_eq!((first, end), (Some(0), Some(3)));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn list_offsets(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, OffsetSpec)>,
    ) -> Result<BTreeMap<TopicPartition, Option<ListedOffset>>> {
        self.engine.ensure_open()?;
        let list = |(partition, spec): (TopicPartition, OffsetSpec)| {
            let listed = self.list_offset(&partition, spec)?;
            Ok((partition, listed))
        };
        partitions.into_iter().map(list).collect()
    }

    fn list_offset(&self, partition: &TopicPartition, spec: OffsetSpec) -> Result<Option<ListedOffset>> {
        let topic = self.engine.topic(partition.topic())?;
        let log = topic.partition(partition.partition())?;
        let (offset, timestamp) = match spec {
            OffsetSpec::Earliest => (log.log_start(), Timestamp::NONE),
            OffsetSpec::Latest => (log.high_watermark(), Timestamp::NONE),
            OffsetSpec::Timestamp(at) if at.0 < 0 => {
                return Err(Error::illegal_argument(format!("{at} is no time to look for")));
            }
            OffsetSpec::Timestamp(at) => match log.offset_for_time(at)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let of_record = if spec == OffsetSpec::Latest { offset } else { offset.next() };
        Ok(Some(ListedOffset { offset, timestamp, leader_epoch: log.epoch_before(of_record) }))
    }
}
