//! What became of a record: shared by all records of a batch, since they share their fate.
//!
//! ```text
//!   begun --> sealed --> taken --> decided --> callbacks run --> published
//!                 ^--------'                  (if it has any)    (waiters wake)
//!                 could not be written for the moment
//! ```
//!
//! A batch is decided by the engine, or by nobody: then by the drop of its [`Ticket`], so that no one waits for ever.
//! It is published once its callbacks have run: who wakes from `wait` or `flush` sees what they have done.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::engine::{Appended, Completion};
use crate::error::{Error, Result};
use crate::producer::accumulator::{Accumulator, PartitionQueue};
use crate::producer::metrics::BatchFacts;
use crate::producer::record::RecordMetadata;
use crate::record::SealedBatch;
use crate::sync::{Moment, Signal, lock, wait_for};
use crate::types::{Acks, Timestamp, TopicPartition};

/// What is called when a record's delivery has resolved, with where it went or was to go.
pub(super) type DeliveryCallback = Box<dyn FnOnce(&TopicPartition, Result<RecordMetadata>) + Send>;

/// The outcome of one batch, and who waits for it.
pub(super) struct BatchOutcome {
    /// The batches of a producer, numbered as they were begun.
    number: u64,
    queue: Arc<PartitionQueue>,
    accumulator: Arc<Accumulator>,
    /// How many bytes of the producer's buffer the batch takes.
    charged: usize,
    begun_at: Moment,
    /// When it is written without waiting for more records.
    due_at: Moment,
    /// Known when it is complete.
    facts: OnceLock<BatchFacts>,
    /// Somebody waits, so it is sealed with the next round.
    is_wanted: AtomicBool,
    /// The writer has it.
    is_taken: AtomicBool,
    /// When the writer took it, in nanoseconds of the scheduler's time.
    taken_at: AtomicU64,
    /// Attempts to write it that failed, and why the last one did.
    failed_attempts: Mutex<(u32, Option<Error>)>,
    result: OnceLock<Result<Appended>>,
    is_published: AtomicBool,
    published: Signal,
    /// Who polls, by the index of the record: one that is polled again takes the place of its last poll.
    wakers: Mutex<BTreeMap<u32, Waker>>,
    callbacks: Mutex<Vec<(RecordPlace, DeliveryCallback)>>,
}

/// Where a record is in its batch, and what only the record itself knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordPlace {
    pub(super) index: u32,
    pub(super) timestamp: Timestamp,
    pub(super) key_size: Option<u32>,
    pub(super) value_size: Option<u32>,
}

impl BatchOutcome {
    pub(super) fn new(
        number: u64,
        queue: Arc<PartitionQueue>,
        accumulator: Arc<Accumulator>,
        charged: usize,
        begun_at: Moment,
        linger: Duration,
    ) -> Self {
        Self {
            number,
            queue,
            accumulator,
            charged,
            begun_at,
            due_at: begun_at + linger,
            facts: OnceLock::new(),
            is_wanted: AtomicBool::new(false),
            is_taken: AtomicBool::new(false),
            taken_at: AtomicU64::new(0),
            failed_attempts: Mutex::default(),
            result: OnceLock::new(),
            is_published: AtomicBool::new(false),
            published: Signal::default(),
            wakers: Mutex::default(),
            callbacks: Mutex::default(),
        }
    }

    pub(super) fn queue(&self) -> &Arc<PartitionQueue> {
        &self.queue
    }

    /// The end of its linger, and its number: unlike those of any other batch.
    pub(super) fn due(&self) -> (Moment, u64) {
        (self.due_at, self.number)
    }

    /// When nobody tries to write it any more.
    pub(super) fn expires_at(&self) -> Moment {
        self.begun_at + self.accumulator.patience()
    }

    /// An attempt to write it has failed. Answers how many have.
    pub(super) fn note_failed_attempt(&self, error: &Error) -> u32 {
        let mut failed = lock(&self.failed_attempts);
        *failed = (failed.0 + 1, Some(error.clone()));
        failed.0
    }

    /// Why it has expired: what stood in the way, or that the writer did not come.
    pub(super) fn expiry(&self) -> Error {
        let waited = self.accumulator.patience();
        let cause = lock(&self.failed_attempts).1.clone();
        cause.unwrap_or(Error::Timeout { what: "writing the batch", waited })
    }

    /// It is complete.
    pub(super) fn set_facts(&self, facts: BatchFacts) {
        let is_first = self.facts.set(facts).is_ok();
        debug_assert!(is_first, "a batch is completed once");
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Acquire)
    }

    fn is_published(&self) -> bool {
        self.is_published.load(Ordering::Acquire)
    }

    /// Has the batch sealed with the next round, however much of its linger is left. Answers whether the writer has to
    /// be woken for that: by the first who wants it, unless the writer has it already.
    pub(super) fn mark_wanted(&self) -> bool {
        if self.is_wanted.swap(true, Ordering::AcqRel) || self.is_taken.load(Ordering::Acquire) {
            return false;
        }
        self.accumulator.list(&self.queue);
        true
    }

    fn want(&self) {
        if self.mark_wanted() {
            self.accumulator.wake_writer();
        }
    }

    /// Waits until it is published; `false` if `deadline` comes first.
    pub(super) fn wait(&self, deadline: Option<Moment>) -> bool {
        if self.is_published() {
            return true;
        }
        self.want();
        let is_published = || self.is_published().then_some(());
        wait_for(self.accumulator.scheduler().as_ref(), &self.published, deadline, is_published).is_some()
    }

    /// Calls `callback` when the batch is decided; the caller holds the lock of the queue, and the batch is open.
    pub(super) fn call_back(self: &Arc<Self>, place: RecordPlace, callback: DeliveryCallback) {
        let mut callbacks = lock(&self.callbacks);
        if callbacks.is_empty() {
            self.queue.callbacks().push(Arc::clone(self));
        }
        callbacks.push((place, callback));
    }

    fn has_callbacks(&self) -> bool {
        !lock(&self.callbacks).is_empty()
    }

    /// What the record at `place` is to be told; `None` while nobody knows.
    fn metadata(&self, place: RecordPlace) -> Option<Result<RecordMetadata>> {
        let appended = match self.result.get()? {
            _ if self.accumulator.acks() == Acks::Zero => None, // nobody is told where it is, or that it is lost
            Ok(appended) => Some(*appended),
            Err(error) => return Some(Err(error.clone())),
        };
        Some(Ok(self.metadata_of(place, appended)))
    }

    fn metadata_of(&self, place: RecordPlace, appended: Option<Appended>) -> RecordMetadata {
        let size = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
        RecordMetadata {
            partition: self.partition().clone(),
            offset: appended.map(|appended| appended.base_offset.plus(i64::from(place.index))),
            timestamp: appended.and_then(|appended| appended.append_time).unwrap_or(place.timestamp),
            key_size: place.key_size.map(size),
            value_size: place.value_size.map(size),
        }
    }

    fn partition(&self) -> &TopicPartition {
        self.queue.partition().name()
    }

    fn decide(&self, outcome: Result<Appended>) {
        if let Err(error) = &outcome
            && self.accumulator.acks() == Acks::Zero
        {
            log::warn!("{}: a batch of acks = 0 is lost: {error}", self.partition());
        }
        let has_failed = outcome.is_err();
        if self.result.set(outcome).is_err() {
            debug_assert!(false, "a batch is decided once");
            return;
        }
        self.note_decided(has_failed);
        if self.has_callbacks() {
            self.queue.callbacks().run_decided();
        } else {
            self.publish();
        }
    }

    fn note_decided(&self, has_failed: bool) {
        let (metrics, now) = (self.accumulator.metrics(), self.accumulator.scheduler().now());
        if self.is_taken.load(Ordering::Acquire) {
            let taken_at = Moment(Duration::from_nanos(self.taken_at.load(Ordering::Relaxed)));
            metrics.note_answered(now, now.since(taken_at));
        }
        if let Some(facts) = self.facts.get().filter(|_| has_failed) {
            metrics.note_failed(&self.partition().shared_topic(), now, facts.records);
        }
    }

    /// The writer could not write it, and gave it back to be tried again.
    pub(super) fn mark_returned(&self, now: Moment) {
        self.is_taken.store(false, Ordering::Release);
        if let Some(facts) = self.facts.get() {
            self.accumulator.metrics().note_retried(&self.partition().shared_topic(), now, facts.records);
        }
    }

    /// Hands the callbacks over, in the order of the records, and behind them the publication.
    fn run_callbacks(self: Arc<Self>) {
        let runner = Arc::clone(self.accumulator.callbacks());
        for (place, callback) in std::mem::take(&mut *lock(&self.callbacks)) {
            if let Some(outcome) = self.metadata(place) {
                let batch = Arc::clone(&self);
                runner.run(Box::new(move || callback(batch.partition(), outcome)));
            }
        }
        let publication = Publication(self);
        runner.run(Box::new(move || drop(publication)));
    }

    /// Tells everybody who waits.
    fn publish(&self) {
        self.is_published.store(true, Ordering::Release);
        self.accumulator.forget(self.number);
        self.published.notify();
        let wakers = std::mem::take(&mut *lock(&self.wakers));
        for waker in wakers.into_values() {
            // An executor's code, on the thread that writes or syncs: it must not take that down.
            if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
                log::error!("{}: a waker panicked; the others are called", self.partition());
            }
        }
    }
}

impl fmt::Debug for BatchOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch {} of {}: {:?}", self.number, self.partition(), self.result.get())
    }
}

/// Publishes a batch when it is run, or dropped by an engine that runs callbacks no more.
struct Publication(Arc<BatchOutcome>);

impl Drop for Publication {
    fn drop(&mut self) {
        self.0.publish();
    }
}

/// The right to decide a batch; it goes with the batch to the writer, and on to the syncer.
///
/// When it is dropped undecided, whoever had it panicked: nothing of the batch is written if the writer had not taken
/// it, and else only the log knows.
#[derive(Debug)]
pub(super) struct Ticket(Arc<BatchOutcome>);

impl Ticket {
    pub(super) fn new(outcome: Arc<BatchOutcome>) -> Self {
        Self(outcome)
    }

    pub(super) fn outcome(&self) -> &Arc<BatchOutcome> {
        &self.0
    }

    /// The writer takes the batch.
    pub(super) fn mark_taken(&self, now: Moment) {
        let outcome = &self.0;
        outcome.taken_at.store(u64::try_from(now.0.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        outcome.is_taken.store(true, Ordering::Release);
        if let Some(facts) = outcome.facts.get() {
            let (metrics, topic) = (outcome.accumulator.metrics(), outcome.partition().shared_topic());
            metrics.note_taken(&topic, now, facts, now.since(outcome.begun_at));
        }
    }
}

impl Completion for Ticket {
    fn resolve(&self, outcome: Result<Appended>) {
        self.0.decide(outcome);
    }

    fn refuse(self: Arc<Self>, batch: SealedBatch, error: Error) {
        let accumulator = Arc::clone(&self.0.accumulator);
        if let Err((batch, error)) = accumulator.take_back(&self, batch, error) {
            self.recycle(batch.into_buffer());
            self.resolve(Err(error));
        }
    }

    fn recycle(&self, buffer: Vec<u8>) {
        self.0.accumulator.give_back(buffer, self.0.charged);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.result.get().is_some() {
            return;
        }
        let closed = Error::Closed { what: "engine" };
        self.0.decide(Err(if self.0.is_taken.load(Ordering::Acquire) {
            Error::OutcomeUnknown { partition: self.0.partition().clone(), cause: Arc::new(closed) }
        } else {
            closed
        }));
    }
}

/// The batches of a partition that have callbacks, in order, until those have run.
///
/// Batches may be decided out of order: one that is refused before one that is being synced. Callbacks run in order
/// all the same. They are handed over without a lock held, since a callback may send; so that two threads that decide
/// batches at once do not mix up their order, one of them hands over what is decided meanwhile as well.
#[derive(Debug, Default)]
pub(super) struct CallbackQueue {
    state: Mutex<CallbackQueueState>,
}

#[derive(Debug, Default)]
struct CallbackQueueState {
    batches: VecDeque<Arc<BatchOutcome>>,
    is_handing_over: bool,
}

impl CallbackQueue {
    /// A batch has its first callback; one that was begun before has had its last.
    fn push(&self, outcome: Arc<BatchOutcome>) {
        lock(&self.state).batches.push_back(outcome);
    }

    /// Hands over the callbacks of all batches that are decided, up to the first that is not.
    fn run_decided(&self) {
        if std::mem::replace(&mut lock(&self.state).is_handing_over, true) {
            return; // who is at it looks again before it ends, under the lock
        }
        while let Some(outcome) = self.next_decided() {
            outcome.run_callbacks();
        }
    }

    /// The first batch if it is decided; else this thread is through.
    fn next_decided(&self) -> Option<Arc<BatchOutcome>> {
        let mut state = lock(&self.state);
        let is_decided = state.batches.front().is_some_and(|first| first.result.get().is_some());
        state.is_handing_over = is_decided;
        if is_decided { state.batches.pop_front() } else { None }
    }
}

/// What becomes of a record that was sent: wait for it, ask, or `await` it, or drop it if nobody needs to know.
///
/// Waiting has the record's batch written at once, however much of `linger.ms` is left. Records of one batch share
/// their outcome. With `acks = 0` a delivery is resolved from the start, without an offset and without errors.
///
/// ```
/// # use ottla::{Engine, Offset, Producer, ProducerRecord};
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// let first = producer.send(ProducerRecord::to("orders").value("a"))?;
/// let second = producer.send(ProducerRecord::to("orders").value("b"))?;
/// assert_eq!(second.wait()?.offset(), Some(Offset(1)));
/// assert_eq!(first.wait()?.offset(), Some(Offset(0)));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Debug)]
pub struct Delivery {
    outcome: Arc<BatchOutcome>,
    place: RecordPlace,
}

impl Delivery {
    pub(super) const fn new(outcome: Arc<BatchOutcome>, place: RecordPlace) -> Self {
        Self { outcome, place }
    }

    pub(super) fn outcome(&self) -> &Arc<BatchOutcome> {
        &self.outcome
    }

    /// Whether both records are in one batch.
    pub(super) fn shares_batch_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.outcome, &other.outcome)
    }

    /// Makes it the delivery of a later record of the same batch.
    pub(super) const fn move_to(&mut self, place: RecordPlace) {
        self.place = place;
    }

    /// Blocks until the record is where `acks` wants it.
    ///
    /// # Errors
    /// Why it is not: [`Error::DiskFull`] and others of class `Retry` if nothing of it is or will be in the log, for
    /// which the producer has tried as often as `retries`, and as long as `delivery.timeout.ms`, let it;
    /// [`Error::OutcomeUnknown`] if only reading the log tells, [`Error::Storage`] if the directory is offline,
    /// [`Error::Closed`] if the engine closed first. [`Error::IllegalState`] inside a callback, which would wait for
    /// itself.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// let delivery = producer.send(ProducerRecord::to("orders").value("paid"))?;
    /// let metadata = delivery.wait()?;
    /// assert_eq!(metadata.topic_partition(), delivery.partition());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn wait(&self) -> Result<RecordMetadata> {
        Ok(self.wait_until(None)?.expect("there is no deadline"))
    }

    /// Blocks until the record is where `acks` wants it, at most for `timeout`; `None` if it takes longer.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// let delivery = producer.send(ProducerRecord::to("orders").value("paid"))?;
    /// let Some(metadata) = delivery.wait_timeout(Duration::from_secs(30))? else {
    ///     panic!("the disk is slow; the record is still on its way");
    /// };
    /// assert!(metadata.offset().is_some());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<RecordMetadata>> {
        self.wait_until(Some(self.outcome.accumulator.scheduler().now() + timeout))
    }

    fn wait_until(&self, deadline: Option<Moment>) -> Result<Option<RecordMetadata>> {
        if let Some(known) = self.try_get() {
            return known.map(Some);
        }
        self.outcome.accumulator.callbacks().refuse_inside("waiting for a delivery")?;
        if !self.outcome.wait(deadline) {
            return Ok(None);
        }
        self.try_get().transpose()
    }

    /// What became of the record, if that is known already. Never blocks.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// let delivery = producer.send(ProducerRecord::to("orders").value("paid"))?;
    /// match delivery.try_get() {
    ///     None => {} // it is not known yet
    ///     Some(outcome) => assert!(outcome.is_ok()),
    /// }
    /// producer.flush()?;
    /// assert!(delivery.try_get().is_some());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn try_get(&self) -> Option<Result<RecordMetadata>> {
        if self.outcome.accumulator.acks() == Acks::Zero {
            return Some(Ok(self.outcome.metadata_of(self.place, None)));
        }
        if self.outcome.is_published() { self.outcome.metadata(self.place) } else { None }
    }

    /// The partition that the record went to.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        self.outcome.partition()
    }
}

/// Polling wants the batch written at once, as waiting does. No runtime is needed, and none is used.
///
/// ```
/// # use ottla::{Engine, Offset, Producer, ProducerRecord};
/// async fn pay(producer: &Producer<str, str>, order: &str) -> ottla::Result<Option<Offset>> {
///     let delivery = producer.send(ProducerRecord::to("orders").key(order).value("paid"))?;
///     Ok(delivery.await?.offset())
/// }
/// # // An executor: it parks the thread until it is woken.
/// # struct Unpark(std::thread::Thread);
/// # impl std::task::Wake for Unpark {
/// #     fn wake(self: std::sync::Arc<Self>) {
/// #         self.0.unpark();
/// #     }
/// # }
/// # fn block_on<T>(future: impl Future<Output = T>) -> T {
/// #     let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
/// #     let mut future = std::pin::pin!(future);
/// #     loop {
/// #         match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
/// #             std::task::Poll::Ready(done) => return done,
/// #             std::task::Poll::Pending => std::thread::park(),
/// #         }
/// #     }
/// # }
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// assert_eq!(block_on(pay(&producer, "o-17"))?, Some(Offset(0))); // with whatever runs your futures
/// # Ok::<(), ottla::Error>(())
/// ```
impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(known) = self.try_get() {
            return Poll::Ready(known);
        }
        let waker = context.waker().clone();
        let former = lock(&self.outcome.wakers).insert(self.place.index, waker);
        drop(former); // what an executor does in there is its own affair, and needs no lock of ours
        self.outcome.want();
        // It may have been published before the waker was there.
        self.try_get().map_or(Poll::Pending, Poll::Ready)
    }
}
