//! What became of a record: shared by all records of a batch, since they share their fate.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::engine::{Appended, Completion};
use crate::error::{Error, Result};
use crate::producer::accumulator::{Accumulator, PartitionQueue};
use crate::producer::record::RecordMetadata;
use crate::sync::{Moment, Signal, lock, wait_for};
use crate::types::{Acks, Timestamp};

/// What is called when a record's delivery has resolved.
pub(super) type DeliveryCallback = Box<dyn FnOnce(Result<RecordMetadata>) + Send>;

/// The outcome of one batch, and who waits for it.
pub(super) struct BatchOutcome {
    /// The batches of a producer, numbered as they were begun.
    pub(super) number: u64,
    pub(super) queue: Arc<PartitionQueue>,
    pub(super) accumulator: Arc<Accumulator>,
    /// How many bytes of the producer's buffer the batch takes.
    pub(super) charged: usize,
    /// When it is written without waiting for more records.
    pub(super) due_at: Moment,
    result: OnceLock<Result<Appended>>,
    resolved: Signal,
    /// Somebody waits, so it is sealed with the next round.
    is_wanted: AtomicBool,
    is_sealed: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
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
        due_at: Moment,
    ) -> Self {
        Self {
            number,
            queue,
            accumulator,
            charged,
            due_at,
            result: OnceLock::new(),
            resolved: Signal::default(),
            is_wanted: AtomicBool::new(false),
            is_sealed: AtomicBool::new(false),
            wakers: Mutex::default(),
            callbacks: Mutex::default(),
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Acquire)
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.is_sealed.load(Ordering::Acquire)
    }

    pub(super) fn mark_sealed(&self) {
        self.is_sealed.store(true, Ordering::Release);
    }

    pub(super) fn is_resolved(&self) -> bool {
        self.result.get().is_some()
    }

    /// Has the batch sealed with the next round, however much of its linger is left.
    pub(super) fn want(&self) {
        if !self.is_wanted.swap(true, Ordering::AcqRel) && !self.is_sealed() {
            self.accumulator.list(&self.queue);
        }
        self.accumulator.wake_writer();
    }

    /// Waits until it is resolved; `false` if `deadline` comes first.
    pub(super) fn wait(&self, deadline: Option<Moment>) -> bool {
        if self.is_resolved() {
            return true;
        }
        self.want();
        let scheduler = self.accumulator.scheduler();
        wait_for(scheduler.as_ref(), &self.resolved, deadline, || self.result.get()).is_some()
    }

    /// Calls `callback` when the batch resolves; the caller holds the lock of the queue, so it has not yet.
    pub(super) fn call_back(&self, place: RecordPlace, callback: DeliveryCallback) {
        lock(&self.callbacks).push((place, callback));
    }

    /// What the record at `place` is to be told; `None` while nobody knows.
    fn metadata(&self, place: RecordPlace) -> Option<Result<RecordMetadata>> {
        let appended = match self.result.get()? {
            Ok(appended) => Some(*appended),
            Err(_) if self.accumulator.acks() == Acks::Zero => None, // nobody is told
            Err(error) => return Some(Err(error.clone())),
        };
        Some(Ok(self.metadata_of(place, appended)))
    }

    fn metadata_of(&self, place: RecordPlace, appended: Option<Appended>) -> RecordMetadata {
        let told = appended.filter(|_| self.accumulator.acks() != Acks::Zero);
        let size = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
        RecordMetadata {
            partition: self.queue.partition().name().clone(),
            offset: told.map(|appended| appended.base_offset.plus(i64::from(place.index))),
            timestamp: told.and_then(|appended| appended.append_time).unwrap_or(place.timestamp),
            key_size: place.key_size.map(size),
            value_size: place.value_size.map(size),
        }
    }

    /// Hands the callbacks over, in the order of the records.
    pub(super) fn run_callbacks(&self) {
        for (place, callback) in std::mem::take(&mut *lock(&self.callbacks)) {
            if let Some(outcome) = self.metadata(place) {
                self.accumulator.callbacks().run(Box::new(move || callback(outcome)));
            }
        }
    }

    pub(super) fn has_callbacks(&self) -> bool {
        !lock(&self.callbacks).is_empty()
    }
}

impl Completion for BatchOutcome {
    fn resolve(&self, outcome: Result<Appended>) {
        if let Err(error) = &outcome
            && self.accumulator.acks() == Acks::Zero
        {
            log::warn!("{}: a batch of acks = 0 is lost: {error}", self.queue.partition().name());
        }
        if self.result.set(outcome).is_err() {
            debug_assert!(false, "a batch resolves once");
            return;
        }
        self.queue.run_callbacks_in_order();
        self.accumulator.forget(self.number);
        self.resolved.notify();
        for waker in std::mem::take(&mut *lock(&self.wakers)) {
            waker.wake();
        }
    }

    fn recycle(&self, buffer: Vec<u8>) {
        self.accumulator.give_back(buffer, self.charged);
    }
}

impl fmt::Debug for BatchOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch {} of {}: {:?}", self.number, self.queue.partition().name(), self.result.get())
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

    /// Blocks until the record is where `acks` wants it.
    ///
    /// # Errors
    /// Why it is not: [`Error::DiskFull`] and others of class `Retry` if nothing of it is or will be in the log,
    /// [`Error::OutcomeUnknown`] if only reading the log tells, [`Error::Storage`] if the directory is offline,
    /// [`Error::Closed`] if the engine closed first. [`Error::IllegalState`] inside a callback, which would wait for
    /// itself.
    pub fn wait(&self) -> Result<RecordMetadata> {
        self.wait_until(None)?.ok_or(Error::Timeout { what: "the delivery", waited: Duration::MAX })
    }

    /// Blocks until the record is where `acks` wants it, at most for `timeout`; `None` if it takes longer.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
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
    #[must_use]
    pub fn try_get(&self) -> Option<Result<RecordMetadata>> {
        if self.outcome.accumulator.acks() == Acks::Zero {
            return Some(Ok(self.outcome.metadata_of(self.place, None)));
        }
        self.outcome.metadata(self.place)
    }

    /// The partition that the record went to.
    #[must_use]
    pub fn partition(&self) -> &crate::types::TopicPartition {
        self.outcome.queue.partition().name()
    }
}

/// Polling wants the batch written at once, as waiting does. No runtime is needed, and none is used.
impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(known) = self.try_get() {
            return Poll::Ready(known);
        }
        let mut wakers = lock(&self.outcome.wakers);
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        drop(wakers);
        self.outcome.want();
        // It may have resolved before the waker was there.
        self.try_get().map_or(Poll::Pending, Poll::Ready)
    }
}
