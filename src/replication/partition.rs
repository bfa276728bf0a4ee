//! A partition: a log, and the high watermark up to which consumers may read it.
//!
//! The high watermark is the smaller of the log end and the first offset of the oldest `acks = all` batch that is not
//! durable yet. So nobody acts on an `acks = all` record that a power cut could take back. A record of `acks = 1` that
//! stands behind such a batch is seen when that is durable; its delivery does not wait for it.
//!
//! The writer appends, the syncer reports what has become durable; both move the watermark, under one lock, and it
//! only ever moves up. Readers load it, and nothing else of what is here, before they read the log.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::error::{Error, Result};
use crate::record::{Batch, BatchHeader, SealedBatch};
use crate::storage::{AppendError, Lag, Log, Position, ReadPlace, SlotId, SyncWork};
use crate::sync::{Signal, lock};
use crate::types::{Acks, LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};

/// Set once when a directory fails: from then on nothing is written to it, and only what is durable is read.
#[derive(Debug)]
pub(crate) struct Offline {
    directory: PathBuf,
    cause: OnceLock<Error>,
}

impl Offline {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, cause: OnceLock::new() }
    }

    /// Takes the directory offline for `cause`; the first cause stays.
    pub(crate) fn set(&self, cause: Error) {
        if self.cause.set(cause).is_ok() {
            log::error!("{} goes offline: {}", self.directory.display(), self.cause.get().expect("it was just set"));
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.cause.get().is_some()
    }

    /// Nothing, or the error that every write gets.
    pub(crate) fn check(&self) -> Result<()> {
        match self.cause.get() {
            None => Ok(()),
            Some(cause) => Err(Error::Storage { directory: self.directory.clone(), cause: Arc::new(cause.clone()) }),
        }
    }
}

/// A partition of a topic.
#[derive(Debug)]
pub(crate) struct Partition {
    topic_id: TopicId,
    log: Log,
    slot: SlotId,
    offline: Arc<Offline>,
    high_watermark: AtomicI64,
    /// First offsets of the `acks = all` batches that are not durable, oldest first.
    awaited: Mutex<VecDeque<Offset>>,
    watchers: Mutex<Vec<Arc<Signal>>>,
    is_deleted: AtomicBool,
}

/// What became of one batch handed to [`Partition::append`].
pub(crate) type AppendResult = Result<Offset>;

impl Partition {
    /// A partition whose log was just opened, and is durable to its end.
    pub(crate) fn new(topic_id: TopicId, log: Log, slot: SlotId, offline: Arc<Offline>) -> Self {
        let end = log.log_end();
        Self {
            topic_id,
            log,
            slot,
            offline,
            high_watermark: AtomicI64::new(end.0),
            awaited: Mutex::default(),
            watchers: Mutex::default(),
            is_deleted: AtomicBool::new(false),
        }
    }

    pub(crate) fn name(&self) -> &TopicPartition {
        self.log.name()
    }

    pub(crate) fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    pub(crate) fn slot(&self) -> SlotId {
        self.slot
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn log_start(&self) -> Offset {
        self.log.log_start()
    }

    pub(crate) fn log_end(&self) -> Offset {
        self.log.log_end()
    }

    pub(crate) fn durable_end(&self) -> Offset {
        self.log.durable_end()
    }

    /// The end of what consumers may read.
    pub(crate) fn high_watermark(&self) -> Offset {
        let end = Offset(self.high_watermark.load(Ordering::Acquire));
        // After a failed sync the page cache may show what is not on the disk, and drop it at any time.
        if self.offline.is_set() { end.min(self.durable_end()) } else { end }
    }

    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.log.leader_epoch()
    }

    /// The epoch of the record before `offset`: what a commit of that offset stores.
    pub(crate) fn epoch_before(&self, offset: Offset) -> LeaderEpoch {
        self.log.epoch_before(offset)
    }

    /// Where a reader that stood at `offset`, having read under `epoch`, goes on: there, or where a crash cut the log.
    pub(crate) fn resume_at(&self, offset: Offset, epoch: LeaderEpoch) -> Offset {
        self.log.resume_at(offset, epoch)
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }

    pub(crate) fn segment_count(&self) -> usize {
        self.log.segment_count()
    }

    /// What other processes, and the next opening, are told.
    pub(crate) fn position(&self) -> Position {
        let high_watermark = self.high_watermark();
        Position {
            leader_epoch: self.leader_epoch(),
            durable_end: self.durable_end(),
            log_start: self.log_start(),
            high_watermark,
            last_stable_offset: high_watermark,
        }
    }

    /// Appends `batches` in their order, and answers for each. Only the directory's writer calls this.
    ///
    /// A batch that is too large is refused alone. When a write fails, so do all batches behind it: one that overtook
    /// another would change the order.
    pub(crate) fn append(
        &self,
        batches: &mut [(&mut SealedBatch, Acks)],
        now: Timestamp,
        results: &mut Vec<AppendResult>,
    ) {
        let mut rest = batches;
        while !rest.is_empty() {
            if let Err(error) = self.writable() {
                results.extend(rest.iter().map(|_| Err(error.clone())));
                return;
            }
            if let Some(error) = self.log.refuses(rest[0].0) {
                results.push(Err(error));
                rest = &mut rest[1..];
                continue;
            }
            let count = rest.iter().position(|(batch, _)| self.log.refuses(batch).is_some()).unwrap_or(rest.len());
            let (run, behind) = rest.split_at_mut(count);
            if let Err(error) = self.append_run(run, now, results) {
                results.extend(behind.iter().map(|_| Err(error.clone())));
                return;
            }
            rest = behind;
        }
    }

    /// Appends batches none of which the log refuses.
    fn append_run(
        &self,
        run: &mut [(&mut SealedBatch, Acks)],
        now: Timestamp,
        results: &mut Vec<AppendResult>,
    ) -> Result<()> {
        // Held over the append: the watermark must not pass a batch that is about to be listed as awaited.
        let mut awaited = lock(&self.awaited);
        let mut batches: Vec<&mut SealedBatch> = run.iter_mut().map(|(batch, _)| &mut **batch).collect();
        let outcome = self.log.append(&mut batches, now);
        drop(batches);
        for (batch, acks) in &run[..outcome.appended] {
            let base_offset = batch.header().base_offset;
            if *acks == Acks::All {
                awaited.push_back(base_offset);
            }
            results.push(Ok(base_offset));
        }
        self.move_watermark(&awaited);
        let error = match outcome.error {
            None => return Ok(()),
            Some(AppendError::Refused(error)) => error,
            Some(AppendError::Broken(error)) => {
                // Still under the lock: a sync of this file that returns now may be one whose failure we were told.
                self.offline.set(error);
                let cause = Arc::new(self.offline.check().expect_err("it was just set"));
                Error::OutcomeUnknown { partition: self.name().clone(), cause }
            }
        };
        results.extend(run[outcome.appended..].iter().map(|_| Err(error.clone())));
        Err(error)
    }

    fn writable(&self) -> Result<()> {
        self.offline.check()?;
        if self.is_deleted() {
            return Err(Error::UnknownTopicId { partition: self.name().clone() });
        }
        Ok(())
    }

    /// What to sync so that everything in the log is durable; `None` if it is.
    pub(crate) fn sync_work(&self) -> Option<SyncWork> {
        self.log.sync_work()
    }

    /// `work` was synced: the watermark may pass the batches that it covered.
    ///
    /// # Errors
    /// The directory went offline meanwhile; then nothing has changed.
    pub(crate) fn finish_sync(&self, work: &SyncWork) -> Result<()> {
        let mut awaited = lock(&self.awaited);
        self.offline.check()?; // behind the lock: see `append_run`
        self.log.finish_sync(work);
        while awaited.front().is_some_and(|&base_offset| base_offset < work.end) {
            awaited.pop_front();
        }
        self.move_watermark(&awaited);
        Ok(())
    }

    /// Raises the watermark to what `awaited` allows, and wakes readers if it moved.
    fn move_watermark(&self, awaited: &VecDeque<Offset>) {
        let end = awaited.front().copied().unwrap_or(self.log_end());
        if self.high_watermark.fetch_max(end.0, Ordering::AcqRel) < end.0 {
            self.notify_watchers();
        }
    }

    /// Notifies `signal` whenever there is more to read, or nothing ever again.
    pub(crate) fn watch(&self, signal: &Arc<Signal>) {
        let mut watchers = lock(&self.watchers);
        if !watchers.iter().any(|watcher| Arc::ptr_eq(watcher, signal)) {
            watchers.push(Arc::clone(signal));
        }
    }

    pub(crate) fn unwatch(&self, signal: &Arc<Signal>) {
        lock(&self.watchers).retain(|watcher| !Arc::ptr_eq(watcher, signal));
    }

    /// Wakes whoever waits for this partition.
    pub(crate) fn notify_watchers(&self) {
        for watcher in lock(&self.watchers).iter() {
            watcher.notify();
        }
    }

    /// The topic was deleted: appending and reading are over.
    pub(crate) fn mark_deleted(&self) {
        self.is_deleted.store(true, Ordering::Release);
        self.notify_watchers();
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// Whole batches from the one that holds `from` on, below the high watermark; see [`Log::read`].
    pub(crate) fn read(&self, place: &mut Option<ReadPlace>, from: Offset, max_bytes: usize) -> Result<Vec<Batch>> {
        self.unless_deleted(|| self.log.read(place, from, self.high_watermark(), max_bytes))
    }

    /// The error for a batch of this log whose records cannot be read, though its checksum holds; see [`Log`].
    pub(crate) fn unreadable(&self, header: &BatchHeader, reason: String) -> Error {
        self.log.unreadable(header, reason)
    }

    /// How far a reader that goes on at `position` is behind the high watermark; see [`Log::lag_behind`].
    pub(crate) fn lag_behind(&self, position: Offset, now: Timestamp) -> Result<Lag> {
        self.unless_deleted(|| self.log.lag_behind(position, self.high_watermark(), now))
    }

    /// The first record at or after `at`, below the high watermark.
    pub(crate) fn offset_for_time(&self, at: Timestamp) -> Result<Option<(Offset, Timestamp)>> {
        self.unless_deleted(|| self.log.offset_for_time(at, self.high_watermark()))
    }

    /// What `read` gives. Of a topic that is being deleted any file may be gone, which is not the disk's fault, or it is
    /// another topic's, made anew under the name.
    fn unless_deleted<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        let deleted = || Error::UnknownTopicId { partition: self.name().clone() };
        if self.is_deleted() {
            return Err(deleted());
        }
        let result = read();
        if self.is_deleted() { Err(deleted()) } else { result }
    }
}
