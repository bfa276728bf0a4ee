//! One assigned partition: its position, and the batches that were read from there on.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::consumer::fetcher::{Collected, Round};
use crate::consumer::record::{Chunk, Inspect};
use crate::consumer::reset::AutoOffsetReset;
use crate::coordinator::group::Group;
use crate::engine::Cursor;
use crate::error::{Error, Result};
use crate::record::{Batch, BatchFault};
use crate::sync::Signal;
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};

/// What a lane reads from: a partition, through a cursor; in tests, a script.
pub(in crate::consumer) trait Source: fmt::Debug + Send {
    fn name(&self) -> &TopicPartition;
    fn topic_id(&self) -> TopicId;
    fn log_start(&self) -> Offset;
    fn high_watermark(&self) -> Offset;
    fn leader_epoch(&self) -> LeaderEpoch;
    fn epoch_before(&self, offset: Offset) -> LeaderEpoch;
    fn resume_at(&self, offset: Offset, epoch: LeaderEpoch) -> Offset;
    fn offset_for_time(&self, at: Timestamp) -> Result<Option<(Offset, Timestamp)>>;
    fn is_deleted(&self) -> bool;
    fn watch(&self, signal: &Arc<Signal>);
    fn unwatch(&self, signal: &Arc<Signal>);
    fn read(&mut self, position: Offset, max_bytes: usize) -> Result<Vec<Batch>>;
    /// The error for a batch whose records cannot be read, with its place.
    fn unreadable(&self, batch: &Batch, reason: String) -> Error;
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

    fn offset_for_time(&self, at: Timestamp) -> Result<Option<(Offset, Timestamp)>> {
        self.partition().offset_for_time(at)
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

    fn unreadable(&self, batch: &Batch, reason: String) -> Error {
        self.partition().unreadable(batch.header(), reason)
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

/// Where a lane is to go, found out when its position is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::consumer) enum Target {
    /// The first record that is there.
    Beginning,
    /// Behind the last record.
    End,
    /// The first record with this timestamp or a later one; the end if there is none.
    Time(Timestamp),
}

impl Target {
    /// Where `reset` sends a reader, if anywhere.
    fn of(reset: AutoOffsetReset, now: Timestamp) -> Option<Self> {
        match reset {
            AutoOffsetReset::Earliest => Some(Self::Beginning),
            AutoOffsetReset::Latest => Some(Self::End),
            AutoOffsetReset::ByDuration(duration) => {
                let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
                Some(Self::Time(Timestamp(now.0.saturating_sub(millis).max(0))))
            }
            AutoOffsetReset::None => None,
        }
    }
}

/// What a lane without a position goes by.
#[derive(Clone, Copy, Debug)]
pub(in crate::consumer) struct Begin<'a> {
    /// What this has committed comes first,
    pub(in crate::consumer) group: Option<&'a Group>,
    /// then this,
    pub(in crate::consumer) reset: AutoOffsetReset,
    /// which may count back from now.
    pub(in crate::consumer) now: Timestamp,
}

/// A batch that was read, and of which something is still to be returned.
#[derive(Debug)]
pub(in crate::consumer) struct Buffered {
    pub(super) batch: Batch,
    /// What of it is at or behind the position. Not known before the batch is unpacked and looked at, when it comes to
    /// the front.
    left: Option<Rest>,
}

/// The records of a batch that are at or behind the position; none of a control batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rest {
    count: usize,
    /// How many bytes before the end of the batch they begin.
    bytes: usize,
}

impl Buffered {
    /// Whether it is known without unpacking it that no record of it is to be returned.
    fn has_nothing(&self) -> bool {
        match self.left {
            Some(rest) => rest.count == 0,
            None => self.batch.header().is_control() || self.batch.header().count == 0,
        }
    }
}

/// One assigned partition.
#[derive(Debug)]
pub(in crate::consumer) struct Lane {
    pub(super) source: Box<dyn Source>,
    position: Option<Position>,
    /// In place of a position: where to look for it.
    target: Option<Target>,
    is_paused: bool,
    /// In order of offsets; the first one holds the position, or lies behind it.
    pub(super) buffer: VecDeque<Buffered>,
    /// Under which leadership the position was last known to be in the log.
    validated: LeaderEpoch,
}

impl Lane {
    pub(super) fn new(source: Box<dyn Source>) -> Self {
        let validated = source.leader_epoch();
        Self { source, position: None, target: None, is_paused: false, buffer: VecDeque::new(), validated }
    }

    pub(in crate::consumer) fn name(&self) -> &TopicPartition {
        self.source.name()
    }

    pub(in crate::consumer) fn topic_id(&self) -> TopicId {
        self.source.topic_id()
    }

    pub(in crate::consumer) fn is_deleted(&self) -> bool {
        self.source.is_deleted()
    }

    pub(in crate::consumer) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Pausing keeps the buffer: it is returned after the lane was resumed.
    pub(in crate::consumer) fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// The next offset to return, if that is known yet.
    pub(in crate::consumer) fn position(&self) -> Option<Offset> {
        self.position.map(|position| position.offset)
    }

    /// How many offsets from the position on there are to read; `None` without a position.
    pub(in crate::consumer) fn records_behind(&self) -> Option<u64> {
        let position = self.position()?.max(self.source.log_start());
        Some(u64::try_from(self.source.high_watermark().0 - position.0).unwrap_or(0))
    }

    /// How many offsets there are from the log start to the position; `None` without a position.
    pub(in crate::consumer) fn records_ahead(&self) -> Option<u64> {
        Some(u64::try_from(self.position()?.0 - self.source.log_start().0).unwrap_or(0))
    }

    /// The epoch of the record before `offset`.
    pub(in crate::consumer) fn epoch_before(&self, offset: Offset) -> LeaderEpoch {
        self.source.epoch_before(offset)
    }

    /// Goes on at `offset`. Whether that is in the log is found out when it is read.
    pub(in crate::consumer) fn seek(&mut self, offset: Offset) {
        self.stand_at(offset, LeaderEpoch::NONE);
    }

    /// The same, having read under `epoch`.
    pub(in crate::consumer) fn seek_under(&mut self, offset: Offset, epoch: LeaderEpoch) {
        self.stand_at(offset, epoch);
        self.validated = LeaderEpoch::NONE; // or nobody would look whether it is still there
    }

    /// Goes to `target`. Where that is, is found out when somebody wants to know.
    pub(in crate::consumer) fn seek_to(&mut self, target: Target) {
        self.buffer.clear();
        self.position = None;
        self.target = Some(target);
    }

    /// Goes back to `offset`, which was read under the epochs that the log has now.
    pub(in crate::consumer) fn rewind(&mut self, offset: Offset) {
        self.stand_at(offset, self.source.epoch_before(offset));
    }

    fn stand_at(&mut self, offset: Offset, epoch: LeaderEpoch) {
        self.buffer.clear();
        self.target = None;
        self.position = Some(Position { offset, epoch });
        self.validated = self.source.leader_epoch();
    }

    /// Whether the topic is still there, and the position in its log.
    pub(super) fn validate(&mut self) -> Result<()> {
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

    /// Finds a position if there is none: where it was sent, else what the group has committed, else by the policy.
    ///
    /// # Errors
    /// [`Error::NoOffsetForPartition`] if none of them gives one; what looking for a time gives.
    pub(in crate::consumer) fn settle(&mut self, begin: Begin<'_>) -> Result<()> {
        if self.position.is_some() {
            return Ok(());
        }
        if let Some(target) = self.target {
            return self.go_to(target);
        }
        let committed = begin.group.and_then(|group| group.committed(self.topic_id(), self.name().partition()));
        let Some(committed) = committed else { return self.reset(begin) };
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

    fn reset(&mut self, begin: Begin<'_>) -> Result<()> {
        match Target::of(begin.reset, begin.now) {
            Some(target) => self.go_to(target),
            None => Err(Error::NoOffsetForPartition { partition: self.name().clone() }),
        }
    }

    fn go_to(&mut self, target: Target) -> Result<()> {
        let offset = match target {
            Target::Beginning => self.source.log_start(),
            Target::End => self.source.high_watermark(),
            Target::Time(at) => {
                let end = self.source.high_watermark(); // before looking: what comes meanwhile may be young enough
                match self.source.offset_for_time(at) {
                    // It may lie in there: the read that comes there gives the error, and goes by the policy.
                    Err(Error::CorruptBatch { first, .. } | Error::CodecNotCompiled { first, .. }) => first,
                    found => found?.map_or(end, |(offset, _)| offset),
                }
            }
        };
        self.stand_at(offset, self.source.epoch_before(offset));
        Ok(())
    }

    /// How many bytes of batches are buffered.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffer.iter().map(|buffered| buffered.batch.header().len_bytes).sum()
    }

    /// Reads on behind what is buffered, up to `max_bytes` in all.
    pub(super) fn read_ahead(&mut self, max_bytes: usize) -> Result<()> {
        let behind = self.buffer.back().map(|last| last.batch.header().next_offset());
        let Some(from) = behind.or(self.position()) else { return Ok(()) };
        let room = max_bytes.saturating_sub(self.buffered_bytes());
        if self.buffer.is_empty() || room > 0 {
            let batches = self.source.read(from, room.max(1))?;
            self.buffer(batches);
        }
        Ok(())
    }

    /// Adds what this lane has to `collected`; reads first if nothing is buffered.
    pub(super) fn visit(&mut self, round: &mut Round<'_>, collected: &mut Collected) -> Result<()> {
        let rules = round.rules;
        if self.buffer.is_empty() {
            let max_bytes = rules.partition_bytes.min(round.bytes_left).max(1);
            let read = self.fill(max_bytes, round.begin, collected)?;
            round.bytes_left = round.bytes_left.saturating_sub(read);
            collected.read_bytes += read;
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
    fn fill(&mut self, max_bytes: usize, begin: Begin<'_>, collected: &mut Collected) -> Result<usize> {
        let Some(position) = self.position else { return Ok(0) };
        let batches = match self.source.read(position.offset, max_bytes) {
            Err(error @ Error::OffsetOutOfRange { .. }) if begin.reset != AutoOffsetReset::None => {
                log::warn!("{error}; auto.offset.reset = {} says where to go on", begin.reset);
                self.reset(begin)?;
                collected.resets += 1;
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

    /// Makes sure of the first batch in the buffer, and says which records of it are at or behind the position.
    ///
    /// # Errors
    /// What is wrong with it; then the buffer is empty, and the next read begins with that batch again.
    fn admit(&mut self, round: &mut Round<'_>) -> Result<Rest> {
        let Some(Buffered { batch, left }) = self.buffer.front() else { return Ok(Rest::default()) };
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
            let (partition, header) = (self.name().clone(), batch.header());
            return Error::CodecNotCompiled { partition, first: header.base_offset, last: header.last_offset(), codec };
        }
        let reason = match fault {
            BatchFault::Oversized { .. } => format!("{fault}: raise max.decompressed.batch.bytes to read it"),
            fault => fault.to_string(),
        };
        self.source.unreadable(batch, reason)
    }

    /// Takes up to `max_records` of the `left` ones of the first batch in the buffer, and moves the position behind them.
    fn take(&mut self, left: Rest, max_records: usize, inspect: &dyn Inspect, collected: &mut Collected) -> Result<()> {
        let Some(Buffered { batch, .. }) = self.buffer.front() else { return Ok(()) };
        let from = self.position.map_or(batch.header().base_offset, |position| position.offset);
        let whole = Part { count: left.count, bytes: left.bytes, to: batch.header().next_offset(), refused: None };
        let is_whole = left.count <= max_records;
        let part = if left.count == 0 || (is_whole && inspect.accepts_all()) {
            whole
        } else {
            let part = self.part(batch, left, from, max_records, inspect);
            if is_whole && part.refused.is_none() { whole } else { part }
        };
        if part.count > 0 {
            let (partition, batch) = (self.name().clone(), batch.clone());
            let bytes = batch.records_len_bytes();
            collected.chunks.push(Chunk { partition, batch, start: left.bytes, to: part.to, count: part.count });
            collected.count += part.count;
            collected.bytes += bytes;
            collected.consumed_bytes += part.bytes;
        }
        self.advance(&part, collected);
        part.refused.map_or(Ok(()), Err)
    }

    /// Looks for how far records may be returned: `max_records` at most, and none that cannot be deserialized.
    fn part(&self, batch: &Batch, left: Rest, from: Offset, max_records: usize, inspect: &dyn Inspect) -> Part {
        let mut part = Part { count: 0, bytes: 0, to: from, refused: None };
        let mut records = batch.last_records(left.bytes);
        while part.count < left.count.min(max_records)
            && let Some(Ok(record)) = records.next()
        {
            if let Err((which, cause)) = inspect.inspect(self.name().topic(), &record) {
                let (partition, offset) = (self.name().clone(), record.offset());
                part.to = offset;
                part.refused = Some(Error::RecordDeserialization { partition, offset, part: which, cause });
                break;
            }
            part.count += 1;
            part.bytes = left.bytes - records.bytes_left();
            part.to = record.offset().next();
        }
        part
    }

    /// The position moves behind a part of the first batch in the buffer.
    fn advance(&mut self, part: &Part, collected: &mut Collected) {
        let (to, Some(first)) = (part.to, self.buffer.front_mut()) else { return };
        first.left = first.left.map(|left| Rest { count: left.count - part.count, bytes: left.bytes - part.bytes });
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

/// Unpacks a batch, and walks all its records once, so that nothing can fail later; says which are from `from` on.
fn examine(batch: Batch, from: Offset, round: &mut Round<'_>) -> Result<(Batch, Rest), BatchFault> {
    if batch.header().is_control() {
        return Ok((batch, Rest::default()));
    }
    let batch = batch.unpack_with(round.decompressor, round.rules.unpacked_bytes)?;
    let mut records = batch.records()?;
    let mut rest = Rest { count: 0, bytes: records.bytes_left() };
    while let Some(record) = records.next() {
        if record?.offset() < from {
            rest.bytes = records.bytes_left();
        } else {
            rest.count += 1;
        }
    }
    Ok((batch, rest))
}

/// What of a batch a poll may return.
#[derive(Debug)]
struct Part {
    count: usize,
    /// How many bytes they are.
    bytes: usize,
    /// Where the position moves.
    to: Offset,
    /// What stands there.
    refused: Option<Error>,
}
