//! Appends to the active segment, and begins the next one.
//!
//! | a crash during | leaves | and recovery |
//! |---|---|---|
//! | the write | any part of the batches behind the log end | cuts off the first that is not whole, and all behind it |
//! | a roll, before the new file | index files of a segment that is still the last | rebuilds its indexes |
//! | a roll, behind the new file | an empty newest segment, or none if its name was not durable | goes on in it, or makes it again |
//!
//! A write that fails may have written any part of its bytes. They are cut off at once, or else a later, shorter write
//! would leave the rest of them behind itself, where a crash would bring them back as records.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::{Error, Result};
use crate::record::SealedBatch;
use crate::storage::index::{OffsetIndex, TimeIndex};
use crate::storage::log::{Log, Tail};
use crate::storage::segment::{IndexFiller, Segment};
use crate::sync::lock;
use crate::types::{Offset, Timestamp, TimestampType};

/// How much one write takes together. Small writes cost twice as much a byte as those of 64 KiB, larger ones no less.
const WRITE_BYTES: usize = 256 * 1024;

/// What became of the batches handed to [`Log::append`].
#[derive(Debug)]
pub(crate) struct AppendOutcome {
    /// So many at the front are in the log.
    pub(crate) appended: usize,
    /// Why the next one is not, nor any behind it.
    pub(crate) error: Option<AppendError>,
}

/// Why a batch is not in the log.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// Nothing of it is there, and the log can go on.
    Refused(Error),
    /// What was written of it could not be cut off: nothing may be appended to this log any more.
    Broken(Error),
}

/// What is about to be written together.
#[derive(Clone, Copy, Default)]
struct Pending {
    batches: usize,
    bytes: usize,
}

impl Log {
    /// Why `batch` can never be appended, if it cannot.
    pub(crate) fn refuses(&self, batch: &SealedBatch) -> Option<Error> {
        let size = batch.len_bytes() as u64;
        let limits =
            [("max.message.bytes", self.config.max_message_bytes), ("segment.bytes", self.config.segment_bytes)];
        limits.into_iter().find(|(_, limit)| size > u64::from(*limit)).map(|(setting, limit)| Error::RecordTooLarge {
            topic: self.name.shared_topic(),
            size,
            limit: u64::from(limit),
            setting,
        })
    }

    /// Appends `batches`, none of which the log [refuses](Self::refuses), giving them offsets from the log end on.
    ///
    /// Only the directory's writer calls this. The log end moves with each write; nothing is synced.
    pub(crate) fn append(&self, batches: &mut [&mut SealedBatch], now: Timestamp) -> AppendOutcome {
        let mut tail = lock(&self.tail);
        let mut appended = 0;
        while appended < batches.len() {
            match self.append_run(&mut tail, &mut batches[appended..], now) {
                Ok(count) => appended += count,
                Err(error) => return AppendOutcome { appended, error: Some(error) },
            }
        }
        AppendOutcome { appended, error: None }
    }

    /// Appends as many of `batches` as go into one write, at least one.
    fn append_run(
        &self,
        tail: &mut Tail,
        batches: &mut [&mut SealedBatch],
        now: Timestamp,
    ) -> Result<usize, AppendError> {
        if self.needs_roll(tail, batches[0], Pending::default(), now) {
            self.roll(tail, now).map_err(AppendError::Refused)?;
        }
        let active = self.active();
        let mut next_offset = self.log_end();
        let mut pending = Pending::default();
        for batch in batches.iter_mut() {
            let is_too_long = pending.bytes + batch.len_bytes() > WRITE_BYTES;
            if pending.batches > 0 && (is_too_long || self.needs_roll(tail, batch, pending, now)) {
                break;
            }
            if self.config.message_timestamp_type == TimestampType::LogAppendTime {
                batch.stamp_append_time(now);
            }
            batch.stamp(next_offset, self.leader_epoch());
            next_offset = next_offset.plus(i64::from(batch.count()));
            pending.bytes += batch.len_bytes();
            pending.batches += 1;
        }
        let count = pending.batches;
        self.write(&active, &batches[..count])?;
        if !tail.unsynced.iter().any(|segment| Arc::ptr_eq(segment, &active)) {
            tail.unsynced.push(Arc::clone(&active));
        }
        self.publish(tail, &active, &batches[..count], next_offset);
        Ok(count)
    }

    /// Writes the batches behind the end of `active`, or leaves nothing of them.
    fn write(&self, active: &Segment, batches: &[&mut SealedBatch]) -> Result<(), AppendError> {
        let file = active.writable().map_err(AppendError::Refused)?;
        let end = active.end();
        let written = match batches {
            [batch] => file.write_all_at(batch.as_bytes(), end),
            batches => {
                let mut slices: Vec<IoSlice<'_>> = batches.iter().map(|batch| IoSlice::new(batch.as_bytes())).collect();
                file.write_vectored_all_at(&mut slices, end)
            }
        };
        let Err(error) = written else { return Ok(()) };
        // Without the sync a power cut could take the new length and leave whole batches that were reported as failed.
        match file.set_len(end).and_then(|()| file.sync()) {
            Ok(()) => Err(AppendError::Refused(error)),
            Err(cut_error) => Err(AppendError::Broken(cut_error)),
        }
    }

    /// Lets readers see what was written: index entries, then the segment's end, then the log end.
    fn publish(&self, tail: &mut Tail, active: &Segment, batches: &[&mut SealedBatch], next_offset: Offset) {
        let mut position = active.end();
        let indexes = active.indexes().expect("an active segment's indexes are in memory");
        for batch in batches {
            let header = batch.header();
            tail.filler.note(indexes, &header, position);
            tail.producers.note(&header);
            tail.first_timestamp.get_or_insert(header.max_timestamp);
            position += header.len_bytes as u64;
        }
        active.set_end(position);
        self.log_end.store(next_offset.0, Ordering::Release);
    }

    fn active(&self) -> Arc<Segment> {
        Arc::clone(self.segments.load().last().expect("a log has a segment"))
    }

    /// Kafka's conditions for a new segment, for `batch` behind `pending` ones that are about to be written. Where these
    /// have to be in the segment first for an answer, it is yes: they are written, and it is asked again.
    fn needs_roll(&self, tail: &Tail, batch: &SealedBatch, pending: Pending, now: Timestamp) -> bool {
        let active = self.active();
        let pending_bytes = pending.bytes as u64;
        let used = active.end() + pending_bytes;
        if used == 0 {
            return false;
        }
        let is_full = used + batch.len_bytes() as u64 > u64::from(self.config.segment_bytes);
        // The last offset's distance from the base has to fit 31 bits; pending batches add less than one each byte.
        let reach = self.log_end().0 - active.base_offset().0 + i64::from(batch.count());
        let is_far = reach + i64::try_from(pending_bytes).unwrap_or(i64::MAX) > i64::from(i32::MAX);
        is_full || is_far || self.is_old(tail, batch, pending, now) || self.has_full_index(&active, pending)
    }

    /// By the records' timestamps if the first batch has one, else by the clock.
    fn is_old(&self, tail: &Tail, batch: &SealedBatch, pending: Pending, now: Timestamp) -> bool {
        if tail.first_timestamp.is_none() && pending.batches > 0 {
            return true; // the first batch is pending
        }
        let latest = match self.config.message_timestamp_type {
            TimestampType::CreateTime => batch.max_timestamp(),
            TimestampType::LogAppendTime => now,
        };
        let age = match tail.first_timestamp.filter(|first| first.is_some()) {
            // Saturating: one that was read off a damaged batch may be anything.
            Some(first) => latest.0.saturating_sub(first.0),
            None => now.0.saturating_sub(tail.begun_at.0),
        };
        u128::try_from(age).is_ok_and(|age| age > self.config.segment_ms.as_millis() - self.jitter_ms())
    }

    /// By how much the active segment ends earlier than others.
    fn jitter_ms(&self) -> u128 {
        let most = self.config.segment_jitter.min(self.config.segment_ms).as_millis();
        if most == 0 {
            return 0;
        }
        // Any number will do that partitions and segments do not share, and a seeded run repeats.
        let mut hash = crc32fast::Hasher::new();
        hash.update(self.name.topic().as_bytes());
        hash.update(&self.name.partition().to_be_bytes());
        hash.update(&self.active().base_offset().0.to_be_bytes());
        u128::from(hash.finalize()) % most
    }

    /// Each pending batch may get an entry.
    fn has_full_index(&self, active: &Segment, pending: Pending) -> bool {
        let most = self.config.segment_index_bytes as usize;
        active.indexes().is_ok_and(|indexes| {
            // One slot of the time index is kept for the entry that sealing adds.
            indexes.offset.len() + pending.batches >= most / OffsetIndex::ENTRY_BYTES
                || indexes.time.len() + pending.batches + 1 >= most / TimeIndex::ENTRY_BYTES
        })
    }

    /// Seals the active segment and begins the next one at the log end. Waits for no sync: until the directory was
    /// synced, [`Log::sync_work`] asks for it.
    fn roll(&self, tail: &mut Tail, now: Timestamp) -> Result<()> {
        let active = self.active();
        log::debug!("{}: a new segment begins at offset {}", self.name, self.log_end());
        tail.filler.finish(active.indexes()?);
        let next = Arc::new(Segment::create(&self.dir, self.log_end(), u64::from(self.config.index_interval_bytes))?);
        tail.names += 1;
        tail.indexes_unsynced.push(active.base_offset());
        let sealed = match active.write_indexes() {
            Ok(_) => Arc::new(active.sealed()), // whose indexes are read again when somebody needs them
            Err(error) => {
                // They are caches: this segment keeps its own in memory, and closing writes them.
                log::warn!("{}: {error}", self.name);
                active
            }
        };
        if let Err(error) = tail.producers.write(self.dir.as_ref()) {
            log::warn!("{}: {error}", self.name); // the next opening begins with an older one
        }
        let mut segments = self.segments.load().as_ref().clone();
        segments.pop();
        for unsynced in &mut tail.unsynced {
            if unsynced.base_offset() == sealed.base_offset() {
                *unsynced = Arc::clone(&sealed);
            }
        }
        segments.push(sealed);
        segments.push(next);
        self.segments.store(Arc::new(segments));
        tail.filler = IndexFiller::new(u64::from(self.config.index_interval_bytes));
        tail.first_timestamp = None;
        tail.begun_at = now;
        Ok(())
    }
}
