//! Commits: the next offset to read, under the group's name, on the disk.
//!
//! What is committed for a partition is its position: everything that poll returned counts as read. With
//! `enable.auto.commit` that happens at the beginning of a poll, when `auto.commit.interval.ms` has passed, so it
//! covers what earlier polls returned and nothing of this one; and once more on close.
//!
//! A commit that is not waited for is a frame given to the writer, and a place in a queue for the answer. Frames of a
//! group are written in the order in which they were given; callbacks run in that order too, each when its answer and
//! all answers before it are there, in the thread of the consumer.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::consumer::Consumer;
use crate::consumer::config::ConsumerConfig;
use crate::consumer::deserializer::Deserialize;
use crate::consumer::fetcher::{Fetcher, Lane};
use crate::consumer::metrics::{CommitMetrics, windows};
use crate::coordinator::group::{
    CommitEntry, CommitPermit, Committed, Group, Membership, OffsetAndMetadata, Offsets, Place,
};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::sync::{Moment, Signal, lock, wait_for};
use crate::types::{Offset, TopicPartition};

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Consumer<K, V> {
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
    /// Blocks until that is on the disk, and the callbacks of all earlier [`commit_async_with`](Self::commit_async_with)
    /// have run. Partitions of topics that were deleted are left out; poll tells about them. A failure that may pass is
    /// not tried again here, as Kafka does for a minute: the caller knows better how long to wait for room on the disk.
    ///
    /// # Errors
    /// [`Error::InvalidGroupId`] without a group; [`Error::CommitFailed`] if the group has another member;
    /// [`Error::DiskFull`], after which the same may succeed; [`Error::Storage`], [`Error::Io`], [`Error::Closed`]. Then
    /// nothing is committed. [`Error::CommitOutcomeUnknown`] if it was written and its sync failed: then the next
    /// opening of the directory tells, and whoever reads in the group from there on skips nothing either way.
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
        let committed = self.commits.commit_positions(&self.fetcher);
        self.finish_commit(committed)
    }

    /// Commits `offsets`: for each partition, assigned or not, the next offset to read.
    ///
    /// Blocks as [`commit_sync`](Self::commit_sync) does. An offset may lie before one that was committed earlier.
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
        let committed = self.commits.commit_offsets(&self.fetcher, offsets);
        self.finish_commit(committed)
    }

    /// Commits the positions of all assigned partitions, and does not wait: [`commit_async_with`](Self::commit_async_with)
    /// without a callback. A failure is logged.
    ///
    /// # Errors
    /// As [`commit_async_with`](Self::commit_async_with).
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
    /// while !consumer.poll(Duration::ZERO)?.is_empty() {
    ///     consumer.commit_async()?; // the next poll need not wait for the disk
    /// }
    /// consumer.close()?; // this does
    /// # let committed = Consumer::<str, str>::new(&engine, "billing")?.committed(&("orders", 0).into())?;
    /// assert_eq!(committed.map(|committed| committed.offset), Some(Offset(3)));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn commit_async(&mut self) -> Result<()> {
        self.ensure_open()?;
        let entries = self.commits.positions(&self.fetcher);
        self.commits.begin(entries, self.fetcher.signal(), None)
    }

    /// Commits the positions of all assigned partitions, and does not wait: `done` is told later what was to be
    /// committed and what became of it.
    ///
    /// Callbacks run in the thread that uses the consumer, inside a later `poll`, `commit_sync` or `close`, in the order
    /// of the commits. A commit that fails is not tried again: behind a later one it would take the group back. Blocks
    /// for the disk only when it is the first commit of its group ever.
    ///
    /// # Errors
    /// [`Error::InvalidGroupId`] without a group; [`Error::CommitFailed`] if the group has another member;
    /// [`Error::Closed`], and what making a new group's file gives. Then nothing was begun, and `done` is never called.
    /// What fails later, `done` is told, as [`commit_sync`](Self::commit_sync) would say it.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord};
    /// # use std::sync::mpsc;
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// consumer.poll(Duration::from_secs(1))?;
    /// let (tell, told) = mpsc::channel();
    /// consumer.commit_async_with(move |offsets, outcome| {
    ///     let offset = offsets[&("orders", 0).into()].offset;
    ///     tell.send((offset, outcome.is_ok())).expect("somebody listens");
    /// })?;
    /// consumer.commit_sync()?; // callbacks of earlier commits have run before it returns
    /// assert_eq!(told.try_recv(), Ok((Offset(3), true)));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn commit_async_with(&mut self, done: impl FnOnce(&Offsets, Result<()>) + Send + 'static) -> Result<()> {
        self.ensure_open()?;
        let entries = self.commits.positions(&self.fetcher);
        self.commits.begin(entries, self.fetcher.signal(), Some(Box::new(done)))
    }

    /// Commits `offsets`, and does not wait; otherwise as [`commit_async_with`](Self::commit_async_with).
    ///
    /// # Errors
    /// As [`commit_async_with`](Self::commit_async_with), and for what `offsets` can have wrong, as
    /// [`commit_sync_offsets`](Self::commit_sync_offsets).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Consumer, Engine, NewTopic, Offset, OffsetAndMetadata, TopicPartition};
    /// # let engine = Engine::in_memory()?;
    /// # Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// let first = TopicPartition::new("orders", 0);
    /// let noted = OffsetAndMetadata::new(Offset(0)).with_metadata("new");
    /// consumer.commit_async_offsets([(first.clone(), noted)], |_offsets, outcome| {
    ///     assert!(outcome.is_ok());
    /// })?;
    /// consumer.close()?; // runs the callback
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn commit_async_offsets(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>,
        done: impl FnOnce(&Offsets, Result<()>) + Send + 'static,
    ) -> Result<()> {
        self.ensure_open()?;
        let entries = self.commits.entries(&self.fetcher, offsets)?;
        self.commits.begin(entries, self.fetcher.signal(), Some(Box::new(done)))
    }

    /// Has everybody told of a commit that was waited for, and of those before it.
    fn finish_commit(&mut self, committed: Result<Offsets>) -> Result<()> {
        self.commits.wait_for_begun(self.fetcher.signal());
        self.run_commit_callbacks();
        self.tell_committed(&committed?);
        Ok(())
    }

    /// Commits what has changed, if that is done without being told to, and the time has come.
    pub(super) fn commit_if_due(&mut self) {
        if let Some(committed) = self.commits.commit_if_due(&self.fetcher) {
            self.tell_committed(&committed);
        }
    }

    /// Commits what has changed, if that is done without being told to.
    pub(super) fn commit_changes(&mut self) -> Result<()> {
        let committed = self.commits.commit_changes(&self.fetcher)?;
        self.tell_committed(&committed);
        Ok(())
    }

    /// The last that a closing consumer does: commits, and has all callbacks run.
    pub(super) fn commit_at_end(&mut self) -> Result<()> {
        let committed = self.commits.commit_changes(&self.fetcher);
        self.finish_commit(committed)
    }

    /// Runs the callbacks of commits that have been answered.
    pub(super) fn run_commit_callbacks(&mut self) {
        while let Some((begun, outcome)) = self.commits.next_answered() {
            if outcome.is_ok() {
                self.tell_committed(&begun.offsets);
            }
            match (begun.done, outcome) {
                (Some(done), outcome) => done(&begun.offsets, outcome),
                (None, Err(error)) => log::warn!("a commit failed: {error}"),
                (None, Ok(())) => {}
            }
        }
    }

    fn tell_committed(&mut self, offsets: &Offsets) {
        if !offsets.is_empty() {
            self.interceptors.on_commit(offsets);
        }
    }
}

/// The group of a consumer, if it has one, and what it commits there by itself.
#[derive(Debug)]
pub(super) struct Commits {
    engine: Engine,
    group: Option<Arc<Group>>,
    membership: Option<Membership>,
    /// `None`: only when told to.
    interval: Option<Duration>,
    due: Moment,
    /// Commits that nobody waits for, oldest first.
    begun: VecDeque<Begun>,
    metrics: CommitMetrics,
}

type Done = Box<dyn FnOnce(&Offsets, Result<()>) + Send>;
/// What became of a commit, and when.
type Answer = Option<(Result<()>, Moment)>;
type Entries = Vec<(TopicPartition, CommitEntry)>;

/// A commit that was begun, and whose callback has not run.
pub(super) struct Begun {
    offsets: Offsets,
    done: Option<Done>,
    began: Moment,
    answer: Arc<Mutex<Answer>>,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Begun({:?})", self.offsets)
    }
}

impl Commits {
    /// # Errors
    /// [`Error::InvalidGroupId`] if a group cannot have that name.
    pub(super) fn new(engine: &Engine, config: &ConsumerConfig) -> Result<Self> {
        let group = config.group_id.as_deref().map(|name| engine.group(name)).transpose()?;
        let is_automatic = config.enable_auto_commit && group.is_some();
        let interval = is_automatic.then_some(config.auto_commit_interval);
        let now = engine.scheduler().now();
        let (due, metrics) = (now + config.auto_commit_interval, CommitMetrics::new(windows(config), now));
        Ok(Self { engine: engine.clone(), group, membership: None, interval, due, begun: VecDeque::new(), metrics })
    }

    pub(super) fn metrics(&self) -> &CommitMetrics {
        &self.metrics
    }

    pub(super) fn group(&self) -> Option<&Group> {
        self.group.as_deref()
    }

    /// The consumer's place in its group, if it has one.
    pub(super) fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    pub(super) fn set_membership(&mut self, membership: Membership) {
        self.membership = Some(membership);
    }

    /// Leaves the group, if it is a member.
    pub(super) fn leave(&mut self) {
        if let (Some(membership), Some(group)) = (self.membership.take(), &self.group) {
            drop(membership);
            self.engine.note_members(group);
        }
    }

    /// Whether the group has something for the consumer to do.
    pub(super) fn has_news(&self) -> bool {
        self.membership.as_ref().is_some_and(Membership::has_news)
    }

    /// Leave to commit `entries`, until it is dropped; none is needed where there is nothing to commit.
    fn admit(&self, entries: &Entries) -> Result<Option<CommitPermit>> {
        let group = self.group_or_error()?;
        if entries.is_empty() {
            return Ok(None);
        }
        let place = |(partition, entry): &(TopicPartition, CommitEntry)| Place {
            partition: partition.clone(),
            topic_id: entry.topic_id,
        };
        let places: Vec<Place> = entries.iter().map(place).collect();
        group.admit(self.membership.as_ref(), &places).map(Some)
    }

    pub(super) fn group_or_error(&self) -> Result<&Arc<Group>> {
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
    pub(super) fn commit_positions(&mut self, fetcher: &Fetcher) -> Result<Offsets> {
        self.commit(self.positions(fetcher))
    }

    /// Commits `offsets`, of partitions that need not be assigned.
    pub(super) fn commit_offsets(
        &mut self,
        fetcher: &Fetcher,
        offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>,
    ) -> Result<Offsets> {
        self.commit(self.entries(fetcher, offsets)?)
    }

    /// What committing `offsets` writes.
    fn entries(
        &self,
        fetcher: &Fetcher,
        offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>,
    ) -> Result<Entries> {
        self.group_or_error()?;
        let entry = |(partition, offset): (TopicPartition, OffsetAndMetadata)| {
            let entry = self.entry(fetcher, &partition, offset)?;
            Ok((partition, entry))
        };
        offsets.into_iter().map(entry).collect()
    }

    /// Commits what has changed, if that is done without being told to.
    fn commit_changes(&mut self, fetcher: &Fetcher) -> Result<Offsets> {
        let (Some(_), Some(group)) = (self.interval, &self.group) else { return Ok(Offsets::new()) };
        let mut entries = self.positions(fetcher);
        // Writing and syncing again what is there already would wake the disk of an idle application.
        entries.retain(|(_, entry)| !is_committed(group, entry));
        self.commit(entries)
    }

    /// Commits what has changed if the time has come. A failure is logged: the next attempt covers this one.
    fn commit_if_due(&mut self, fetcher: &Fetcher) -> Option<Offsets> {
        let interval = self.interval?;
        if self.engine.scheduler().now() < self.due {
            return None;
        }
        let outcome = self.commit_changes(fetcher);
        let is_retriable = outcome.as_ref().is_err_and(Error::is_retriable);
        self.due = self.engine.scheduler().now() + if is_retriable { interval.min(RETRY_BACKOFF) } else { interval };
        outcome.inspect_err(|error| log::warn!("auto-commit failed: {error}")).ok()
    }

    /// When a poll that waits at `now` is to look after the next commit, if there will be any.
    pub(super) fn due(&self, now: Moment) -> Option<Moment> {
        self.interval.map(|_| self.due.max(now + LEAST_WAIT))
    }

    /// Of topics that are gone there is nothing to come back to.
    fn positions(&self, fetcher: &Fetcher) -> Entries {
        let lanes = fetcher.lanes().iter().filter(|lane| !lane.is_deleted());
        lanes.filter_map(|lane| Some((lane.name().clone(), self.position(lane, lane.position()?)))).collect()
    }

    fn position(&self, lane: &Lane, offset: Offset) -> CommitEntry {
        CommitEntry {
            topic_id: lane.topic_id(),
            partition: lane.name().partition(),
            offset,
            leader_epoch: lane.epoch_before(offset),
            metadata: String::new(),
            commit_timestamp: self.engine.now(),
        }
    }

    fn entry(&self, fetcher: &Fetcher, name: &TopicPartition, offset: OffsetAndMetadata) -> Result<CommitEntry> {
        let entry = self.engine.commit_entry(name, offset)?;
        // What was read of a topic that is gone says nothing about its successor.
        let lane = fetcher.lanes().binary_search_by(|lane| lane.name().cmp(name));
        if lane.is_ok_and(|index| fetcher.lanes()[index].topic_id() != entry.topic_id) {
            return Err(Error::UnknownTopicId { partition: name.clone() });
        }
        Ok(entry)
    }

    /// Returns when `entries` are on the disk.
    fn commit(&mut self, entries: Entries) -> Result<Offsets> {
        let group = self.group_or_error()?;
        let permit = self.admit(&entries)?;
        let (offsets, entries) = offsets_of(entries);
        if permit.is_some() {
            let began = self.engine.scheduler().now();
            let outcome = self.engine.commit(group, &entries);
            let now = self.engine.scheduler().now();
            self.metrics.note_wait(now.since(began));
            outcome?;
            self.metrics.note_commit(now, now.since(began));
        }
        Ok(offsets)
    }

    /// Returns when `entries` are on their way; notifies `signal` when their answer is in.
    fn begin(&mut self, entries: Entries, signal: &Arc<Signal>, done: Option<Done>) -> Result<()> {
        let group = self.group_or_error()?;
        let permit = self.admit(&entries)?;
        let (offsets, entries) = offsets_of(entries);
        let (scheduler, began) = (Arc::clone(self.engine.scheduler()), self.engine.scheduler().now());
        let answer = Arc::new(Mutex::new(None));
        if entries.is_empty() {
            *lock(&answer) = Some((Ok(()), began));
        } else {
            let (to, signal) = (Arc::clone(&answer), Arc::clone(signal));
            self.engine.begin_commit(group, &entries, move |result| {
                drop(permit); // from here on the next owner of the partitions sees it
                *lock(&to) = Some((result, scheduler.now()));
                signal.notify();
            })?;
        }
        self.begun.push_back(Begun { offsets, done, began, answer });
        Ok(())
    }

    /// Whether a callback is to be run.
    pub(super) fn has_answered(&self) -> bool {
        self.begun.front().is_some_and(|begun| lock(&begun.answer).is_some())
    }

    /// The oldest commit that was begun, if its answer is in.
    fn next_answered(&mut self) -> Option<(Begun, Result<()>)> {
        let (outcome, now) = lock(&self.begun.front()?.answer).take()?;
        let begun = self.begun.pop_front()?;
        if outcome.is_ok() && !begun.offsets.is_empty() {
            self.metrics.note_commit(now, now.since(begun.began));
        }
        Some((begun, outcome))
    }

    /// Waits for the answers of all that were begun. Every one comes: a writer that ends answers what it has.
    pub(super) fn wait_for_begun(&self, signal: &Signal) {
        let all = || self.begun.iter().all(|begun| lock(&begun.answer).is_some()).then_some(());
        wait_for(self.engine.scheduler().as_ref(), signal, None, all);
    }
}

/// What `entries` commit, by name, and the entries alone.
fn offsets_of(entries: Entries) -> (Offsets, Vec<CommitEntry>) {
    let offset = |entry: &CommitEntry| OffsetAndMetadata {
        offset: entry.offset,
        leader_epoch: entry.leader_epoch,
        metadata: entry.metadata.clone(),
    };
    let offsets = entries.iter().map(|(partition, entry)| (partition.clone(), offset(entry))).collect();
    (offsets, entries.into_iter().map(|(_, entry)| entry).collect())
}

fn is_committed(group: &Group, entry: &CommitEntry) -> bool {
    let committed = group.committed(entry.topic_id, entry.partition);
    committed.is_some_and(|at| at.offset == entry.offset && at.leader_epoch == entry.leader_epoch)
}

/// How long a poll waits for a commit at the least: an interval of nothing is no reason never to rest.
const LEAST_WAIT: Duration = Duration::from_millis(10);

/// After a commit that may succeed the next time. Kafka: `retry.backoff.ms`.
const RETRY_BACKOFF: Duration = Duration::from_millis(100);
