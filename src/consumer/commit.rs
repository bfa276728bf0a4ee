//! Commits: the next offset to read, under the group's name, on the disk.
//!
//! What is committed for a partition is its position: everything that poll returned counts as read. With
//! `enable.auto.commit` that happens at the beginning of a poll, when `auto.commit.interval.ms` has passed, so it
//! covers what earlier polls returned and nothing of this one; and once more on close.

use std::sync::Arc;
use std::time::Duration;

use crate::consumer::config::ConsumerConfig;
use crate::consumer::fetcher::{Fetcher, Lane};
use crate::coordinator::group::{CommitEntry, Committed, GroupOffsets, Membership};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::sync::Moment;
use crate::types::{LeaderEpoch, Offset, TopicId, TopicPartition};

/// What is committed for a partition: the next offset to read, and a note.
///
/// ```
/// # use ottla::{LeaderEpoch, Offset, OffsetAndMetadata};
/// let noted = OffsetAndMetadata::new(Offset(5)).with_metadata("shift 2");
/// assert_eq!((noted.offset, noted.metadata.as_str()), (Offset(5), "shift 2"));
/// assert_eq!(OffsetAndMetadata::from(Offset(5)).leader_epoch, LeaderEpoch::NONE);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetAndMetadata {
    /// The next offset to read.
    pub offset: Offset,
    /// Under which leadership the record before `offset` was written. Left at [`LeaderEpoch::NONE`], a commit looks
    /// it up.
    pub leader_epoch: LeaderEpoch,
    /// A note of the application's, 4096 bytes at most.
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// Names the next offset to read, without a note.
    #[must_use]
    pub fn new(offset: Offset) -> Self {
        Self { offset, leader_epoch: LeaderEpoch::NONE, metadata: String::new() }
    }

    /// Adds a note.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// Says under which leadership the record before the offset was written.
    #[must_use]
    pub fn with_leader_epoch(mut self, leader_epoch: LeaderEpoch) -> Self {
        self.leader_epoch = leader_epoch;
        self
    }
}

impl From<Offset> for OffsetAndMetadata {
    fn from(offset: Offset) -> Self {
        Self::new(offset)
    }
}

/// The group of a consumer, if it has one, and what it commits there by itself.
#[derive(Debug)]
pub(super) struct Commits {
    engine: Engine,
    group: Option<Arc<GroupOffsets>>,
    membership: Option<Membership>,
    /// `None`: only when told to.
    interval: Option<Duration>,
    due: Moment,
}

impl Commits {
    /// # Errors
    /// [`Error::InvalidGroupId`] if a group cannot have that name.
    pub(super) fn new(engine: &Engine, config: &ConsumerConfig) -> Result<Self> {
        let group = config.group_id.as_deref().map(|name| engine.group(name)).transpose()?;
        let is_automatic = config.enable_auto_commit && group.is_some();
        let interval = is_automatic.then_some(config.auto_commit_interval);
        let due = engine.scheduler().now() + config.auto_commit_interval;
        Ok(Self { engine: engine.clone(), group, membership: None, interval, due })
    }

    pub(super) fn group(&self) -> Option<&GroupOffsets> {
        self.group.as_deref()
    }

    /// Becomes the member of the group, or stays it.
    ///
    /// # Errors
    /// [`Error::InvalidGroupId`] without a group, [`Error::GroupMaxSizeReached`] if it has another member.
    pub(super) fn join(&mut self) -> Result<()> {
        let group = self.group_or_error()?;
        if self.membership.is_none() {
            self.membership = Some(group.join()?);
        }
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.membership = None;
    }

    fn group_or_error(&self) -> Result<&Arc<GroupOffsets>> {
        let reason = "to subscribe or commit, a consumer needs a group.id";
        self.group.as_ref().ok_or_else(|| Error::InvalidGroupId { group: "".into(), reason: reason.into() })
    }

    /// What the group has committed for a partition.
    pub(super) fn committed(&self, partition: &TopicPartition) -> Result<Option<OffsetAndMetadata>> {
        let group = self.group_or_error()?;
        let topic = self.engine.topic(partition.topic())?;
        topic.partition(partition.partition())?;
        let committed = group.committed(topic.id(), partition.partition());
        Ok(committed.map(|Committed { offset, leader_epoch, metadata, .. }| OffsetAndMetadata {
            offset,
            leader_epoch,
            metadata,
        }))
    }

    /// Commits every position.
    pub(super) fn commit_positions(&self, fetcher: &Fetcher) -> Result<()> {
        self.commit(self.positions(fetcher))
    }

    /// Commits `offsets`, of partitions that need not be assigned.
    pub(super) fn commit_offsets(
        &self,
        fetcher: &Fetcher,
        offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>,
    ) -> Result<()> {
        self.group_or_error()?;
        let entries = offsets.into_iter().map(|(partition, offset)| self.entry(fetcher, &partition, offset));
        self.commit(entries.collect::<Result<_>>()?)
    }

    /// Commits what has changed, if that is done without being told to.
    pub(super) fn commit_changes(&self, fetcher: &Fetcher) -> Result<()> {
        let (Some(_), Some(group)) = (self.interval, &self.group) else { return Ok(()) };
        let mut entries = self.positions(fetcher);
        // Writing and syncing again what is there already would wake the disk of an idle application.
        entries.retain(|entry| !is_committed(group, entry));
        self.commit(entries)
    }

    /// Commits what has changed if the time has come. A failure is logged: the next attempt covers this one.
    pub(super) fn commit_if_due(&mut self, fetcher: &Fetcher) {
        let Some(interval) = self.interval else { return };
        if self.engine.scheduler().now() < self.due {
            return;
        }
        let outcome = self.commit_changes(fetcher);
        let is_retriable = outcome.as_ref().is_err_and(Error::is_retriable);
        self.due = self.engine.scheduler().now() + if is_retriable { interval.min(RETRY_BACKOFF) } else { interval };
        if let Err(error) = outcome {
            log::warn!("auto-commit failed: {error}");
        }
    }

    /// When the next commit is due, if any will be.
    pub(super) fn due(&self) -> Option<Moment> {
        self.interval.map(|_| self.due)
    }

    /// Of topics that are gone there is nothing to come back to.
    fn positions(&self, fetcher: &Fetcher) -> Vec<CommitEntry> {
        let lanes = fetcher.lanes().iter().filter(|lane| !lane.is_deleted());
        lanes.filter_map(|lane| Some(self.position(lane, lane.position()?))).collect()
    }

    fn position(&self, lane: &Lane, offset: Offset) -> CommitEntry {
        let place = (lane.topic_id(), lane.name().partition());
        self.make_entry(place, OffsetAndMetadata::new(offset).with_leader_epoch(lane.epoch_before(offset)))
    }

    fn entry(&self, fetcher: &Fetcher, name: &TopicPartition, mut offset: OffsetAndMetadata) -> Result<CommitEntry> {
        if offset.offset < Offset::ZERO {
            return Err(Error::illegal_argument(format!("{name}: {} cannot be committed", offset.offset)));
        }
        let size = offset.metadata.len();
        let limit = self.engine.offset_metadata_max_bytes();
        if size > limit {
            let partition = name.clone();
            return Err(Error::OffsetMetadataTooLarge { partition, size, limit });
        }
        let topic = self.engine.topic(name.topic())?;
        let partition = topic.partition(name.partition())?;
        // What was read of a topic that is gone says nothing about its successor.
        if fetcher.lanes().iter().any(|lane| lane.name() == name && lane.topic_id() != topic.id()) {
            return Err(Error::UnknownTopicId { partition: name.clone() });
        }
        if offset.leader_epoch == LeaderEpoch::NONE {
            offset.leader_epoch = partition.epoch_before(offset.offset);
        }
        Ok(self.make_entry((topic.id(), name.partition()), offset))
    }

    fn make_entry(&self, (topic_id, partition): (TopicId, u32), committed: OffsetAndMetadata) -> CommitEntry {
        let OffsetAndMetadata { offset, leader_epoch, metadata } = committed;
        CommitEntry { topic_id, partition, offset, leader_epoch, metadata, commit_timestamp: self.engine.now() }
    }

    /// Returns when `entries` are on the disk.
    fn commit(&self, entries: Vec<CommitEntry>) -> Result<()> {
        let group = self.group_or_error()?;
        if entries.is_empty() {
            return Ok(());
        }
        group.admit(self.membership.as_ref())?;
        self.engine.commit(group, &entries)
    }
}

fn is_committed(group: &GroupOffsets, entry: &CommitEntry) -> bool {
    let committed = group.committed(entry.topic_id, entry.partition);
    committed.is_some_and(|at| at.offset == entry.offset && at.leader_epoch == entry.leader_epoch)
}

/// After a commit that may succeed the next time. Kafka: `retry.backoff.ms`.
const RETRY_BACKOFF: Duration = Duration::from_millis(100);
