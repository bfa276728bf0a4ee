//! What an application reads with: a position in each partition, and a group that remembers it.
//!
//! Everything happens in the caller's thread, inside [`Consumer::poll`]; there is no thread behind a consumer, and
//! nothing is read ahead of a poll but what the last read brought along. Its parts:
//!
//! | module | is about |
//! |---|---|
//! | `subscription` | what is read: topics or partitions |
//! | `membership`, `strategy` | what its group gives it, and by which assignor |
//! | `listener` | code of the user's that is told when partitions come and go |
//! | `fetcher` | positions, buffers, and whose turn it is |
//! | `builder` | of what a consumer is put together |
//! | `record` | what poll returns, borrowed from the batches as they were read |
//! | `deserializer` | what keys and values look like |
//! | `positions`, `lag`, `reset` | seeking, looking offsets up, how far it is behind; where it begins |
//! | `commit` | how positions get into the group |
//! | `interceptor` | code of the user's that sees records and commits pass |
//! | `metrics` | how it is doing, in numbers |
//! | `wakeup`, `stream` | ending a wait from another thread; an iterator that blocks |

mod builder;
mod commit;
mod config;
mod deserializer;
mod fetcher;
mod interceptor;
mod listener;
mod membership;
mod metrics;
mod positions;
mod record;
mod reset;
mod strategy;
mod stream;
mod subscription;
mod wakeup;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::coordinator::group::Group;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::sync::{Moment, wait_for};
use crate::types::TopicPartition;

use commit::Commits;
use fetcher::{Begin, Fetcher, Rules};
use interceptor::Interceptors;
use membership::MemberTerms;
use metrics::{FetchMetrics, PollMetrics, RebalanceMetrics, windows};
use record::{Chunk, Deserializers};
use subscription::Subscription;
use wakeup::Wake;

pub use builder::ConsumerBuilder;
pub use config::{ConsumerConfig, ConsumerConfigBuilder};
pub use deserializer::{Deserialize, Deserializer, OwnDeserializer};
pub use interceptor::ConsumerInterceptor;
pub use listener::RebalanceListener;
pub use membership::ConsumerGroupMetadata;
pub use positions::OffsetAndTimestamp;
pub use record::{ConsumerRecord, ConsumerRecords, Iter, OwnedRecord};
pub use reset::AutoOffsetReset;
pub use strategy::AssignmentStrategy;
pub use stream::{RecordStream, StopHandle};
pub use wakeup::WakeupHandle;

/// Reads records, and remembers under a group's name how far it came. Kafka: `KafkaConsumer`.
///
/// A consumer belongs to one thread at a time: its methods take `&mut self`, and it can be sent to another thread. So a
/// second thread that polls, for which Kafka has a `ConcurrentModificationException`, does not compile. What other
/// threads may do is to [wake](Self::wakeup_handle) it. Consumers of one group, each in a thread of its own, share the
/// partitions of the topics that they subscribe to.
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
///
/// ```compile_fail,E0499
/// # use ottla::{Consumer, Engine};
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| consumer.poll(Duration::ZERO).is_ok());
///     scope.spawn(|| consumer.poll(Duration::ZERO).is_ok()); // error: a second mutable borrow
/// });
/// # Ok::<(), ottla::Error>(())
/// ```
pub struct Consumer<K: ?Sized + Deserialize, V: ?Sized + Deserialize> {
    engine: Engine,
    deserializers: Deserializers<K, V>,
    reset: AutoOffsetReset,
    subscription: Subscription,
    fetcher: Fetcher,
    commits: Commits,
    interceptors: Interceptors<K, V>,
    wake: Arc<Wake>,
    terms: MemberTerms,
    listener: Option<Box<dyn RebalanceListener<K, V>>>,
    /// Code of the listener's is running, with this consumer in its hands.
    is_in_listener: bool,
    rebalances: RebalanceMetrics,
    client_id: Option<Arc<str>>,
    polls: PollMetrics,
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

    /// To put one together with interceptors, and the deserializers that belong to the types.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Cause, Consumer, ConsumerInterceptor, ConsumerRecords, Engine, Producer, ProducerRecord};
    /// # use std::sync::Arc;
    /// # use std::sync::atomic::{AtomicUsize, Ordering};
    /// # use std::time::Duration;
    /// #[derive(Clone, Default)]
    /// struct Counter(Arc<AtomicUsize>);
    ///
    /// impl ConsumerInterceptor<str, str> for Counter {
    ///     fn on_consume(&mut self, records: &mut ConsumerRecords<str, str>) -> Result<(), Cause> {
    ///         self.0.fetch_add(records.len(), Ordering::Relaxed);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # let engine = Engine::in_memory()?;
    /// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let counter = Counter::default();
    /// let mut consumer = Consumer::<str, str>::builder(&engine).interceptor(counter.clone()).build()?;
    /// consumer.assign([("orders", 0).into()])?;
    /// consumer.poll(Duration::from_secs(1))?;
    /// assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn builder(engine: &Engine) -> ConsumerBuilder<K, V> {
        ConsumerBuilder::new(engine, K::deserializer(), V::deserializer())
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
        Self::builder_with(engine, key, value).config(config).build()
    }

    /// To put one together with interceptors, and deserializers of your own.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, OwnDeserializer};
    /// # let engine = Engine::in_memory()?;
    /// let text = str::deserializer();
    /// let consumer = Consumer::<str, str>::builder_with(&engine, text.clone(), text).build()?;
    /// assert!(consumer.subscription().is_empty());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn builder_with(
        engine: &Engine,
        key: Arc<dyn Deserializer<K>>,
        value: Arc<dyn Deserializer<V>>,
    ) -> ConsumerBuilder<K, V> {
        ConsumerBuilder::new(engine, key, value)
    }

    fn with_parts(
        engine: &Engine,
        config: &ConsumerConfig,
        terms: MemberTerms,
        deserializers: Deserializers<K, V>,
        interceptors: Interceptors<K, V>,
    ) -> Result<Self> {
        engine.ensure_open()?;
        let (windows, now) = (windows(config), engine.scheduler().now());
        let fetcher = Fetcher::new(Rules::of(config), FetchMetrics::new(windows, now));
        Ok(Self {
            wake: Wake::new(fetcher.signal()),
            engine: engine.clone(),
            deserializers,
            reset: config.auto_offset_reset,
            subscription: Subscription::None,
            fetcher,
            commits: Commits::new(engine, config)?,
            interceptors,
            terms,
            listener: None,
            is_in_listener: false,
            rebalances: RebalanceMetrics::new(windows, now),
            client_id: config.client_id.as_deref().map(Arc::from),
            polls: PollMetrics::new(windows, now),
            is_closed: false,
        })
    }

    /// Shares the partitions of `topics` with the other members of its group from now on, in place of the topics
    /// subscribed to before. Without any topic it is [`unsubscribe`](Self::unsubscribe).
    ///
    /// The next [`poll`](Self::poll) joins the group, or tells it. Partitions that the consumer had already keep their
    /// position. A topic that is deleted leaves, one that is created again under its name joins.
    ///
    /// # Errors
    /// [`Error::IllegalState`] after [`assign`](Self::assign); [`Error::InvalidGroupId`] without a group;
    /// [`Error::UnknownTopicOrPartition`] if there is no such topic, [`Error::InvalidTopic`] or
    /// [`Error::IllegalArgument`] if there can be none of that name; [`Error::Closed`]. Then nothing has changed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Consumer, Engine, NewTopic, TopicPartition};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(2))?;
    /// let mut first = Consumer::<str, str>::new(&engine, "billing")?;
    /// first.subscribe(["orders"])?;
    /// assert_eq!(first.subscription(), ["orders"]);
    /// first.poll(Duration::ZERO)?;
    /// assert_eq!(first.assignment().len(), 2);
    ///
    /// let mut second = Consumer::<str, str>::new(&engine, "billing")?; // in another thread, as a rule
    /// second.subscribe(["orders"])?;
    /// second.poll(Duration::ZERO)?; // joins
    /// first.poll(Duration::ZERO)?; // gives up one of the two
    /// second.poll(Duration::ZERO)?; // takes it
    /// assert_eq!(first.assignment(), [TopicPartition::new("orders", 0)]);
    /// assert_eq!(second.assignment(), [TopicPartition::new("orders", 1)]);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn subscribe(&mut self, topics: impl IntoIterator<Item = impl AsRef<str>>) -> Result<()> {
        let names = topics.into_iter().map(|name| name.as_ref().into()).collect();
        self.subscribe_to(names, None)
    }

    /// The same as [`subscribe`](Self::subscribe), and `listener` is told of partitions that come and go, in place of one
    /// that was given before.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Cause, Consumer, Engine, NewTopic, RebalanceListener, TopicPartition};
    /// # use std::time::Duration;
    /// /// Says what comes.
    /// struct Printer;
    ///
    /// impl RebalanceListener<str, str> for Printer {
    ///     fn on_partitions_assigned(
    ///         &mut self,
    ///         _consumer: &mut Consumer<str, str>,
    ///         partitions: &[TopicPartition],
    ///     ) -> Result<(), Cause> {
    ///         println!("mine now: {partitions:?}");
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # let engine = Engine::in_memory()?;
    /// # Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe_with(["orders"], Printer)?;
    /// assert!(consumer.poll(Duration::ZERO)?.is_empty()); // has it say so
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn subscribe_with(
        &mut self,
        topics: impl IntoIterator<Item = impl AsRef<str>>,
        listener: impl RebalanceListener<K, V> + 'static,
    ) -> Result<()> {
        let names = topics.into_iter().map(|name| name.as_ref().into()).collect();
        self.subscribe_to(names, Some(Box::new(listener)))
    }

    /// Shares all topics whose whole name the regular expression `pattern` matches, in place of what was subscribed to
    /// before: topics join as they are created, and leave as they are deleted. There may be none yet.
    ///
    /// # Errors
    /// [`Error::IllegalArgument`] if `pattern` is empty, or none in the syntax of the crate `regex`;
    /// [`Error::IllegalState`] after [`assign`](Self::assign); [`Error::InvalidGroupId`] without a group;
    /// [`Error::Closed`]. Then nothing has changed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Consumer, Engine, NewTopic};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let admin = Admin::new(&engine);
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe_pattern("orders-.*")?;
    /// consumer.poll(Duration::ZERO)?;
    /// admin.create_topic(NewTopic::new("orders-eu"))?;
    /// admin.create_topic(NewTopic::new("reorders-eu"))?; // not the whole of its name
    /// consumer.poll(Duration::ZERO)?;
    /// assert_eq!(consumer.assignment(), [("orders-eu", 0).into()]);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<()> {
        self.subscribe_to_pattern(pattern, None)
    }

    /// The same as [`subscribe_pattern`](Self::subscribe_pattern), and `listener` is told of partitions that come and go,
    /// in place of one that was given before.
    ///
    /// # Errors
    /// As [`subscribe_pattern`](Self::subscribe_pattern).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, RebalanceListener};
    /// struct Nothing;
    ///
    /// impl RebalanceListener<str, str> for Nothing {}
    ///
    /// # let engine = Engine::in_memory()?;
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe_pattern_with("orders-.*", Nothing)?;
    /// assert!(consumer.subscription().is_empty()); // there is no such topic
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn subscribe_pattern_with(
        &mut self,
        pattern: &str,
        listener: impl RebalanceListener<K, V> + 'static,
    ) -> Result<()> {
        self.subscribe_to_pattern(pattern, Some(Box::new(listener)))
    }

    fn subscribe_to(&mut self, names: Vec<Arc<str>>, listener: Option<Box<dyn RebalanceListener<K, V>>>) -> Result<()> {
        self.ensure_open()?;
        if names.is_empty() {
            return self.unsubscribe();
        }
        self.allow_topics()?;
        let names = subscription::known_topics(&self.engine, names)?;
        self.set_subscription(Subscription::Topics(names), listener);
        Ok(())
    }

    fn subscribe_to_pattern(
        &mut self,
        pattern: &str,
        listener: Option<Box<dyn RebalanceListener<K, V>>>,
    ) -> Result<()> {
        self.ensure_open()?;
        self.allow_topics()?;
        let pattern = subscription::whole_name(pattern)?;
        self.set_subscription(Subscription::Pattern(pattern), listener);
        Ok(())
    }

    fn allow_topics(&self) -> Result<()> {
        self.ensure_outside_listener()?;
        self.subscription.allow_topics()?;
        self.commits.group_or_error()?;
        Ok(())
    }

    fn set_subscription(&mut self, subscription: Subscription, listener: Option<Box<dyn RebalanceListener<K, V>>>) {
        self.subscription = subscription;
        self.listener = listener;
        self.fetcher.pass_deleted(true);
        if let Some(membership) = self.commits.membership() {
            self.engine.resubscribe(membership, self.subscription.interest());
        }
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
        self.ensure_outside_listener()?;
        self.subscription.allow_partitions()?;
        let sources = subscription::sources(&self.engine, partitions)?;
        self.commit_if_due();
        self.fetcher.pass_deleted(false);
        self.fetcher.assign(sources);
        self.subscription = Subscription::Partitions;
        Ok(())
    }

    /// Reads nothing from now on, and leaves the group; a rebalance listener is told before. Nothing is committed.
    ///
    /// # Errors
    /// [`Error::RebalanceListener`] if the listener failed: the consumer has left all the same. [`Error::Closed`] after
    /// [`close`](Self::close).
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
        self.ensure_outside_listener()?;
        self.let_go()
    }

    /// The topics subscribed to, by name; of a pattern, those that match it now.
    #[must_use]
    pub fn subscription(&self) -> Vec<String> {
        self.subscription.topics(&self.engine)
    }

    /// The partitions that are read, in order. Those that the group gives to a subscribed consumer come and go with its
    /// polls.
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
    /// - [`Error::GroupMaxSizeReached`], [`Error::UnreleasedInstanceId`], [`Error::InconsistentGroupProtocol`]: the group
    ///   does not take the consumer in. The next poll tries again.
    /// - [`Error::Assignor`]: an assignor of yours failed. The next poll asks it again.
    /// - [`Error::RebalanceListener`]: the listener failed. The partitions have changed hands, and the next poll reads on.
    /// - [`Error::UnknownTopicId`]: a topic was deleted, and perhaps created anew, whose partitions were assigned. Assign
    ///   again.
    /// - [`Error::NoOffsetForPartition`], [`Error::OffsetOutOfRange`]: there is no position, or it is outside the log,
    ///   and `auto.offset.reset` is `none`. Seek.
    /// - [`Error::LogTruncated`]: the position was cut back; given once, the next poll reads from there.
    /// - [`Error::RecordDeserialization`]: seek past the offset. [`Error::CorruptBatch`]: seek past `last`.
    /// - [`Error::CodecNotCompiled`]: this build cannot unpack a batch. Seek past `last`, or build with the codec.
    /// - [`Error::Wakeup`]: another thread called [`wakeup`](WakeupHandle::wakeup). Poll on, or close.
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
        self.poll_unless(timeout, &|| false)
    }

    /// The same; and returns without records when `is_stopped`, which is asked whenever the fetcher's signal moves.
    fn poll_unless(&mut self, timeout: Duration, is_stopped: &dyn Fn() -> bool) -> Result<ConsumerRecords<K, V>> {
        self.ensure_open()?;
        self.ensure_outside_listener()?;
        if self.subscription.is_none() {
            return Err(Error::illegal_state("nothing to poll: subscribe to topics, or assign partitions"));
        }
        self.engine.ensure_open()?;
        let now = self.engine.scheduler().now();
        self.polls.note_begin(now);
        let outcome = self.poll_until(now + timeout, is_stopped);
        self.polls.note_end(self.engine.scheduler().now());
        outcome.map(|chunks| self.hand_out(chunks))
    }

    fn poll_until(&mut self, deadline: Moment, is_stopped: &dyn Fn() -> bool) -> Result<Vec<Chunk>> {
        if self.wake.take() {
            return Err(Error::Wakeup);
        }
        self.run_commit_callbacks();
        loop {
            self.keep_up()?;
            self.commit_if_due();
            // Also while a poll waits, commits become due, and what was held back for more is held back no longer.
            let now = self.engine.scheduler().now();
            let dues = [self.commits.due(now), self.fetcher.gathers_until(now)];
            let until = dues.into_iter().flatten().fold(deadline, Moment::min);
            let chunks = self.wait_as_member(until, is_stopped)?;
            if chunks.is_empty() {
                self.run_commit_callbacks(); // else the next poll does: one that panics would take the records along
            }
            if !chunks.is_empty() || self.engine.scheduler().now() >= deadline || is_stopped() {
                return Ok(chunks);
            }
        }
    }

    /// The same as [`wait_until`](Self::wait_until); meanwhile no member is late.
    fn wait_as_member(&mut self, until: Moment, is_stopped: &dyn Fn() -> bool) -> Result<Vec<Chunk>> {
        if self.commits.membership().is_some_and(|membership| !membership.begin_wait()) {
            return Ok(Vec::new()); // expelled just now, and its partitions may be somebody else's
        }
        let chunks = catch_unwind(AssertUnwindSafe(|| self.wait_until(until, is_stopped)));
        if let Some(membership) = self.commits.membership() {
            membership.end_wait(self.engine.scheduler().now());
        }
        chunks.unwrap_or_else(|panic| resume_unwind(panic)) // a deserializer's, say; the clock goes on all the same
    }

    /// What is there, or comes before `until`. Also ends, with nothing, when there is something else to be done.
    fn wait_until(&mut self, until: Moment, is_stopped: &dyn Fn() -> bool) -> Result<Vec<Chunk>> {
        let scheduler = Arc::clone(self.engine.scheduler());
        let signal = Arc::clone(self.fetcher.signal());
        let (engine, fetcher, commits, wake) = (&self.engine, &mut self.fetcher, &self.commits, &self.wake);
        let (inspect, reset) = (&self.deserializers, self.reset);
        let mut round = || {
            engine.ensure_open()?;
            loop {
                let now = scheduler.now();
                let collected = fetcher.collect(begin(commits.group(), reset, engine), now, inspect)?;
                if collected.read_bytes > 0 {
                    fetcher.note_fetch(&collected, now, scheduler.now());
                }
                // A round that only passed by what is not returned is no reason to wait.
                if collected.count > 0 || !collected.has_moved || now >= until {
                    return Ok(collected.chunks);
                }
            }
        };
        let ready = || {
            if wake.take() {
                return Some(Err(Error::Wakeup));
            }
            // What is there comes first: a poll that does not wait is to return it.
            let outcome = round();
            let is_over = is_stopped() || commits.has_answered() || commits.has_news();
            (is_over || !matches!(&outcome, Ok(chunks) if chunks.is_empty())).then_some(outcome)
        };
        wait_for(scheduler.as_ref(), &signal, Some(until), ready).unwrap_or_else(|| Ok(Vec::new()))
    }

    /// What poll returns: behind the interceptors, if there is anything.
    fn hand_out(&mut self, chunks: Vec<Chunk>) -> ConsumerRecords<K, V> {
        let mut records = ConsumerRecords::new(chunks, self.deserializers.clone());
        if !records.is_empty() {
            self.interceptors.on_consume(&mut records);
        }
        records
    }

    /// What wakes this consumer from another thread. Kafka: `KafkaConsumer.wakeup`.
    #[must_use]
    pub fn wakeup_handle(&self) -> WakeupHandle {
        self.wake.handle()
    }

    /// Commits what was returned, if `enable.auto.commit` says so, runs the callbacks of commits that were not waited for,
    /// and leaves the group. Blocks until all that is on the disk. A second call does nothing.
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
        self.ensure_outside_listener()?;
        let committed = self.commit_at_end();
        let left = self.let_go();
        self.run_commit_callbacks(); // of what the listener has begun to commit
        self.is_closed = true;
        if let (Err(_), Err(error)) = (&committed, &left) {
            log::warn!("{error}");
        }
        committed.and(left)
    }

    fn let_go(&mut self) -> Result<()> {
        let left = self.leave_group();
        self.subscription = Subscription::None;
        self.listener = None;
        self.fetcher.assign(Vec::new());
        left
    }

    fn ensure_open(&self) -> Result<()> {
        if self.is_closed { Err(Error::Closed { what: "consumer" }) } else { Ok(()) }
    }
}

/// What a partition without a position goes by.
fn begin<'a>(group: Option<&'a Group>, reset: AutoOffsetReset, engine: &Engine) -> Begin<'a> {
    Begin { group, reset, now: engine.now() }
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
