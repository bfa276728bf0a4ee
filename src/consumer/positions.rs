//! Where a consumer stands: seeking, looking offsets up, how far it is behind; and which partitions it leaves out.

use std::collections::BTreeMap;

use crate::consumer::deserializer::Deserialize;
use crate::consumer::fetcher::Target;
use crate::consumer::{Consumer, begin};
use crate::coordinator::group::OffsetAndMetadata;
use crate::error::{Error, Result};
use crate::storage::Lag;
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicPartition};

/// A record that was looked up by time. Kafka: `OffsetAndTimestamp`.
///
/// ```
/// # use ottla::{Consumer, Engine, Offset, OffsetAndTimestamp, Producer, ProducerRecord, Timestamp};
/// # let engine = Engine::in_memory()?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// producer.send(ProducerRecord::to("orders").value("paid").timestamp(Timestamp(2000)))?.wait()?;
/// let consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// let found = consumer.offsets_for_times([(("orders", 0).into(), Timestamp(1500))])?;
/// for found in found.into_values().flatten() {
///     let OffsetAndTimestamp { offset, timestamp, .. } = found;
///     assert_eq!((offset, timestamp), (Offset(0), Timestamp(2000)));
/// }
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetAndTimestamp {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Under which leadership it was written.
    pub leader_epoch: LeaderEpoch,
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Consumer<K, V> {
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

    /// Goes on at `offset`, as [`seek`](Self::seek) does, and takes the leadership along under which the record before
    /// it was written: after a crash that cut it off, the position is cut back too. The note plays no part.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
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
    /// # let partition = TopicPartition::new("orders", 0);
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.commit_sync_offsets([(partition.clone(), Offset(2).into())])?;
    /// consumer.assign([partition.clone()])?;
    /// consumer.poll(Duration::from_secs(1))?;
    /// let committed = consumer.committed(&partition)?.expect("it was committed");
    /// consumer.seek_to(&partition, &committed)?; // back to what is committed
    /// assert_eq!(consumer.position(&partition)?, Offset(2));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn seek_to(&mut self, partition: &TopicPartition, offset: &OffsetAndMetadata) -> Result<()> {
        self.ensure_open()?;
        if offset.offset < Offset::ZERO {
            return Err(Error::illegal_argument(format!("{partition}: there is no offset {} to seek", offset.offset)));
        }
        self.fetcher.lane(partition)?.seek_under(offset.offset, offset.leader_epoch);
        Ok(())
    }

    /// Goes on at the first record that is there, of `partitions` or, without any, of all that are assigned. Where that
    /// is, the next poll or [`position`](Self::position) finds out.
    ///
    /// # Errors
    /// [`Error::IllegalState`] if one of them is not assigned, [`Error::Closed`] after [`close`](Self::close); then
    /// nothing has changed.
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
    /// consumer.seek_to_beginning([])?; // all of them, again
    /// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 3);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn seek_to_beginning<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) -> Result<()> {
        self.seek_all(partitions, Target::Beginning)
    }

    /// Goes on behind the last record, of `partitions` or, without any, of all that are assigned. Where that is, the next
    /// poll or [`position`](Self::position) finds out.
    ///
    /// # Errors
    /// [`Error::IllegalState`] if one of them is not assigned, [`Error::Closed`] after [`close`](Self::close); then
    /// nothing has changed.
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
    /// consumer.seek_to_end([&partition])?; // none of what is there
    /// assert!(consumer.poll(Duration::ZERO)?.is_empty());
    /// assert_eq!(consumer.position(&partition)?, Offset(3));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn seek_to_end<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) -> Result<()> {
        self.seek_all(partitions, Target::End)
    }

    /// Goes on at the first record whose timestamp is at or after `at`, or behind the last one if there is none: of
    /// `partitions` or, without any, of all that are assigned. Where that is, the next poll or
    /// [`position`](Self::position) finds out. Kafka: `offsetsForTimes` and `seek`.
    ///
    /// # Errors
    /// [`Error::IllegalArgument`] for a negative time, [`Error::IllegalState`] if one of the partitions is not assigned,
    /// [`Error::Closed`] after [`close`](Self::close); then nothing has changed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, ConsumerConfig, Engine, Offset, Producer, ProducerRecord, Timestamp};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// for (time, value) in [(1000, "made"), (2000, "paid"), (3000, "sent")] {
    ///     producer.send(ProducerRecord::to("orders").value(value).timestamp(Timestamp(time)))?.wait()?;
    /// }
    /// let mut consumer = Consumer::<str, str>::with_config(&engine, ConsumerConfig::default())?;
    /// consumer.assign([("orders", 0).into()])?;
    /// consumer.seek_to_time([], Timestamp(1500))?;
    /// let records = consumer.poll(Duration::from_secs(1))?;
    /// assert_eq!(records.iter().map(|record| record.offset()).collect::<Vec<_>>(), [Offset(1), Offset(2)]);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn seek_to_time<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
        at: Timestamp,
    ) -> Result<()> {
        check_time(at)?;
        self.seek_all(partitions, Target::Time(at))
    }

    fn seek_all<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>, target: Target) -> Result<()> {
        self.ensure_open()?;
        let mut partitions: Vec<TopicPartition> = partitions.into_iter().cloned().collect();
        if partitions.is_empty() {
            partitions = self.assignment();
        }
        for partition in &partitions {
            self.fetcher.lane(partition)?;
        }
        for partition in &partitions {
            self.fetcher.lane(partition)?.seek_to(target);
        }
        Ok(())
    }

    /// The offset of the next record that poll returns. Looks up where to begin if nothing was returned yet.
    ///
    /// # Errors
    /// [`Error::IllegalState`] if the partition is not assigned (those of topics subscribed to are with the next
    /// [`poll`](Self::poll)); [`Error::NoOffsetForPartition`] if there is nothing to begin with, and
    /// `auto.offset.reset` is `none`; what looking for a time gives; [`Error::Closed`] after [`close`](Self::close).
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
        let begin = begin(self.commits.group(), self.reset, &self.engine);
        let lane = self.fetcher.lane(partition)?;
        lane.settle(begin)?;
        lane.position().ok_or_else(|| Error::NoOffsetForPartition { partition: partition.clone() })
    }

    /// The first offset of a partition, assigned or not. Kafka: `beginningOffsets`. For the other end see
    /// [`Engine::end_offset`](crate::Engine::end_offset).
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

    /// The first offset of each of `partitions`, assigned or not. Kafka: `beginningOffsets`.
    ///
    /// # Errors
    /// As [`beginning_offset`](Self::beginning_offset), for the first that fails.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Consumer, Engine, NewTopic, Offset, TopicPartition};
    /// # let engine = Engine::in_memory()?;
    /// # Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(2))?;
    /// let consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// let partitions = [TopicPartition::new("orders", 0), TopicPartition::new("orders", 1)];
    /// assert_eq!(consumer.beginning_offsets(&partitions)?[&partitions[1]], Offset(0));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn beginning_offsets<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Offset>> {
        let offset = |partition: &TopicPartition| Ok((partition.clone(), self.beginning_offset(partition)?));
        partitions.into_iter().map(offset).collect()
    }

    /// The end of what can be read of each of `partitions`, assigned or not: one past the last offset, its high
    /// watermark. Kafka: `endOffsets`.
    ///
    /// # Errors
    /// As [`Engine::end_offset`](crate::Engine::end_offset), for the first that fails.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord, TopicPartition};
    /// # let engine = Engine::in_memory()?;
    /// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// let partition = TopicPartition::new("orders", 0);
    /// assert_eq!(consumer.end_offsets([&partition])?[&partition], Offset(1));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn end_offsets<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Offset>> {
        let offset = |partition: &TopicPartition| Ok((partition.clone(), self.engine.end_offset(partition)?));
        partitions.into_iter().map(offset).collect()
    }

    /// The first record of a partition, assigned or not, whose timestamp is at or after `at`: its offset and timestamp.
    /// `None` if there is none. Blocks for reading files. Kafka: `offsetsForTimes`.
    ///
    /// The first by offset: later records may be older. Damage where it may lie is an error, or it would be passed over in
    /// silence.
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
        check_time(at)?;
        let topic = self.engine.topic(partition.topic())?;
        topic.partition(partition.partition())?.offset_for_time(at)
    }

    /// For each of `partitions`, assigned or not, the first record whose timestamp is at or after the time beside it;
    /// `None` if there is none. Blocks for reading files. See [`offset_for_time`](Self::offset_for_time), which is for
    /// one partition. Kafka: `offsetsForTimes`.
    ///
    /// # Errors
    /// As [`offset_for_time`](Self::offset_for_time), for the first that fails.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord, Timestamp, TopicPartition};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// producer.send(ProducerRecord::to("orders").value("paid").timestamp(Timestamp(2000)))?.wait()?;
    /// let consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// let partition = TopicPartition::new("orders", 0);
    /// let found = consumer.offsets_for_times([(partition.clone(), Timestamp(1500))])?;
    /// assert_eq!(found[&partition].map(|found| found.offset), Some(Offset(0)));
    /// let later = consumer.offsets_for_times([(partition.clone(), Timestamp(2001))])?;
    /// assert_eq!(later[&partition], None);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn offsets_for_times(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, Timestamp)>,
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>> {
        let find = |(partition, at): (TopicPartition, Timestamp)| {
            check_time(at)?;
            let topic = self.engine.topic(partition.topic())?;
            let log = topic.partition(partition.partition())?;
            let found = log.offset_for_time(at)?.map(|(offset, timestamp)| {
                let leader_epoch = log.epoch_before(offset.next());
                OffsetAndTimestamp { offset, timestamp, leader_epoch }
            });
            Ok((partition, found))
        };
        partitions.into_iter().map(find).collect()
    }

    /// How many offsets the position is behind the end of what can be read, or `None` while there is no position: before
    /// the first poll, say. Never blocks for the disk. Kafka: `currentLag`.
    ///
    /// Offsets that were deleted at the beginning of the log do not count. Offsets that no record has, because it was
    /// compacted away, do.
    ///
    /// # Errors
    /// [`Error::IllegalState`] if the partition is not assigned, [`Error::UnknownTopicId`] if its topic was deleted,
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
    /// assert_eq!(consumer.current_lag(&partition)?, None);
    /// consumer.seek(&partition, Offset(1))?;
    /// assert_eq!(consumer.current_lag(&partition)?, Some(2));
    /// consumer.poll(Duration::from_secs(1))?;
    /// assert_eq!(consumer.current_lag(&partition)?, Some(0));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn current_lag(&mut self, partition: &TopicPartition) -> Result<Option<u64>> {
        self.ensure_open()?;
        let lane = self.fetcher.lane(partition)?;
        if lane.is_deleted() {
            return Err(Error::UnknownTopicId { partition: partition.clone() });
        }
        Ok(lane.records_behind())
    }

    /// How far the position is behind, in records, bytes and time; `None` while there is no position. Blocks for reading
    /// a few blocks of files.
    ///
    /// # Errors
    /// As [`current_lag`](Self::current_lag), and what reading gives. What is damaged is no error here: `poll` says so.
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
    /// consumer.seek_to_beginning([])?;
    /// consumer.position(&partition)?; // finds out where that is
    /// let lag = consumer.lag(&partition)?.expect("there is a position");
    /// assert_eq!(lag.records, 3);
    /// assert!(lag.bytes > 0);
    /// consumer.poll(Duration::from_secs(1))?;
    /// let lag = consumer.lag(&partition)?.expect("there is a position");
    /// assert_eq!((lag.records, lag.bytes, lag.time), (0, 0, Duration::ZERO));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn lag(&mut self, partition: &TopicPartition) -> Result<Option<Lag>> {
        self.current_lag(partition)?; // which says why not
        let lane = self.fetcher.lane(partition)?;
        let Some(position) = lane.position() else { return Ok(None) };
        let topic = self.engine.topic(partition.topic())?;
        let of_log = topic.partition(partition.partition())?;
        if of_log.topic_id() != lane.topic_id() {
            return Err(Error::UnknownTopicId { partition: partition.clone() });
        }
        of_log.lag_behind(position, self.engine.now()).map(Some)
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
}

fn check_time(at: Timestamp) -> Result<()> {
    if at.0 < 0 {
        return Err(Error::illegal_argument(format!("{at} is no time to look for")));
    }
    Ok(())
}
