//! Groups: how far each has read, and how much is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admin::Admin;
use crate::coordinator::group::{GroupDescription, GroupListing, GroupMembers, Standing};
use crate::error::Result;
use crate::topics::Topic;
use crate::types::TopicId;

impl Admin {
    /// All groups that have committed something, by name. Never blocks for the disk. Kafka: `Admin.listGroups`.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) after the engine was closed.
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
    /// [`Error::InvalidGroupId`](crate::Error::InvalidGroupId) if no group can have that name;
    /// [`Error::GroupIdNotFound`](crate::Error::GroupIdNotFound) if it has committed nothing, and no consumer was made for it;
    /// [`Error::Closed`](crate::Error::Closed) after the engine was closed.
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

    /// How far a group has read, and how much is left. Never blocks for the disk. Kafka: `describeConsumerGroups`,
    /// `listConsumerGroupOffsets`.
    ///
    /// # Errors
    /// [`Error::InvalidGroupId`](crate::Error::InvalidGroupId) if no group can have that name; [`Error::GroupIdNotFound`](crate::Error::GroupIdNotFound) if there is no such group, or
    /// it has committed nothing; [`Error::Closed`](crate::Error::Closed) after the engine was closed.
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
    /// assert_eq!((billing.partitions[0].committed, billing.partitions[0].lag), (Some(Offset(1)), Some(2)));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn describe_group(&self, name: &str) -> Result<GroupDescription> {
        self.engine.ensure_open()?;
        let group = self.engine.find_group(name)?;
        let topics = self.engine.topics();
        let by_id: BTreeMap<TopicId, &Arc<Topic>> = topics.iter().map(|topic| (topic.id(), topic)).collect();
        GroupDescription::of(&group, topics.iter().map(|topic| &topic.entry), |entry, partition, committed| {
            let log = by_id[&entry.id].partition(partition.partition())?;
            let resumes_at = committed.map(|committed| log.resume_at(committed.offset, committed.leader_epoch));
            Ok(Standing { log_start: log.log_start(), high_watermark: log.high_watermark(), resumes_at })
        })
    }
}
