//! Groups: how far each has read, how much is left, and what an operator does about it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::admin::Admin;
use crate::coordinator::group::{
    DropEntry, Footing, GroupDescription, GroupListing, GroupMembers, GroupOffsetChange, GroupReset, OffsetAndMetadata,
    Standing,
};
use crate::error::{Error, Result};
use crate::topics::Topic;
use crate::types::{TopicId, TopicPartition};

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

    /// Who the members of a group are, and what each holds and is to hold. Those of this process: nobody else has any while
    /// the engine is open. Never blocks for the disk. Kafka: `describeConsumerGroups`.
    ///
    /// # Errors
    /// [`Error::InvalidGroupId`] if no group can have that name;
    /// [`Error::GroupIdNotFound`] if it has committed nothing, and no consumer was made for it;
    /// [`Error::Closed`] after the engine was closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Consumer, Engine, NewTopic};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let admin = Admin::new(&engine);
    /// # admin.create_topic(NewTopic::new("orders"))?;
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// consumer.poll(Duration::ZERO)?;
    /// for member in admin.group_members("billing")?.members {
    ///     println!("{} holds {:?}", member.member_id, member.assignment);
    ///     assert_eq!(member.assignment.len(), 1);
    /// }
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn group_members(&self, name: &str) -> Result<GroupMembers> {
        self.engine.ensure_open()?;
        Ok(self.engine.known_group(name)?.describe_members())
    }

    /// How far a group has read, and how much is left. Blocks for reading a few blocks of files for each partition in
    /// which it is behind. Kafka: `describeConsumerGroups`, `listConsumerGroupOffsets`.
    ///
    /// # Errors
    /// [`Error::InvalidGroupId`] if no group can have that name; [`Error::GroupIdNotFound`] if there is no such group, or
    /// it has committed nothing; [`Error::Closed`] after the engine was closed; [`Error::Io`]. What is damaged is no
    /// error here.
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
    /// assert_eq!(billing.partitions[0].committed, Some(Offset(1)));
    /// assert_eq!(billing.partitions[0].lag.map(|lag| lag.records), Some(2));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn describe_group(&self, name: &str) -> Result<GroupDescription> {
        self.engine.ensure_open()?;
        let group = self.engine.find_group(name)?;
        let topics = self.engine.topics();
        let by_id: BTreeMap<TopicId, &Arc<Topic>> = topics.iter().map(|topic| (topic.id(), topic)).collect();
        let now = self.engine.now();
        GroupDescription::of(&group, topics.iter().map(|topic| &topic.entry), |entry, partition, committed| {
            let log = by_id[&entry.id].partition(partition.partition())?;
            let lag =
                committed.map(|committed| log.lag_behind(log.resume_at(committed.offset, committed.leader_epoch), now));
            let lag = match lag.transpose() {
                Err(Error::UnknownTopicId { .. }) => None, // deleted at this moment
                lag => lag?,
            };
            Ok(Standing { log_start: log.log_start(), high_watermark: log.high_watermark(), lag })
        })
    }

    /// Deletes a group, and all that it has committed; it is gone for good when this returns. A consumer that has its
    /// name begins as a new group does. Kafka: `deleteConsumerGroups`.
    ///
    /// Blocks for a few syncs.
    ///
    /// # Errors
    /// [`Error::NonEmptyGroup`] while it has members; [`Error::GroupIdNotFound`] if there is no such group, or it has
    /// committed nothing, [`Error::InvalidGroupId`] if there can be none of that name; [`Error::Closed`] after the
    /// engine was closed; [`Error::Io`] and [`Error::Storage`]: then the group is there as it was.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Consumer, Engine, Error, NewTopic, Offset};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let admin = Admin::new(&engine);
    /// admin.create_topic(NewTopic::new("orders"))?;
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// consumer.poll(Duration::ZERO)?;
    /// consumer.commit_sync_offsets([(("orders", 0).into(), Offset(0).into())])?;
    /// assert!(matches!(admin.delete_group("billing"), Err(Error::NonEmptyGroup { .. })));
    /// consumer.close()?;
    /// admin.delete_group("billing")?;
    /// assert!(admin.list_groups()?.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn delete_group(&self, name: &str) -> Result<()> {
        self.engine.delete_group(name)
    }

    /// Removes what a group has committed for `partitions`, of all of them or, after an error, of none; where nothing was
    /// committed nothing happens. The group stays. Blocks for a sync. Kafka: `deleteConsumerGroupOffsets`.
    ///
    /// # Errors
    /// [`Error::GroupSubscribedToTopic`] if a member of the group subscribes to one of their topics;
    /// [`Error::GroupIdNotFound`] and [`Error::InvalidGroupId`] as for [`delete_group`](Self::delete_group);
    /// [`Error::UnknownTopicOrPartition`] if there is no such partition; [`Error::Closed`];
    /// [`Error::CommitOutcomeUnknown`], [`Error::Storage`] and [`Error::DiskFull`] as for a commit.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, NewTopic, Offset, TopicPartition};
    /// # let engine = Engine::in_memory()?;
    /// # let admin = Admin::new(&engine);
    /// admin.create_topic(NewTopic::new("orders"))?;
    /// let partition = TopicPartition::new("orders", 0);
    /// admin.alter_group_offsets("billing", [(partition.clone(), Offset(0).into())])?;
    /// admin.delete_group_offsets("billing", [partition])?;
    /// assert!(admin.describe_group("billing")?.partitions.is_empty());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn delete_group_offsets(&self, name: &str, partitions: impl IntoIterator<Item = TopicPartition>) -> Result<()> {
        self.engine.ensure_open()?;
        let group = self.engine.find_group(name)?;
        let subscribed = group.subscribed_topics();
        let mut entries = Vec::new();
        for partition in partitions.into_iter().collect::<BTreeSet<_>>() {
            let topic = self.engine.topic(partition.topic())?;
            topic.partition(partition.partition())?;
            if subscribed.contains(&topic.id()) {
                return Err(Error::GroupSubscribedToTopic { group: name.into(), topic: partition.topic().into() });
            }
            let (topic_id, partition) = (topic.id(), partition.partition());
            // What is there now, and no commit that comes in between.
            if let Some(committed) = group.committed(topic_id, partition) {
                entries.push(DropEntry { topic_id, partition, commit_timestamp: committed.commit_timestamp });
            }
        }
        self.engine.drop_offsets(name, &entries)
    }

    /// Commits `offsets` for a group without members, as a consumer of it would that assigned its partitions itself; a
    /// group that there is not yet is made. They are on the disk when this returns, all of them or, after an error,
    /// none. They need not lie within the log; [`reset_group_offsets`](Self::reset_group_offsets) sees to that. Kafka:
    /// `alterConsumerGroupOffsets`.
    ///
    /// # Errors
    /// [`Error::CommitFailed`] while the group has members; [`Error::UnknownTopicOrPartition`],
    /// [`Error::OffsetMetadataTooLarge`], [`Error::IllegalArgument`] for a negative offset, [`Error::InvalidGroupId`],
    /// [`Error::Closed`]; [`Error::CommitOutcomeUnknown`], [`Error::Storage`], [`Error::DiskFull`] and [`Error::Io`] as
    /// for a commit.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, NewTopic, Offset, OffsetAndMetadata};
    /// # let engine = Engine::in_memory()?;
    /// # let admin = Admin::new(&engine);
    /// admin.create_topic(NewTopic::new("orders"))?;
    /// let noted = OffsetAndMetadata::new(Offset(0)).with_metadata("by hand");
    /// admin.alter_group_offsets("billing", [(("orders", 0).into(), noted)])?;
    /// assert_eq!(admin.describe_group("billing")?.partitions[0].metadata, "by hand");
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn alter_group_offsets(
        &self,
        name: &str,
        offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>,
    ) -> Result<()> {
        let group = self.engine.group(name)?;
        let entries = offsets.into_iter().map(|(partition, offset)| self.engine.commit_entry(&partition, offset));
        let entries = entries.collect::<Result<Vec<_>>>()?;
        let _permit = group.admit(None, &[])?; // until the commit is through nobody gets a partition
        if entries.is_empty() { Ok(()) } else { self.engine.commit(&group, &entries) }
    }

    /// What [`reset_group_offsets`](Self::reset_group_offsets) would do now, and does not, in the order of the
    /// partitions. The group may have members, and need not exist. Blocks for reading files if a time is asked for.
    /// Kafka: `--reset-offsets --dry-run`.
    ///
    /// # Errors
    /// [`Error::IllegalArgument`] for a time before 1970, and for [`ShiftBy`](GroupReset::ShiftBy) where the group has
    /// committed nothing; [`Error::UnknownTopicOrPartition`], [`Error::InvalidGroupId`], [`Error::Closed`]; what
    /// [`list_offsets`](Self::list_offsets) gives.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, GroupReset, Offset, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let admin = Admin::new(&engine);
    /// let plan = admin.plan_group_reset("billing", [("orders", 0).into()], GroupReset::Latest)?;
    /// assert_eq!((plan[0].before, plan[0].after), (None, Offset(1)));
    /// assert!(admin.list_groups()?.is_empty()); // nothing has happened
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn plan_group_reset(
        &self,
        name: &str,
        partitions: impl IntoIterator<Item = TopicPartition>,
        to: GroupReset,
    ) -> Result<Vec<GroupOffsetChange>> {
        let group = self.engine.group(name)?;
        let now = self.engine.now();
        let plan = |partition: TopicPartition| {
            let topic = self.engine.topic(partition.topic())?;
            let log = topic.partition(partition.partition())?;
            let committed = group.committed(topic.id(), partition.partition());
            let footing = Footing {
                log_start: log.log_start(),
                high_watermark: log.high_watermark(),
                committed: committed.as_ref().map(|committed| committed.offset),
                resumes_at: committed.map(|committed| log.resume_at(committed.offset, committed.leader_epoch)),
            };
            to.plan(partition, &footing, now, |at| log.offset_for_time(at))
        };
        partitions.into_iter().collect::<BTreeSet<_>>().into_iter().map(plan).collect()
    }

    /// Has a group without members go on at another place in each of `partitions`; a group that there is not yet is
    /// made. Answers what has become of each, in their order; it is on the disk when this returns, all of it or, after
    /// an error, nothing. Notes that were committed go. Kafka: `kafka-consumer-groups --reset-offsets --execute`.
    ///
    /// # Errors
    /// [`Error::NonEmptyGroup`] while it has members; else as [`plan_group_reset`](Self::plan_group_reset) and
    /// [`alter_group_offsets`](Self::alter_group_offsets).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, GroupReset, Offset, Producer, ProducerRecord, TopicPartition};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// for value in ["made", "paid", "sent"] {
    ///     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// }
    /// let admin = Admin::new(&engine);
    /// let partitions = admin.describe_topic("orders")?.partitions.into_iter().map(|each| each.partition);
    /// let done = admin.reset_group_offsets("billing", partitions, GroupReset::Latest)?;
    /// assert_eq!((done[0].before, done[0].after), (None, Offset(3)));
    /// assert_eq!(admin.describe_group("billing")?.partitions[0].committed, Some(Offset(3)));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn reset_group_offsets(
        &self,
        name: &str,
        partitions: impl IntoIterator<Item = TopicPartition>,
        to: GroupReset,
    ) -> Result<Vec<GroupOffsetChange>> {
        let group = self.engine.group(name)?;
        // From here on nobody gets a partition of the group, so what is planned is what there is.
        let _permit = group.admit(None, &[]).map_err(|_refused| Error::NonEmptyGroup { group: name.into() })?;
        let plan = self.plan_group_reset(name, partitions, to)?;
        let offsets = plan.iter().map(|change| (change.partition.clone(), OffsetAndMetadata::new(change.after)));
        self.alter_group_offsets(name, offsets)?;
        Ok(plan)
    }
}
