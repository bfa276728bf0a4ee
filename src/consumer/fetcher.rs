//! Positions, and how records come from the partitions to `poll`.
//!
//! Each assigned partition is a lane: a position, which is the next offset that `poll` returns, and a buffer of
//! batches that were read from there on. A poll visits the lanes in turn, each once, until it has what it may return.
//! A lane with an empty buffer reads; one with a full buffer first gives what it has. The poll after begins at the
//! lane where this one stopped, so a busy partition does not keep the others waiting.
//!
//! | at the position is | the poll gives | and the position |
//! |---|---|---|
//! | a record | the record | moves behind it |
//! | a control batch, or one that compaction emptied | nothing | moves behind it |
//! | damage, or a record that cannot be deserialized | what it has so far, the next one the error | stays, until `seek` |
//! | nothing: outside the log | what `auto.offset.reset` says | moves there, or stays with an error |
//!
//! A batch is unpacked and looked at when it comes to the front of its lane's buffer, not when it is read: so a lane
//! holds one unpacked batch beyond those that polls have returned, however well the others are compressed. And a poll
//! returns no further batch once those that it has are `fetch.max.bytes` unpacked.
//!
//! An error is not stored: the poll after one that had records begins with the lane that failed, and meets it again.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::consumer::config::{AutoOffsetReset, ConsumerConfig};
use crate::consumer::record::{Chunk, Inspect};
use crate::coordinator::group::GroupOffsets;
use crate::engine::Cursor;
use crate::error::{Error, Result};
use crate::record::{Batch, BatchFault, Decompressor};
use crate::sync::Signal;
use crate::types::{LeaderEpoch, Offset, TopicId, TopicPartition};

/// What a lane reads from: a partition, through a cursor; in tests, a script.
pub(super) trait Source: fmt::Debug + Send {
    fn name(&self) -> &TopicPartition;
    fn topic_id(&self) -> TopicId;
    fn log_start(&self) -> Offset;
    fn high_watermark(&self) -> Offset;
    fn leader_epoch(&self) -> LeaderEpoch;
    fn epoch_before(&self, offset: Offset) -> LeaderEpoch;
    fn resume_at(&self, offset: Offset, epoch: LeaderEpoch) -> Offset;
    fn is_deleted(&self) -> bool;
    fn watch(&self, signal: &Arc<Signal>);
    fn unwatch(&self, signal: &Arc<Signal>);
    fn read(&mut self, position: Offset, max_bytes: usize) -> Result<Vec<Batch>>;
}

impl Source for Cursor {
    fn name(&self) -> &TopicPartition {
        self.partition().name()
    }

    fn topic_id(&self) -> TopicId {
        self.partition().topic_id()
    }

    fn log_start(&self) -> Offset {
        self.partition().log_start()
    }

    fn high_watermark(&self) -> Offset {
        self.partition().high_watermark()
    }

    fn leader_epoch(&self) -> LeaderEpoch {
        self.partition().leader_epoch()
    }

    fn epoch_before(&self, offset: Offset) -> LeaderEpoch {
        self.partition().epoch_before(offset)
    }

    fn resume_at(&self, offset: Offset, epoch: LeaderEpoch) -> Offset {
        self.partition().resume_at(offset, epoch)
    }

    fn is_deleted(&self) -> bool {
        self.partition().is_deleted()
    }

    fn watch(&self, signal: &Arc<Signal>) {
        self.partition().watch(signal);
    }

    fn unwatch(&self, signal: &Arc<Signal>) {
        self.partition().unwatch(signal);
    }

    fn read(&mut self, position: Offset, max_bytes: usize) -> Result<Vec<Batch>> {
        Self::read(self, position, max_bytes)
    }
}

/// How much one poll takes, and what it does without a position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) max_records: usize,
    pub(super) partition_bytes: usize,
    pub(super) total_bytes: usize,
    pub(super) unpacked_bytes: usize,
    pub(super) reset: AutoOffsetReset,
}

impl Rules {
    pub(super) fn of(config: &ConsumerConfig) -> Self {
        Self {
            max_records: config.max_poll_records,
            partition_bytes: config.max_partition_fetch_bytes,
            total_bytes: config.fetch_max_bytes,
            unpacked_bytes: config.max_decompressed_batch_bytes,
            reset: config.auto_offset_reset,
        }
    }
}

/// What one round over the lanes came to.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) chunks: Vec<Chunk>,
    /// How many records that is.
    pub(super) count: usize,
    /// How many bytes the batches take that they are in.
    bytes: usize,
    /// A position moved, though perhaps over nothing that is returned: another round may find more.
    pub(super) has_moved: bool,
}

/// The lanes of one consumer.
#[derive(Debug)]
pub(super) struct Fetcher {
    rules: Rules,
    /// By partition.
    lanes: Vec<Lane>,
    /// The lane that the next round begins with.
    turn: usize,
    /// Moves when a lane may have something new.
    signal: Arc<Signal>,
    decompressor: Decompressor,
}

/// What a lane needs to know of the round that visits it.
struct Round<'a> {
    rules: &'a Rules,
    /// How many bytes may still be read.
    bytes_left: usize,
    inspect: &'a dyn Inspect,
    decompressor: &'a mut Decompressor,
}

impl Fetcher {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, lanes: Vec::new(), turn: 0, signal: Arc::default(), decompressor: Decompressor::default() }
    }

    pub(super) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    pub(super) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// The lane of an assigned partition.
    ///
    /// # Errors
    /// [`Error::IllegalState`] if it is not assigned.
    pub(super) fn lane(&mut self, partition: &TopicPartition) -> Result<&mut Lane> {
        match self.lanes.binary_search_by(|lane| lane.name().cmp(partition)) {
            Ok(index) => Ok(&mut self.lanes[index]),
            Err(_) => Err(Error::illegal_state(format!("{partition} is not assigned to this consumer"))),
        }
    }

    /// Reads `sources` from now on. Partitions that were read before keep their position, buffer and pause.
    pub(super) fn assign(&mut self, sources: Vec<Box<dyn Source>>) {
        let mut before = std::mem::take(&mut self.lanes);
        for source in sources {
            // By id: of a topic that was created anew, nothing is kept.
            let is_same = |lane: &Lane| lane.name() == source.name() && lane.topic_id() == source.topic_id();
            if self.lanes.iter().any(is_same) {
                continue;
            }
            let lane = match before.iter().position(is_same) {
                Some(index) => before.swap_remove(index),
                None => {
                    source.watch(&self.signal);
                    Lane::new(source)
                }
            };
            self.lanes.push(lane);
        }
        before.iter().for_each(|lane| lane.source.unwatch(&self.signal));
        self.lanes.sort_by(|one, other| one.name().cmp(other.name()));
        self.turn = 0;
    }

    /// One round: what is there now, without waiting.
    ///
    /// # Errors
    /// What stands in the way of every lane (a topic that is gone, a position that is lost), before anything is
    /// taken; else what the first lane with nothing to give meets.
    pub(super) fn collect(&mut self, group: Option<&GroupOffsets>, inspect: &dyn Inspect) -> Result<Collected> {
        for lane in &mut self.lanes {
            lane.validate()?;
            lane.settle(group, self.rules.reset)?;
        }
        let mut collected = Collected::default();
        let total_bytes = self.rules.total_bytes;
        let (rules, decompressor) = (&self.rules, &mut self.decompressor);
        let mut round = Round { rules, bytes_left: total_bytes, inspect, decompressor };
        let count = self.lanes.len();
        for index in (self.turn..count).chain(0..self.turn) {
            let lane = &mut self.lanes[index];
            if lane.is_paused {
                continue;
            }
            let outcome = lane.visit(&mut round, &mut collected);
            let has_bytes = round.bytes_left == 0 || collected.bytes >= total_bytes;
            let is_full = collected.count >= round.rules.max_records || (has_bytes && collected.count > 0);
            if outcome.is_err() || is_full {
                let stays = outcome.is_err() || !lane.buffer.is_empty();
                self.turn = if stays { index } else { (index + 1) % count };
            }
            match outcome {
                Err(error) if collected.count == 0 => return Err(error),
                Err(_) => break,
                Ok(()) if is_full => break,
                Ok(()) => {}
            }
        }
        Ok(collected)
    }
}

/// The partitions are no longer watched.
impl Drop for Fetcher {
    fn drop(&mut self) {
        self.assign(Vec::new());
    }
}

/// Where a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    /// The next one to return.
    offset: Offset,
    /// Of the record before it, as it was when that was read.
    epoch: LeaderEpoch,
}

/// A batch that was read, and of which something is still to be returned.
#[derive(Debug)]
struct Buffered {
    batch: Batch,
    /// How many of its records are at or behind the position; none of a control batch. Not known before the batch is
    /// unpacked and looked at, when it comes to the front.
    left: Option<usize>,
}

impl Buffered {
    /// Whether it is known without unpacking it that no record of it is to be returned.
    fn has_nothing(&self) -> bool {
        self.left.unwrap_or(usize::from(!self.batch.header().is_control() && self.batch.header().count > 0)) == 0
    }
}

/// One assigned partition.
#[derive(Debug)]
pub(super) struct Lane {
    source: Box<dyn Source>,
    position: Option<Position>,
    is_paused: bool,
    /// In order of offsets; the first one holds the position, or lies behind it.
    buffer: VecDeque<Buffered>,
    /// Under which leadership the position was last known to be in the log.
    validated: LeaderEpoch,
}

impl Lane {
    fn new(source: Box<dyn Source>) -> Self {
        let validated = source.leader_epoch();
        Self { source, position: None, is_paused: false, buffer: VecDeque::new(), validated }
    }

    pub(super) fn name(&self) -> &TopicPartition {
        self.source.name()
    }

    pub(super) fn topic_id(&self) -> TopicId {
        self.source.topic_id()
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.source.is_deleted()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Pausing keeps the buffer: it is returned after the lane was resumed.
    pub(super) fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// The next offset to return, if that is known yet.
    pub(super) fn position(&self) -> Option<Offset> {
        self.position.map(|position| position.offset)
    }

    /// The epoch of the record before `offset`.
    pub(super) fn epoch_before(&self, offset: Offset) -> LeaderEpoch {
        self.source.epoch_before(offset)
    }

    /// Goes on at `offset`. Whether that is in the log is found out when it is read.
    pub(super) fn seek(&mut self, offset: Offset) {
        self.stand_at(offset, LeaderEpoch::NONE);
    }

    fn stand_at(&mut self, offset: Offset, epoch: LeaderEpoch) {
        self.buffer.clear();
        self.position = Some(Position { offset, epoch });
        self.validated = self.source.leader_epoch();
    }

    /// Whether the topic is still there, and the position in its log.
    fn validate(&mut self) -> Result<()> {
        if self.is_deleted() {
            return Err(Error::UnknownTopicId { partition: self.name().clone() });
        }
        let now = self.source.leader_epoch();
        let Some(position) = self.position else { return Ok(()) };
        if now == self.validated {
            return Ok(());
        }
        self.validated = now;
        let resumed_at = self.resume_at(position);
        if resumed_at == position.offset {
            return Ok(());
        }
        log::warn!("{}: position {} was cut back to {resumed_at}", self.name(), position.offset);
        self.stand_at(resumed_at, self.source.epoch_before(resumed_at));
        Err(Error::LogTruncated { partition: self.name().clone(), requested: position.offset, resumed_at })
    }

    fn resume_at(&self, Position { offset, epoch }: Position) -> Offset {
        if epoch == LeaderEpoch::NONE { offset } else { self.source.resume_at(offset, epoch) }
    }

    /// Finds a position if there is none: what the group has committed, else what `reset` says.
    ///
    /// # Errors
    /// [`Error::NoOffsetForPartition`] if neither gives one.
    pub(super) fn settle(&mut self, group: Option<&GroupOffsets>, reset: AutoOffsetReset) -> Result<()> {
        if self.position.is_some() {
            return Ok(());
        }
        let committed = group.and_then(|group| group.committed(self.topic_id(), self.name().partition()));
        let Some(committed) = committed else { return self.reset(reset) };
        let position = Position { offset: committed.offset, epoch: committed.leader_epoch };
        let resumed_at = self.resume_at(position);
        if resumed_at == position.offset {
            self.stand_at(position.offset, position.epoch);
        } else {
            let name = self.name();
            log::warn!("{name}: committed offset {} was cut back to {resumed_at} by a crash", position.offset);
            self.stand_at(resumed_at, self.source.epoch_before(resumed_at));
        }
        Ok(())
    }

    fn reset(&mut self, reset: AutoOffsetReset) -> Result<()> {
        let offset = match reset {
            AutoOffsetReset::Earliest => self.source.log_start(),
            AutoOffsetReset::Latest => self.source.high_watermark(),
            AutoOffsetReset::None => return Err(Error::NoOffsetForPartition { partition: self.name().clone() }),
        };
        self.stand_at(offset, self.source.epoch_before(offset));
        Ok(())
    }

    /// Adds what this lane has to `collected`; reads first if nothing is buffered.
    fn visit(&mut self, round: &mut Round<'_>, collected: &mut Collected) -> Result<()> {
        let rules = round.rules;
        if self.buffer.is_empty() {
            let max_bytes = rules.partition_bytes.min(round.bytes_left).max(1);
            let read = self.fill(max_bytes, rules.reset, collected)?;
            round.bytes_left = round.bytes_left.saturating_sub(read);
        }
        while let Some(first) = self.buffer.front()
            && (collected.count == 0 || collected.bytes < rules.total_bytes)
            && (collected.count < rules.max_records || first.has_nothing())
        {
            let left = self.admit(round)?;
            self.take(left, rules.max_records.saturating_sub(collected.count), round.inspect, collected)?;
        }
        Ok(())
    }

    /// Reads from the position on, and says how many bytes that were.
    fn fill(&mut self, max_bytes: usize, reset: AutoOffsetReset, collected: &mut Collected) -> Result<usize> {
        let Some(position) = self.position else { return Ok(0) };
        let batches = match self.source.read(position.offset, max_bytes) {
            Err(error @ Error::OffsetOutOfRange { .. }) if reset != AutoOffsetReset::None => {
                log::warn!("{error}; going on at the {reset}");
                self.reset(reset)?;
                return self.fill_again(max_bytes, collected);
            }
            batches => batches?,
        };
        Ok(self.buffer(batches))
    }

    /// Reads from where the position was reset to.
    fn fill_again(&mut self, max_bytes: usize, collected: &mut Collected) -> Result<usize> {
        let Some(position) = self.position else { return Ok(0) };
        match self.source.read(position.offset, max_bytes) {
            // The log start moved on meanwhile: the next round resets again.
            Err(Error::OffsetOutOfRange { .. }) => {
                collected.has_moved = true;
                Ok(0)
            }
            batches => Ok(self.buffer(batches?)),
        }
    }

    /// Keeps what was read, and says how many bytes it is.
    fn buffer(&mut self, batches: Vec<Batch>) -> usize {
        let bytes = batches.iter().map(|batch| batch.header().len_bytes).sum();
        self.buffer.extend(batches.into_iter().map(|batch| Buffered { batch, left: None }));
        bytes
    }

    /// Makes sure of the first batch in the buffer, and says how many records of it are at or behind the position.
    ///
    /// # Errors
    /// What is wrong with it; then the buffer is empty, and the next read begins with that batch again.
    fn admit(&mut self, round: &mut Round<'_>) -> Result<usize> {
        let Some(Buffered { batch, left }) = self.buffer.front() else { return Ok(0) };
        if let Some(left) = *left {
            return Ok(left);
        }
        let from = self.position.map_or(batch.header().base_offset, |position| position.offset);
        match examine(batch.clone(), from, round) {
            Ok((batch, left)) => {
                if let Some(front) = self.buffer.front_mut() {
                    *front = Buffered { batch, left: Some(left) };
                }
                Ok(left)
            }
            Err(fault) => {
                let error = self.unreadable(batch, &fault);
                self.buffer.clear();
                Err(error)
            }
        }
    }

    /// The checksum of the batch held, and yet its records cannot be read.
    fn unreadable(&self, batch: &Batch, fault: &BatchFault) -> Error {
        if let BatchFault::CodecNotCompiled { codec } = *fault {
            return Error::CodecNotCompiled { codec };
        }
        let reason = match fault {
            BatchFault::Oversized { .. } => format!("{fault}: raise max.decompressed.batch.bytes to read it"),
            fault => fault.to_string(),
        };
        Error::CorruptBatch {
            partition: self.name().clone(),
            first: batch.header().base_offset,
            last: batch.header().last_offset(),
            path: self.name().to_string().into(), // the partition's directory; where in it, the batch does not know
            file_position: 0,
            reason: reason.into(),
        }
    }

    /// Takes up to `max_records` of the `left` ones of the first batch in the buffer, and moves the position behind them.
    fn take(
        &mut self,
        left: usize,
        max_records: usize,
        inspect: &dyn Inspect,
        collected: &mut Collected,
    ) -> Result<()> {
        let Some(Buffered { batch, .. }) = self.buffer.front() else { return Ok(()) };
        let from = self.position.map_or(batch.header().base_offset, |position| position.offset);
        let whole = Part { count: left, to: batch.header().next_offset(), refused: None };
        let is_whole = left <= max_records;
        let part = if left == 0 || (is_whole && inspect.accepts_all()) {
            whole
        } else {
            let part = self.part(batch, from, max_records, inspect);
            if is_whole && part.refused.is_none() { whole } else { part }
        };
        if part.count > 0 {
            let (partition, batch) = (self.name().clone(), batch.clone());
            let bytes = batch.records_len_bytes();
            collected.chunks.push(Chunk { partition, batch, from, to: part.to, count: part.count });
            collected.count += part.count;
            collected.bytes += bytes;
        }
        self.advance(part.to, part.count, collected);
        part.refused.map_or(Ok(()), Err)
    }

    /// Looks for how far records may be returned: `max_records` at most, and none that cannot be deserialized.
    fn part(&self, batch: &Batch, from: Offset, max_records: usize, inspect: &dyn Inspect) -> Part {
        let mut part = Part { count: 0, to: from, refused: None };
        let records = batch.records().into_iter().flatten().filter_map(Result::ok);
        for record in records.skip_while(|record| record.offset() < from).take(max_records) {
            if let Err((which, cause)) = inspect.inspect(self.name().topic(), &record) {
                let (partition, offset) = (self.name().clone(), record.offset());
                part.to = offset;
                part.refused = Some(Error::RecordDeserialization { partition, offset, part: which, cause });
                break;
            }
            part.count += 1;
            part.to = record.offset().next();
        }
        part
    }

    /// The position moves to `to`, over `count` records of the first batch in the buffer.
    fn advance(&mut self, to: Offset, count: usize, collected: &mut Collected) {
        let Some(first) = self.buffer.front_mut() else { return };
        first.left = first.left.map(|left| left - count);
        let epoch = first.batch.header().leader_epoch;
        if to > first.batch.header().last_offset() {
            self.buffer.pop_front();
        }
        if self.position.is_none_or(|position| position.offset < to) {
            self.position = Some(Position { offset: to, epoch });
            collected.has_moved = true;
        }
    }
}

/// Unpacks a batch, and walks all its records once, so that nothing can fail later; counts those from `from` on.
fn examine(batch: Batch, from: Offset, round: &mut Round<'_>) -> Result<(Batch, usize), BatchFault> {
    if batch.header().is_control() {
        return Ok((batch, 0));
    }
    let batch = batch.unpack_with(round.decompressor, round.rules.unpacked_bytes)?;
    let mut left = 0;
    for record in batch.records()? {
        left += usize::from(record?.offset() >= from);
    }
    Ok((batch, left))
}

/// What of a batch a poll may return.
#[derive(Debug)]
struct Part {
    count: usize,
    /// Where the position moves.
    to: Offset,
    /// What stands there.
    refused: Option<Error>,
}

#[cfg(test)]
mod tests;
