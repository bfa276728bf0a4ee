//! Gathers records into batches until the writer takes them.
//!
//! Each partition has a queue: one open batch, which records are encoded into, and full ones before it, which wait
//! for the writer. A queue's lock fixes the order of its records, and is all that two senders to one partition share.
//!
//! ```text
//!   send -> [ open batch ] --full, due, wanted, flush, close--> [ full ][ full ] --take, seal--> writer
//!                                                                          ^------full disk------'
//! ```
//!
//! The writer is woken when it has to learn something:
//!
//! | when                                   | since                                                       |
//! |----------------------------------------|-------------------------------------------------------------|
//! | a batch is opened, none is due before  | the writer knows no moment to ask again, or a later one     |
//! | somebody waits: delivery, flush, close | the batch is due now                                        |
//! | somebody waits for memory              | all open batches are due now: they hold it                  |
//! | 1 MiB is queued                        | a large write is worth a wake-up, which a single batch is not |
//! | 256 KiB are queued to be compressed    | it has time for that while the sender goes on               |
//!
//! Not for each batch that is full: waking a thread costs more than writing one. A full batch that nobody asks for
//! is taken when the linger ends that the writer was told of, which is no later than its own.
//!
//! A batch that is going to be compressed takes in as many records as are expected to fill it then: what the topic's
//! batches came to so far says how many. What comes out larger than was hoped for is still no larger than the topic
//! takes, since it was not before either. The writer compresses what it takes, a bounded piece a round and without the
//! queue's lock: the sender goes on meanwhile. When much waits for that already, the writer has no time to spare, and
//! a sender seals and compresses its batch itself: so many senders use many processors.
//!
//! A batch that the writer could not write, because the disk is full, goes back to the head of its queue and waits there
//! for its next attempt. Nothing overtakes it: while it waits the writer gets none of those behind it.
//!
//! The room that a batch takes in `buffer.memory` is free again when its bytes are written, or never will be: then the
//! buffer is used again, and what waits for a sync has no bytes here any more.
//!
//! Locks: a queue's state first, then `ready`, `unresolved`, `compressors`, the metrics' or the memory's, one of them at a time. None is held while
//! code of the user's runs.
//!
//! Kafka: `RecordAccumulator`.

mod returns;
mod sealing;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::engine::{BatchSource, Callbacks, ReadyBatch, WriterWaker};
use crate::error::{Error, Result};
use crate::producer::accumulator::sealing::{Budget, QueuedBatch, QueuedBytes};
use crate::producer::config::ProducerConfig;
use crate::producer::delivery::{BatchOutcome, CallbackQueue, Delivery, DeliveryCallback, RecordPlace, Ticket};
use crate::producer::memory::{Memory, MemoryUse};
use crate::producer::metrics::ProducerMetrics;
use crate::producer::ratio::CompressionRatio;
use crate::producer::retry::Backoff;
use crate::record::{BatchBuilder, BatchHeader, Compressor};
use crate::replication::Partition;
use crate::sync::{Moment, Scheduler, lock};
use crate::types::{Acks, Compression, Timestamp};

/// The most batches of one producer that are open or queued while a single one takes all the memory it may.
const LEAST_BATCHES: usize = 16;

/// The batches of one producer.
pub(super) struct Accumulator {
    config: ProducerConfig,
    scheduler: Arc<dyn Scheduler>,
    waker: WriterWaker,
    callbacks: Arc<Callbacks>,
    metrics: ProducerMetrics,
    memory: Memory,
    ready: Mutex<Ready>,
    unresolved: Mutex<Unresolved>,
    /// Those that are not in use: one for each thread that ever compressed while others did.
    compressors: Mutex<Vec<Compressor>>,
    queued: QueuedBytes,
    backoff: Backoff,
    /// As in `unresolved`, to be read without its lock.
    is_closed: AtomicBool,
    /// The engine closes: what cannot be written now never will be.
    is_ending: AtomicBool,
}

/// What the writer has to look at.
#[derive(Debug, Default)]
struct Ready {
    /// Queues with a full batch, or with an open one that is due, each once.
    queues: VecDeque<Arc<PartitionQueue>>,
    /// Queues with an open batch, by the end of its linger and the batch's number; and those whose first batch waits for
    /// its next attempt, by when that is and the batch's number.
    lingering: BTreeMap<(Moment, u64), Arc<PartitionQueue>>,
}

/// Batches that were begun and are not published.
///
/// Closing is ordered against beginning a batch by this lock: a batch is either refused, or among those that whoever
/// closes waits for and has sealed. An open batch may still take a record after the closing; that one is written too.
#[derive(Debug, Default)]
struct Unresolved {
    begun: u64,
    batches: BTreeMap<u64, Arc<BatchOutcome>>,
    is_closed: bool,
}

/// The batches of one partition.
pub(super) struct PartitionQueue {
    partition: Arc<Partition>,
    /// How large a batch gets here: no larger than the topic takes.
    batch_size: usize,
    /// How large it may be before it is compressed: then it needs not get smaller for the topic to take it.
    most: usize,
    /// Of the topic; without compression there is none.
    ratio: Option<Arc<CompressionRatio>>,
    state: Mutex<QueueState>,
    /// How many batches are full, to be read without the lock.
    waiting: AtomicUsize,
    callbacks: CallbackQueue,
}

#[derive(Default)]
struct QueueState {
    open: Option<OpenBatch>,
    full: VecDeque<(QueuedBatch, Arc<Ticket>)>,
    /// Where `Ready::lingering` has it, if the first of these waits for its next attempt.
    backoff: Option<(Moment, u64)>,
    /// How many bytes of batches were completed since records without a key last moved on from here.
    completed_bytes: usize,
    /// Whether `Ready::queues` has it.
    is_listed: bool,
}

struct OpenBatch {
    builder: BatchBuilder,
    /// How large it gets before it is sealed, but for a first record that is larger.
    room: usize,
    largest_record: usize,
    ticket: Ticket,
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

impl EncodedRecord<'_> {
    /// What is there before a record is encoded.
    pub(super) const NOTHING: Self = Self { timestamp: Timestamp::NONE, key: None, value: None, headers: &[], size: 0 };
}

impl RecordPlace {
    /// The place of `record`, the one with that index in its batch.
    fn of(index: u32, record: &EncodedRecord<'_>) -> Self {
        let size = |part: Option<&[u8]>| part.map(|bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let (key_size, value_size) = (size(record.key), size(record.value));
        Self { index, timestamp: record.timestamp, key_size, value_size }
    }
}

impl PartitionQueue {
    /// `ratio` is the topic's.
    pub(super) fn new(partition: Arc<Partition>, config: &ProducerConfig, ratio: &Arc<CompressionRatio>) -> Self {
        let topic = partition.log().config();
        let most = topic.max_message_bytes().min(topic.segment_bytes());
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self {
            partition,
            batch_size: config.batch_bytes().min(most),
            most,
            ratio: (config.compression != Compression::None).then(|| Arc::clone(ratio)),
            state: Mutex::default(),
            waiting: AtomicUsize::new(0),
            callbacks: CallbackQueue::default(),
        }
    }

    /// How large a batch that begins now gets before it is sealed.
    fn room(&self) -> usize {
        self.ratio.as_ref().map_or(self.batch_size, |ratio| {
            let packed = self.batch_size.saturating_sub(BatchHeader::LEN_BYTES);
            (ratio.unpacked_len(packed).saturating_add(BatchHeader::LEN_BYTES)).min(self.most)
        })
    }

    /// How large a batch counts that takes `len_bytes` before it is compressed.
    fn expected_len(&self, len_bytes: usize) -> usize {
        self.ratio.as_ref().map_or(len_bytes, |ratio| ratio.packed_len(len_bytes))
    }

    pub(super) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    pub(super) fn callbacks(&self) -> &CallbackQueue {
        &self.callbacks
    }

    /// How many batches wait for the writer.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Tells others how many batches are full; after each change to them, under the lock.
    fn note_waiting(&self, state: &QueueState) {
        self.waiting.store(state.full.len(), Ordering::Relaxed);
    }
}

impl OpenBatch {
    /// Whether `record` goes in: the first one does, however large.
    #[inline]
    fn takes(&self, record: &EncodedRecord<'_>) -> bool {
        self.builder.is_empty() || self.builder.len_bytes() + record.size <= self.room
    }

    /// Encodes `record`, and answers its index.
    #[inline]
    fn append(&mut self, record: &EncodedRecord<'_>) -> u32 {
        self.largest_record = self.largest_record.max(record.size);
        self.builder.append(record.timestamp, record.key, record.value, record.headers)
    }
}

impl QueueState {
    /// Whether enough went to the partition for records without a key to move on, rather than to begin a batch for
    /// `record` here. A partition that got nothing keeps its turn: else a record larger than a batch would never stay.
    fn ends_turn(&mut self, record: &EncodedRecord<'_>, batch_size: usize) -> bool {
        let ends = self.completed_bytes > 0 && self.completed_bytes + record.size >= batch_size;
        if ends {
            self.completed_bytes = 0;
        }
        ends
    }
}

impl fmt::Debug for PartitionQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionQueue({})", self.partition.name())
    }
}

/// A buffer that was taken before it was known whether a batch has to be begun; it goes back if not.
struct Spare<'a> {
    memory: &'a Memory,
    taken: Option<(Vec<u8>, usize)>,
}

impl Drop for Spare<'_> {
    fn drop(&mut self) {
        if let Some((buffer, charged)) = self.taken.take() {
            self.memory.give_back(buffer, charged);
        }
    }
}

impl Accumulator {
    pub(super) fn new(
        config: ProducerConfig,
        scheduler: Arc<dyn Scheduler>,
        waker: WriterWaker,
        callbacks: Arc<Callbacks>,
        seed: u64,
    ) -> Self {
        Self {
            backoff: Backoff::new(config.retry_backoff, config.retry_backoff_max, seed),
            metrics: ProducerMetrics::new(&config, scheduler.now()),
            memory: Memory::new(config.buffer_memory, config.batch_bytes()),
            config,
            scheduler,
            waker,
            callbacks,
            ready: Mutex::default(),
            unresolved: Mutex::default(),
            compressors: Mutex::default(),
            queued: QueuedBytes::default(),
            is_closed: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
        }
    }

    pub(super) fn scheduler(&self) -> &Arc<dyn Scheduler> {
        &self.scheduler
    }

    pub(super) fn callbacks(&self) -> &Arc<Callbacks> {
        &self.callbacks
    }

    pub(super) fn metrics(&self) -> &ProducerMetrics {
        &self.metrics
    }

    pub(super) fn memory_use(&self) -> MemoryUse {
        self.memory.usage()
    }

    pub(super) fn acks(&self) -> Acks {
        self.config.acks
    }

    pub(super) fn patience(&self) -> Duration {
        self.config.patience()
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
    /// batch once enough went to this partition. `blocked` is for how long the call to `send` has blocked already.
    #[inline]
    pub(super) fn append(
        self: &Arc<Self>,
        queue: &Arc<PartitionQueue>,
        record: &EncodedRecord<'_>,
        callback: &mut Option<DeliveryCallback>,
        may_move: bool,
        blocked: &mut Duration,
    ) -> Result<Option<Delivery>> {
        let mut spare = Spare { memory: &self.memory, taken: None };
        let mut state = lock(&queue.state);
        loop {
            if state.open.as_ref().is_some_and(|open| open.takes(record)) {
                return Ok(Some(self.add(queue, &mut state, record, callback.take())));
            }
            if state.open.is_some() {
                self.seal(queue, &mut state);
            }
            if may_move && state.ends_turn(record, self.config.batch_bytes()) {
                return Ok(None);
            }
            if let Some((buffer, charged)) = spare.taken.take() {
                self.begin(queue, &mut state, buffer, charged)?;
            } else {
                drop(state); // what is needed may have to be waited for
                spare.taken = Some(self.take_memory(queue, record, blocked)?);
                state = lock(&queue.state);
            }
        }
    }

    /// A buffer for a batch that begins with `record`, and what is charged for it.
    fn take_memory(
        &self,
        queue: &PartitionQueue,
        record: &EncodedRecord<'_>,
        blocked: &mut Duration,
    ) -> Result<(Vec<u8>, usize)> {
        let needed = self.usual_buffer(queue.room()).max(BatchHeader::LEN_BYTES + record.size);
        // The size is a bound: a record that takes exactly all of the buffer was not refused.
        let needed = needed.min(self.config.buffer_memory);
        let mut began = None;
        let taken = self.memory.take(needed, self.scheduler.as_ref(), || {
            began = Some(self.scheduler.now());
            self.wake_writer();
            // All callbacks would wait for the one that waits.
            let is_callback = self.callbacks.refuse_inside("send").is_err();
            if is_callback { Duration::ZERO } else { self.config.max_block.saturating_sub(*blocked) }
        });
        if let Some(began) = began {
            let now = self.scheduler.now();
            *blocked += now.since(began);
            let is_exhausted = matches!(taken, Err(Error::BufferExhausted { .. }));
            self.metrics.note_memory_wait(now, now.since(began), is_exhausted);
        }
        Ok((taken?, needed))
    }

    /// Adds as many of `records` to the batch of `delivery` as it still takes, and makes that the delivery of the last
    /// one. Answers how many they are.
    pub(super) fn append_more(&self, delivery: &mut Delivery, records: &[EncodedRecord<'_>]) -> usize {
        if records.is_empty() {
            return 0;
        }
        let queue = Arc::clone(delivery.outcome().queue());
        let mut state = lock(&queue.state);
        let is_same = |open: &&mut OpenBatch| Arc::ptr_eq(open.ticket.outcome(), delivery.outcome());
        let Some(open) = state.open.as_mut().filter(is_same) else { return 0 };
        let mut last = None;
        let mut count = 0;
        for record in records {
            if open.builder.len_bytes() + record.size > open.room {
                break;
            }
            let index = open.append(record);
            last = Some((index, record));
            count += 1;
        }
        if let Some((index, record)) = last {
            delivery.move_to(RecordPlace::of(index, record));
        }
        if open.builder.len_bytes() >= open.room {
            self.seal(&queue, &mut state);
        }
        count
    }

    /// How large a buffer is for a batch that gets `room` bytes large before it is compressed: `batch.size`, or that
    /// doubled a few times, so that buffers fit again; and not so large that a few batches take all of the memory.
    fn usual_buffer(&self, room: usize) -> usize {
        let most = self.config.buffer_memory / LEAST_BATCHES;
        let mut size = self.config.batch_bytes();
        while size > 0 && size < room && size <= most / 2 {
            size *= 2;
        }
        size
    }

    /// Encodes `record` into the open batch, and seals that if it is full then.
    #[inline]
    fn add(
        &self,
        queue: &Arc<PartitionQueue>,
        state: &mut QueueState,
        record: &EncodedRecord<'_>,
        callback: Option<DeliveryCallback>,
    ) -> Delivery {
        let open = state.open.as_mut().expect("the caller has looked, or begun one");
        let index = open.append(record);
        let place = RecordPlace::of(index, record);
        let outcome = Arc::clone(open.ticket.outcome());
        if let Some(callback) = callback {
            outcome.call_back(place, callback);
        }
        if open.builder.len_bytes() >= open.room {
            self.seal(queue, state);
        }
        Delivery::new(outcome, place)
    }

    /// Begins a batch in `buffer`, unless the producer is closed.
    fn begin(
        self: &Arc<Self>,
        queue: &Arc<PartitionQueue>,
        state: &mut QueueState,
        buffer: Vec<u8>,
        charged: usize,
    ) -> Result<()> {
        let (now, linger) = (self.scheduler.now(), self.config.linger);
        let begun = lock(&self.unresolved).begin(|number| {
            Arc::new(BatchOutcome::new(number, Arc::clone(queue), Arc::clone(self), charged, now, linger))
        });
        let Some(outcome) = begun else {
            self.memory.give_back(buffer, charged);
            return Err(Error::Closed { what: "producer" });
        };
        let due = outcome.due();
        let builder = BatchBuilder::new(buffer);
        let (room, ticket) = (queue.room().min(charged), Ticket::new(outcome));
        state.open = Some(OpenBatch { builder, room, largest_record: 0, ticket });
        let mut ready = lock(&self.ready);
        let is_news = ready.knows_no_moment_before(due);
        ready.lingering.insert(due, Arc::clone(queue));
        drop(ready);
        if is_news {
            self.wake_writer();
        }
        Ok(())
    }

    /// Completes the open batch, which is full.
    #[cold]
    fn seal(&self, queue: &Arc<PartitionQueue>, state: &mut QueueState) {
        self.complete(queue, state);
        self.list_locked(queue, state);
        if self.queued.are_worth_a_round() {
            self.wake_writer();
        }
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

    /// Lists the queues whose open batches' lingers have ended at `now`, or all that have an open batch.
    fn list_due(&self, now: Moment, all: bool) {
        let due: Vec<_> = {
            let ready = lock(&self.ready);
            let is_due = |&((due_at, _), _): &(&(Moment, u64), &Arc<PartitionQueue>)| all || *due_at <= now;
            ready.lingering.iter().take_while(is_due).map(|(_, queue)| Arc::clone(queue)).collect()
        };
        for queue in due {
            self.list(&queue);
        }
    }

    /// A batch is published.
    pub(super) fn forget(&self, number: u64) {
        lock(&self.unresolved).batches.remove(&number);
    }

    pub(super) fn give_back(&self, buffer: Vec<u8>, charged: usize) {
        self.memory.give_back(buffer, charged);
    }

    /// Waits until every batch that was begun before is published, well or not, or until `deadline`.
    pub(super) fn flush(&self, deadline: Option<Moment>) {
        let began = self.scheduler.now();
        let unresolved: Vec<_> = lock(&self.unresolved).batches.values().cloned().collect();
        // All of them first, so that they share a round; and the writer is woken once.
        let news = unresolved.iter().filter(|outcome| outcome.mark_wanted()).count();
        if news > 0 {
            self.wake_writer();
        }
        // The newest first: when it is published, most others are, and this thread woke once.
        for outcome in unresolved.iter().rev() {
            outcome.wait(deadline);
        }
        self.metrics.note_flush(self.scheduler.now().since(began));
    }

    /// Refuses records from now on. Answers what is there.
    pub(super) fn forbid(&self) -> Vec<Arc<BatchOutcome>> {
        let unresolved: Vec<_> = {
            let mut unresolved = lock(&self.unresolved);
            unresolved.is_closed = true;
            unresolved.batches.values().cloned().collect()
        };
        self.is_closed.store(true, Ordering::Release);
        self.memory.close();
        unresolved
    }

    /// Refuses records from now on; what is there goes to the writer.
    pub(super) fn refuse(&self) {
        for outcome in self.forbid() {
            // One that is being begun is listed too: this waits for the lock that its sender holds.
            self.list(outcome.queue());
        }
        self.wake_writer();
    }

    /// Whether the open batch has to be sealed though it is not full.
    fn is_due(&self, open: &OpenBatch, now: Moment, is_starved: bool) -> bool {
        let outcome = open.ticket.outcome();
        is_starved || outcome.due().0 <= now || outcome.is_wanted() || self.is_closed()
    }
}

impl BatchSource for Accumulator {
    fn take(&self, now: Moment, limit: usize, into: &mut Vec<ReadyBatch>) -> Option<Moment> {
        // Somebody waits for memory that open batches hold.
        let is_starved = self.memory.is_wanted();
        self.list_due(now, is_starved);
        let listed = std::mem::take(&mut lock(&self.ready).queues);
        let mut budget = Budget::of_a_round(limit);
        let mut taken = Vec::new();
        for queue in listed {
            let mut state = lock(&queue.state);
            state.is_listed = false;
            if state.open.as_ref().is_some_and(|open| self.is_due(open, now, is_starved)) {
                self.complete(&queue, &mut state);
            }
            if self.backs_off(&mut state, now) {
                continue; // it is listed again when that is over
            }
            self.take_from(&queue, &mut state, &mut budget, &mut taken);
            if !state.full.is_empty() {
                self.list_locked(&queue, &mut state); // behind all others: none starves
            }
            drop(state); // compressing takes its time
            into.extend(taken.drain(..).map(|(batch, ticket)| self.hand_over(&queue, batch, ticket, now)));
        }
        lock(&self.ready).ask_again_at(now)
    }

    fn close(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.refuse();
    }

    fn is_finished(&self) -> bool {
        let unresolved = lock(&self.unresolved);
        unresolved.is_closed && unresolved.batches.is_empty()
    }
}

impl Ready {
    /// Whether the writer is neither being woken nor going to ask again before `due`. Lingers end in the order in which
    /// they begin; but the next attempt at a batch may be later than any of them.
    fn knows_no_moment_before(&self, due: (Moment, u64)) -> bool {
        self.queues.is_empty() && self.lingering.first_key_value().is_none_or(|(&first, _)| due < first)
    }

    /// When the writer has to ask again. While this is not empty the writer knows such a moment, or is being woken; so
    /// it is news only if a batch is begun while it is.
    fn ask_again_at(&self, now: Moment) -> Option<Moment> {
        // Listed since the round began, or left over from it.
        let at_once = (!self.queues.is_empty()).then_some(now);
        at_once.or_else(|| self.lingering.first_key_value().map(|(&(due_at, _), _)| due_at))
    }
}

impl Unresolved {
    /// Adds the batch that `make` makes for a number; `None` if the producer is closed.
    fn begin(&mut self, make: impl FnOnce(u64) -> Arc<BatchOutcome>) -> Option<Arc<BatchOutcome>> {
        if self.is_closed {
            return None;
        }
        let number = self.begun;
        self.begun += 1;
        let outcome = make(number);
        self.batches.insert(number, Arc::clone(&outcome));
        Some(outcome)
    }
}

impl fmt::Debug for Accumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accumulator").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
