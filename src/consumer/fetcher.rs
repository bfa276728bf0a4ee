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

mod lane;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::consumer::config::ConsumerConfig;
use crate::consumer::metrics::FetchMetrics;
use crate::consumer::record::{Chunk, Inspect};
use crate::coordinator::group::Place;
use crate::error::{Error, Result};
use crate::record::Decompressor;
use crate::sync::{Moment, Signal};
use crate::types::{TopicId, TopicPartition};

pub(super) use lane::{Begin, Lane, Source, Target};

/// How much one poll takes, and what it does without a position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) max_records: usize,
    pub(super) partition_bytes: usize,
    pub(super) total_bytes: usize,
    pub(super) unpacked_bytes: usize,
    /// A read of fewer bytes waits for more, for `max_wait` at most.
    pub(super) min_bytes: usize,
    pub(super) max_wait: Duration,
}

impl Rules {
    pub(super) fn of(config: &ConsumerConfig) -> Self {
        Self {
            max_records: config.max_poll_records,
            partition_bytes: config.max_partition_fetch_bytes,
            total_bytes: config.fetch_max_bytes,
            unpacked_bytes: config.max_decompressed_batch_bytes,
            min_bytes: config.fetch_min_bytes,
            max_wait: config.fetch_max_wait,
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
    pub(super) bytes: usize,
    /// How many bytes the records take themselves.
    pub(super) consumed_bytes: usize,
    /// How many bytes were read from files.
    pub(super) read_bytes: usize,
    /// How many positions were outside the log, and moved.
    pub(super) resets: u64,
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
    gathering: Gathering,
    metrics: FetchMetrics,
    decompressor: Decompressor,
    /// Whether partitions of topics that are gone are passed by, rather than an error: somebody else takes them away.
    passes_deleted: bool,
}

/// What a lane needs to know of the round that visits it.
pub(super) struct Round<'a> {
    pub(super) rules: &'a Rules,
    pub(super) begin: Begin<'a>,
    /// How many bytes may still be read.
    pub(super) bytes_left: usize,
    pub(super) inspect: &'a dyn Inspect,
    pub(super) decompressor: &'a mut Decompressor,
}

impl Fetcher {
    pub(super) fn new(rules: Rules, metrics: FetchMetrics) -> Self {
        Self {
            rules,
            lanes: Vec::new(),
            turn: 0,
            signal: Arc::default(),
            gathering: Gathering::default(),
            metrics,
            decompressor: Decompressor::default(),
            passes_deleted: false,
        }
    }

    /// Says whether partitions of topics that are gone are passed by.
    pub(super) fn pass_deleted(&mut self, passes: bool) {
        self.passes_deleted = passes;
    }

    pub(super) fn metrics(&self) -> &FetchMetrics {
        &self.metrics
    }

    /// A round that began at `began` has read something.
    pub(super) fn note_fetch(&mut self, collected: &Collected, began: Moment, now: Moment) {
        self.metrics.note_fetch(now, now.since(began), collected.read_bytes, collected.count);
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
        self.metrics.keep(&self.lanes);
    }

    /// Whether `place` is among the lanes.
    pub(super) fn reads(&self, place: &Place) -> bool {
        let found = self.lanes.binary_search_by(|lane| lane.name().cmp(&place.partition));
        found.is_ok_and(|index| self.lanes[index].topic_id() == place.topic_id)
    }

    /// Reads `sources` too from now on.
    pub(super) fn add(&mut self, sources: Vec<Box<dyn Source>>) {
        for source in sources {
            source.watch(&self.signal);
            self.lanes.push(Lane::new(source));
        }
        self.lanes.sort_by(|one, other| one.name().cmp(other.name()));
        self.turn = 0;
        self.metrics.keep(&self.lanes);
    }

    /// Reads `places` no more; what was read ahead of them is dropped.
    pub(super) fn remove(&mut self, places: &[Place]) {
        let places: BTreeSet<(&TopicPartition, TopicId)> =
            places.iter().map(|place| (&place.partition, place.topic_id)).collect();
        let signal = &self.signal;
        self.lanes.retain(|lane| {
            let is_meant = places.contains(&(lane.name(), lane.topic_id()));
            if is_meant {
                lane.source.unwatch(signal);
            }
            !is_meant
        });
        self.turn = 0;
        self.metrics.keep(&self.lanes);
    }

    /// One round: what is there now, without waiting.
    ///
    /// # Errors
    /// What stands in the way of every lane (a topic that is gone, a position that is lost), before anything is
    /// taken; else what the first lane with nothing to give meets.
    pub(super) fn collect(&mut self, begin: Begin<'_>, now: Moment, inspect: &dyn Inspect) -> Result<Collected> {
        let passes_deleted = self.passes_deleted;
        for lane in self.lanes.iter_mut().filter(|lane| !(passes_deleted && lane.is_deleted())) {
            match lane.validate().and_then(|()| lane.settle(begin)) {
                Err(_) if passes_deleted && lane.is_deleted() => {} // it was deleted meanwhile
                outcome => outcome?,
            }
        }
        if self.gathers() && !self.has_gathered(now) {
            return Ok(Collected::default());
        }
        let mut collected =
            Collected { read_bytes: std::mem::take(&mut self.gathering.read_bytes), ..Collected::default() };
        let total_bytes = self.rules.total_bytes;
        let (rules, decompressor) = (&self.rules, &mut self.decompressor);
        let mut round = Round { rules, begin, bytes_left: total_bytes, inspect, decompressor };
        let count = self.lanes.len();
        for index in (self.turn..count).chain(0..self.turn) {
            let lane = &mut self.lanes[index];
            if lane.is_paused() || (passes_deleted && lane.is_deleted()) {
                continue;
            }
            let before = (collected.count, collected.consumed_bytes);
            let outcome = match lane.visit(&mut round, &mut collected) {
                Err(_) if passes_deleted && lane.is_deleted() => Ok(()),
                outcome => outcome,
            };
            let taken = (collected.count - before.0, collected.consumed_bytes - before.1);
            if taken.0 > 0 {
                self.metrics.note_consumed(now, lane, taken);
            }
            self.metrics.note_resets(std::mem::take(&mut collected.resets));
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

    /// Whether small reads wait for more, and may.
    fn gathers(&self) -> bool {
        self.rules.min_bytes > 1 && !self.rules.max_wait.is_zero()
    }

    /// When what there is by then is returned, though it is less than `fetch.min.bytes`.
    pub(super) fn gathers_until(&mut self, now: Moment) -> Option<Moment> {
        if !self.gathers() || self.gathering.is_enough {
            return None;
        }
        Some(*self.gathering.began.get_or_insert(now) + self.rules.max_wait)
    }

    /// Reads on, and says whether there is enough to return, or it has taken too long.
    fn has_gathered(&mut self, now: Moment) -> bool {
        if self.gathering.is_enough {
            if self.lanes.iter().any(|lane| !lane.is_paused() && !lane.buffer.is_empty()) {
                return true;
            }
            self.gathering = Gathering::default();
        }
        let mut bytes = 0;
        let mut has_failed = false;
        let passes_deleted = self.passes_deleted;
        let is_read = |lane: &&mut Lane| !(lane.is_paused() || (passes_deleted && lane.is_deleted()));
        for lane in self.lanes.iter_mut().filter(is_read) {
            // What stands behind records that are there is met again when they have been returned.
            let before = lane.buffered_bytes();
            has_failed |= lane.read_ahead(self.rules.partition_bytes).is_err() && lane.buffer.is_empty();
            bytes += lane.buffered_bytes();
            self.gathering.read_bytes += lane.buffered_bytes() - before;
        }
        let is_late = self.gathers_until(now).is_some_and(|until| now >= until);
        let is_enough = has_failed || bytes >= self.rules.min_bytes.min(self.rules.total_bytes);
        self.gathering.is_enough = is_enough || (is_late && bytes > 0);
        if is_late && bytes == 0 {
            self.gathering.began = Some(now); // the next read begins
        }
        is_enough || is_late
    }
}

/// How far waiting for `fetch.min.bytes` is.
#[derive(Debug, Default)]
struct Gathering {
    /// When there was nothing, and reading began.
    began: Option<Moment>,
    /// Enough was there, and is being returned.
    is_enough: bool,
    /// How much was read for it, and is not counted yet.
    read_bytes: usize,
}

/// The partitions are no longer watched.
impl Drop for Fetcher {
    fn drop(&mut self) {
        self.assign(Vec::new());
    }
}

#[cfg(test)]
mod tests;
