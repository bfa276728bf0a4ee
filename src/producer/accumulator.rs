//! Gathers records into batches until the writer takes them.
//!
//! Each partition has a queue: one open batch, which records are encoded into, and sealed ones before it, which wait
//! for the writer. A queue's lock fixes the order of its records, and is all that two senders to one partition share.
//!
//! ```text
//!   send -> [ open batch ] --full, due, wanted, flush, close--> [ sealed ][ sealed ] --take--> writer
//! ```
//!
//! The writer is woken when it has to learn something: that there is a batch at all, and so a linger that ends; that
//! somebody waits; that a lot is queued. Not for each batch that is full: waking a thread costs more than writing one.
//!
//! Locks are taken in this order, and none is held while user code runs: a queue's state, `ready`, `unresolved`.
//!
//! Kafka: `RecordAccumulator`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::engine::{BatchSource, Callbacks, ReadyBatch, WriterWaker};
use crate::error::{Error, Result};
use crate::producer::config::ProducerConfig;
use crate::producer::delivery::{BatchOutcome, Delivery, DeliveryCallback, RecordPlace};
use crate::producer::memory::Memory;
use crate::record::{BatchBuilder, BatchHeader, ProducerStamp};
use crate::replication::Partition;
use crate::sync::{Moment, Scheduler, lock};
use crate::types::{Acks, Timestamp};

/// How many sealed bytes may be queued before the writer is woken for their number alone.
const QUEUED_BYTES: usize = 256 * 1024;

/// The batches of one producer.
pub(super) struct Accumulator {
    config: ProducerConfig,
    scheduler: Arc<dyn Scheduler>,
    waker: WriterWaker,
    callbacks: Arc<Callbacks>,
    memory: Memory,
    ready: Mutex<Ready>,
    /// Batches that have not resolved, by number.
    unresolved: Mutex<BTreeMap<u64, Arc<BatchOutcome>>>,
    next_number: AtomicU64,
    queued_bytes: AtomicUsize,
    is_closed: AtomicBool,
}

/// What the writer has to look at.
#[derive(Debug, Default)]
struct Ready {
    /// Queues with a sealed batch, or with an open one that is wanted.
    queues: VecDeque<Arc<PartitionQueue>>,
    /// Open batches in the order in which their lingers end; sealed ones are passed over.
    lingering: VecDeque<Arc<BatchOutcome>>,
    /// No batch is begun any more. Set under the same lock that a new batch is listed under: so whoever closes the
    /// producer has seen every batch there is, and none comes after.
    is_closed: bool,
}

/// The batches of one partition.
pub(super) struct PartitionQueue {
    partition: Arc<Partition>,
    /// How large a batch gets here: no larger than the topic takes.
    batch_size: usize,
    state: Mutex<QueueState>,
    /// Batches with callbacks, in order, until they have run.
    called_back: Mutex<VecDeque<Arc<BatchOutcome>>>,
}

#[derive(Default)]
struct QueueState {
    open: Option<OpenBatch>,
    sealed: VecDeque<ReadyBatch>,
    /// How many bytes of batches were completed since records without a key last moved on from here.
    completed_bytes: usize,
    /// Whether `Ready::queues` has it.
    is_listed: bool,
}

struct OpenBatch {
    builder: BatchBuilder,
    outcome: Arc<BatchOutcome>,
}

/// A record in bytes.
#[derive(Clone, Copy)]
pub(super) struct EncodedRecord<'a> {
    pub(super) timestamp: Timestamp,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// What it takes in a batch at most, in bytes.
    pub(super) size: usize,
}

impl PartitionQueue {
    pub(super) fn new(partition: Arc<Partition>, batch_size: usize) -> Self {
        let config = partition.log().config();
        let most = config.max_message_bytes().min(config.segment_bytes());
        let batch_size = batch_size.min(usize::try_from(most).unwrap_or(usize::MAX));
        Self { partition, batch_size, state: Mutex::default(), called_back: Mutex::default() }
    }

    pub(super) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Hands over the callbacks of all batches that have resolved, up to the first that has not: batches may resolve
    /// out of order, one that is refused before one that is being synced.
    pub(super) fn run_callbacks_in_order(&self) {
        let mut called_back = lock(&self.called_back);
        while called_back.front().is_some_and(|first| first.is_resolved()) {
            if let Some(first) = called_back.pop_front() {
                first.run_callbacks();
            }
        }
    }
}

impl fmt::Debug for PartitionQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionQueue({})", self.partition.name())
    }
}

impl Accumulator {
    pub(super) fn new(
        config: ProducerConfig,
        scheduler: Arc<dyn Scheduler>,
        waker: WriterWaker,
        callbacks: Arc<Callbacks>,
    ) -> Self {
        Self {
            memory: Memory::new(config.buffer_memory, config.batch_size),
            config,
            scheduler,
            waker,
            callbacks,
            ready: Mutex::default(),
            unresolved: Mutex::default(),
            next_number: AtomicU64::new(0),
            queued_bytes: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        }
    }

    pub(super) fn scheduler(&self) -> &Arc<dyn Scheduler> {
        &self.scheduler
    }

    pub(super) fn callbacks(&self) -> &Arc<Callbacks> {
        &self.callbacks
    }

    pub(super) fn acks(&self) -> Acks {
        self.config.acks
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(super) fn wake_writer(&self) {
        self.waker.wake();
    }

    /// Adds `record` to the open batch of `queue`, or to a new one. Blocks while the buffer is full.
    ///
    /// With `may_move`, for a record that belongs to no partition in particular, answers `None` in place of beginning a
    /// batch once enough went to this partition.
    pub(super) fn append(
        self: &Arc<Self>,
        queue: &Arc<PartitionQueue>,
        record: &EncodedRecord<'_>,
        callback: &mut Option<DeliveryCallback>,
        may_move: bool,
    ) -> Result<Option<Delivery>> {
        let mut spare: Option<(Vec<u8>, usize)> = None;
        loop {
            let mut state = lock(&queue.state);
            if self.is_closed() {
                drop(state);
                self.return_spare(spare);
                return Err(Error::Closed { what: "producer" });
            }
            let fits = |open: &OpenBatch| open.builder.len_bytes() + record.size <= queue.batch_size;
            if state.open.as_ref().is_some_and(fits) {
                let delivery = self.add(queue, &mut state, record, callback.take());
                drop(state);
                self.return_spare(spare);
                return Ok(Some(delivery));
            }
            if state.open.is_some() {
                self.seal(queue, &mut state);
            }
            if may_move && state.completed_bytes + record.size >= self.config.batch_size {
                state.completed_bytes = 0;
                drop(state);
                self.return_spare(spare);
                return Ok(None);
            }
            if let Some((buffer, charged)) = spare.take() {
                if let Err(buffer) = self.open(queue, &mut state, buffer, charged) {
                    spare = Some((buffer, charged));
                    continue; // and find it closed
                }
                return Ok(Some(self.add(queue, &mut state, record, callback.take())));
            }
            drop(state); // what is needed may have to be waited for
            let needed = self.config.batch_size.max(BatchHeader::LEN_BYTES + record.size);
            let buffer =
                self.memory.take(needed, self.config.max_block, self.scheduler.as_ref(), || self.wake_writer())?;
            spare = Some((buffer, needed));
        }
    }

    fn return_spare(&self, spare: Option<(Vec<u8>, usize)>) {
        if let Some((buffer, charged)) = spare {
            self.memory.give_back(buffer, charged);
        }
    }

    /// Encodes `record` into the open batch; seals that if it is full then.
    fn add(
        &self,
        queue: &Arc<PartitionQueue>,
        state: &mut QueueState,
        record: &EncodedRecord<'_>,
        callback: Option<DeliveryCallback>,
    ) -> Delivery {
        let open = state.open.as_mut().expect("the caller has looked");
        let index = open.builder.append(record.timestamp, record.key, record.value, record.headers);
        let size = |part: Option<&[u8]>| part.map(|bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let (key_size, value_size) = (size(record.key), size(record.value));
        let place = RecordPlace { index, timestamp: record.timestamp, key_size, value_size };
        let outcome = Arc::clone(&open.outcome);
        if let Some(callback) = callback {
            outcome.call_back(place, callback);
        }
        if open.builder.len_bytes() >= queue.batch_size {
            self.seal(queue, state);
        }
        Delivery::new(outcome, place)
    }

    /// Begins a batch, or gives the buffer back if the producer is closed.
    fn open(
        self: &Arc<Self>,
        queue: &Arc<PartitionQueue>,
        state: &mut QueueState,
        buffer: Vec<u8>,
        charged: usize,
    ) -> Result<(), Vec<u8>> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let due_at = self.scheduler.now() + self.config.linger;
        let outcome = Arc::new(BatchOutcome::new(number, Arc::clone(queue), Arc::clone(self), charged, due_at));
        let mut ready = lock(&self.ready);
        if ready.is_closed {
            return Err(buffer);
        }
        let is_news = ready.lingering.is_empty() && ready.queues.is_empty();
        ready.lingering.push_back(Arc::clone(&outcome));
        lock(&self.unresolved).insert(number, Arc::clone(&outcome));
        drop(ready);
        state.open = Some(OpenBatch { builder: BatchBuilder::new(buffer), outcome });
        if is_news {
            self.wake_writer(); // it has to learn when the linger ends
        }
        Ok(())
    }

    /// Completes the open batch, and has the writer look at it when there is reason to.
    fn seal(&self, queue: &Arc<PartitionQueue>, state: &mut QueueState) {
        let queued = self.complete(queue, state);
        self.list_locked(queue, state);
        if queued >= QUEUED_BYTES || self.config.linger.is_zero() {
            self.wake_writer();
        }
    }

    /// Completes the open batch and queues it behind the others. Answers how many bytes are queued now.
    fn complete(&self, queue: &PartitionQueue, state: &mut QueueState) -> usize {
        let Some(OpenBatch { builder, outcome }) = state.open.take() else { return 0 };
        let batch = builder.seal(ProducerStamp::NONE);
        outcome.mark_sealed();
        if outcome.has_callbacks() {
            lock(&queue.called_back).push_back(Arc::clone(&outcome));
        }
        let queued = self.queued_bytes.fetch_add(batch.len_bytes(), Ordering::Relaxed) + batch.len_bytes();
        state.completed_bytes += batch.len_bytes();
        let partition = Arc::clone(&queue.partition);
        state.sealed.push_back(ReadyBatch { partition, acks: self.config.acks, batch, completion: outcome });
        queued
    }

    /// Has the writer look at `queue` in its next round.
    pub(super) fn list(&self, queue: &Arc<PartitionQueue>) {
        self.list_locked(queue, &mut lock(&queue.state));
    }

    fn list_locked(&self, queue: &Arc<PartitionQueue>, state: &mut QueueState) {
        if !std::mem::replace(&mut state.is_listed, true) {
            lock(&self.ready).queues.push_back(Arc::clone(queue));
        }
    }

    /// Lists every queue that has an open batch.
    fn list_all(&self) {
        let lingering: Vec<_> = lock(&self.ready).lingering.iter().cloned().collect();
        for outcome in lingering {
            self.list(&outcome.queue);
        }
    }

    /// A batch has resolved.
    pub(super) fn forget(&self, number: u64) {
        lock(&self.unresolved).remove(&number);
    }

    pub(super) fn give_back(&self, buffer: Vec<u8>, charged: usize) {
        self.memory.give_back(buffer, charged);
    }

    /// Waits until every batch that was begun before has resolved, well or not.
    pub(super) fn flush(&self) {
        let unresolved: Vec<_> = lock(&self.unresolved).values().cloned().collect();
        for outcome in &unresolved {
            outcome.want(); // all of them first, so that they share a round
        }
        for outcome in unresolved {
            outcome.wait(None);
        }
    }

    /// Refuses records from now on; what is there goes to the writer.
    pub(super) fn refuse(&self) {
        lock(&self.ready).is_closed = true;
        self.is_closed.store(true, Ordering::Release);
        self.memory.close();
        self.list_all();
        self.wake_writer();
    }

    /// Whether the open batch has to be sealed though it is not full.
    fn is_due(&self, open: &OpenBatch, now: Moment, is_starved: bool) -> bool {
        is_starved || open.outcome.due_at <= now || open.outcome.is_wanted() || self.is_closed()
    }
}

impl BatchSource for Accumulator {
    fn take(&self, now: Moment, limit: usize, into: &mut Vec<ReadyBatch>) -> Option<Moment> {
        // Somebody waits for memory that open batches hold.
        let is_starved = self.memory.is_wanted();
        if is_starved {
            self.list_all();
        }
        let (overdue, next) = lock(&self.ready).take_overdue(now);
        for outcome in overdue {
            self.list(&outcome.queue);
        }
        let listed = std::mem::take(&mut lock(&self.ready).queues);
        let mut taken = 0;
        for queue in listed {
            let mut state = lock(&queue.state);
            if state.open.as_ref().is_some_and(|open| self.is_due(open, now, is_starved)) {
                self.complete(&queue, &mut state);
            }
            while taken < limit
                && let Some(batch) = state.sealed.pop_front()
            {
                taken += batch.batch.len_bytes();
                into.push(batch);
            }
            state.is_listed = false;
            if !state.sealed.is_empty() {
                self.list_locked(&queue, &mut state);
            }
        }
        self.queued_bytes.fetch_sub(taken, Ordering::Relaxed);
        if self.is_closed() {
            lock(&self.ready).lingering.clear(); // all are sealed
        }
        next
    }

    fn close(&self) {
        self.refuse();
    }

    fn is_finished(&self) -> bool {
        self.is_closed() && lock(&self.unresolved).is_empty()
    }
}

impl Ready {
    /// The batches whose linger has ended, and when the next one's ends.
    fn take_overdue(&mut self, now: Moment) -> (Vec<Arc<BatchOutcome>>, Option<Moment>) {
        let mut overdue = Vec::new();
        while let Some(first) = self.lingering.front().filter(|first| first.is_sealed() || first.due_at <= now) {
            if !first.is_sealed() {
                overdue.push(Arc::clone(first));
            }
            self.lingering.pop_front();
        }
        (overdue, self.lingering.front().map(|first| first.due_at))
    }
}

impl fmt::Debug for Accumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accumulator").field("config", &self.config).finish_non_exhaustive()
    }
}
